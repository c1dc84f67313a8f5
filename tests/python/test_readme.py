"""The README's examples are the files that are compiled and run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_readme_shows_the_examples_that_run() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name, language in (("example.cc", "cpp"), ("example.py", "python")):
        code = (ROOT / "samples" / "readme" / name).read_text(encoding="utf-8")
        assert f"```{language}\n{code}```" in readme


def test_the_python_example_runs() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "samples" / "readme" / "example.py"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "<Detection marked" in done.stdout
