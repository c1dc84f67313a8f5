"""Engine keys from files, so that none is on a command line."""

from __future__ import annotations

import json

from countermark._errors import CountermarkError
from countermark.cli.texts import name_of, read_text


def read_key(file: str) -> list[int | str]:
    """Read the numbers of a key: a JSON array, or words of decimal digits or of 0x and hex ones."""
    text = read_text(file)
    try:
        words = json.loads(text) if text.lstrip().startswith("[") else text.split()
        if not isinstance(words, list) or any(not isinstance(w, int | str) for w in words):
            raise ValueError
        return [word if isinstance(word, int) else _number(word) for word in words]
    except ValueError:
        # What is there stays out of the message: it may be a key but for a slip.
        raise CountermarkError(
            f"{name_of(file)} holds no key: give numbers, or hexadecimal digits after 0x",
            "invalid_key",
        ) from None


def _number(word: str) -> int | str:
    if word.lower().startswith("0x"):
        int(word, 16)
        return word
    return int(word)
