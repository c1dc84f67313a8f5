"""Commands run in this process, and what they print, for the tests of the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

typer_testing = pytest.importorskip("typer.testing")

from countermark.cli import app  # noqa: E402

STORY = ["--tokenizer", "story"]


def run(*args: object, stdin: str | bytes | None = None) -> Any:
    """Run a command."""
    return typer_testing.CliRunner().invoke(app, [str(a) for a in args], input=stdin)


def complaint(result: Any) -> str:
    """Return the one line that an error is."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("countermark: ")
    assert "unexpected" not in line
    return str(line)


def objects(result: Any) -> list[dict[str, Any]]:
    """Return the objects that were printed, one a line."""
    return [json.loads(line) for line in result.stdout.split("\n") if line]


def found(result: Any, status: int) -> dict[str, Any]:
    """Return the one object that was printed."""
    assert result.exit_code == status, result.output
    (line,) = result.stdout.splitlines()
    return dict(json.loads(line))


def write_lines(path: Path, *contents: object) -> Path:
    """Write objects, one a line."""
    path.write_text("".join(json.dumps(c) + "\n" for c in contents))
    return path
