"""The demo's numbers, and the screen that shows them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from countermark import demo

pytest.importorskip("sentencepiece")
typer_testing = pytest.importorskip("typer.testing")

from countermark.cli import app  # noqa: E402

MARKED = {
    "a marked answer",
    "a tenth of its words changed",
    "a third of its words changed",
    "a fifth of its words left out",
    "between two human paragraphs",
}
NOT_MARKED = {"an unmarked answer", "human text", "tested with a wrong key"}


@pytest.mark.parametrize("seed", range(5))
def test_every_verdict_is_the_true_one(seed: int) -> None:
    verdicts = {e.title: e.detection.verdict for e in demo.run(seed).exhibits}
    assert {t for t, v in verdicts.items() if v == "marked"} == MARKED
    assert set(verdicts) == MARKED | NOT_MARKED


def test_runs_are_repeated_by_their_seed() -> None:
    def numbers(seed: int) -> list[float]:
        return [e.detection.log10_p for e in demo.run(seed).exhibits]

    assert numbers(1) == numbers(1) != numbers(2)


def test_human_text_falls_back_to_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_LICENSE", Path("/nowhere"))
    source, text = demo.human_text()
    assert "pydoc_data" in source
    assert len(text) > 3000


def test_edits_change_the_share_asked_for() -> None:
    text = "\n".join(" ".join(f"w{10 * i + j}" for j in range(10)) for i in range(9))
    words = text.split()
    changed = demo.substitute(text, 1 / 3, words, seed=1)
    assert changed.count("\n") == 8
    assert sum(a != b for a, b in zip(changed.split(), words, strict=True)) == 30
    assert len(demo.delete(text, 1 / 10, seed=1).split()) == 81
    assert demo.substitute("a b " * 20, 1, ["a", "b"], seed=1).split() == ["b", "a"] * 20
    assert changed == demo.substitute(text, 1 / 3, words, seed=1)


def test_screen_and_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: "/bin/countermark")
    page = tmp_path / "demo.html"
    result = typer_testing.CliRunner().invoke(app, ["demo", "--html", str(page)])
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert len(lines) < 40
    assert max(len(line.rstrip()) for line in lines if str(page) not in line) <= 80
    for title in MARKED | NOT_MARKED:
        assert any(line.startswith(title) for line in lines)
    assert str(page) in result.stdout
    assert "human text: " in result.stdout
    html = page.read_text()
    assert html.count("<section") == len(MARKED | NOT_MARKED) + 1


def test_json_is_all_there_is(tmp_path: Path) -> None:
    page = tmp_path / "demo.html"
    arguments = ["demo", "--json", "--seed", "1", "--html", str(page)]
    result = typer_testing.CliRunner().invoke(app, arguments)
    shown = json.loads(result.stdout)
    assert {row["what"] for row in shown["rows"] if row["verdict"] == "marked"} == MARKED


def test_page_that_cannot_be_written(tmp_path: Path) -> None:
    result = typer_testing.CliRunner().invoke(
        app, ["demo", "--html", str(tmp_path / "no" / "demo.html")]
    )
    assert result.exit_code == 2
    assert result.stderr.startswith("countermark: cannot write")


def test_a_page_takes_the_place_of_nothing_else(tmp_path: Path) -> None:
    precious = tmp_path / "precious.txt"
    precious.write_text("precious")
    result = typer_testing.CliRunner().invoke(app, ["demo", "--html", str(precious)])
    assert result.exit_code == 2
    assert "the file there is no HTML page" in result.stderr
    assert precious.read_text() == "precious"


@pytest.mark.parametrize(
    ("argv0", "expected"),
    [
        (".venv/bin/countermark", ".venv/bin/countermark"),
        ("/a b/countermark", "'/a b/countermark'"),
        ("/lib/countermark/__main__.py", f"{sys.executable} -m countermark"),
    ],
)
def test_next_commands_run_where_they_are_printed(
    argv0: str, expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr(sys, "argv", [argv0])
    result = typer_testing.CliRunner().invoke(app, ["demo", "--html", str(tmp_path / "d.html")])
    assert f"next:       {expected} keygen keys.json --profile mine" in result.stdout
    assert f"            {expected} detect --keys keys.json answer.txt" in result.stdout


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_prints_utf8_in_every_locale(environment: dict[str, str], tmp_path: Path) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "countermark", "demo", "--html", str(tmp_path / "d.html")],
        env={**os.environ, **environment},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    assert "\N{BOX DRAWINGS LIGHT ARC DOWN AND RIGHT}" in shown.stdout.decode()
