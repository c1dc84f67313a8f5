"""The Python samples run as they are (the C++ ones run under ctest)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SAMPLES = Path(__file__).parents[2] / "samples" / "python"


@pytest.mark.slow
def test_transformers_answers_are_found_in_their_text(shared: Path) -> None:
    pytest.importorskip("transformers")
    done = subprocess.run(
        [
            sys.executable,
            SAMPLES / "transformers_generate.py",
            shared / "models" / "stories3m",
            "--prompt",
            "Once upon a time, there was a little fox.",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "4 of 4 answers are found from their text" in done.stdout
