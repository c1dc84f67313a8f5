"""Reading what is to be examined."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from countermark._core import Profile
from countermark._errors import CountermarkError
from countermark.cli.console import note
from countermark.reading import Reading, read, reading_of
from countermark.tokenizers import Tokenizer


def name_of(file: str) -> str:
    """Return what to call an input: its path, or "standard input"."""
    return "standard input" if file == "-" else file


def files_in(path: Path) -> list[Path]:
    """Return all files of a folder and the folders in it, in order; of a file, itself."""
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def read_input(file: str, tokenizer: Tokenizer | None, profiles: list[Profile]) -> list[Reading]:
    """Read a text in all its forms, or token ids where there is no tokenizer."""
    if tokenizer is None:
        ids = read_ids(file)
        words = [str(i) for i in ids]
        ends = np.cumsum([len(word) + 1 for word in words]) - 1
        spans = [(int(end) - len(word), int(end)) for end, word in zip(ends, words, strict=True)]
        return [reading_of(" ".join(words), ids, spans)]
    return read(read_text(file), tokenizer, profiles)


def read_text(file: str) -> str:
    """Read UTF-8 text from a file, or from standard input for "-". A byte order mark is dropped."""
    data = _read_standard_input() if file == "-" else Path(file).read_bytes()
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise CountermarkError(
            f"{name_of(file)} is not valid UTF-8: byte 0x{data[error.start]:02x} at offset "
            f"{error.start}; convert it first",
            "invalid_encoding",
        ) from error
    if (zero := data.find(0)) >= 0:
        raise CountermarkError(
            f"{name_of(file)} is not text: byte 0x00 at offset {zero}; if it is UTF-16, convert it "
            "to UTF-8 first",
            "invalid_encoding",
        )
    text = text.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
    if not text.strip():
        raise CountermarkError(
            f"{name_of(file)} is empty: there is no token to examine", "empty_text"
        )
    return text


def standard_input() -> BinaryIO:
    """Return standard input, to be read."""
    if sys.stdin is None:
        raise CountermarkError("standard input is closed", "file_failure")
    if sys.stdin.isatty():
        note("reading standard input; end with Ctrl-D")
    return sys.stdin.buffer


def _read_standard_input() -> bytes:
    return standard_input().read()


def read_ids(file: str) -> npt.NDArray[np.int64]:
    """Read token ids: a JSON array, or numbers with white space between them."""
    text = read_text(file)
    try:
        ids = json.loads(text) if text.lstrip().startswith("[") else text.split()
        if any(not isinstance(i, int | str) or isinstance(i, bool) for i in ids):
            raise ValueError("an id is an integer")
        numbers = [int(i) for i in ids]
    except ValueError as error:
        word = re.search(r"[^\s\d\[\],-]\S*", text)
        raise CountermarkError(
            f"{name_of(file)} holds no token ids"
            + (f": {word[0][:40]!r}" if word else "")
            + "; give a JSON array of integers, or integers with spaces between them",
            "invalid_option",
        ) from error
    if not numbers:
        raise CountermarkError(
            f"{name_of(file)} is empty: there is no token to examine", "empty_text"
        )
    for position, number in enumerate(numbers):
        if not -(2**31) <= number < 2**31:
            raise CountermarkError(
                f"token {position} of {name_of(file)} is {number}, and ids are below 2147483648",
                "token_out_of_range",
            )
    return np.array(numbers, dtype=np.int64)
