"""What marked texts go through on their way. Every edit is pure: one seed, one edit.

``countermark.demo`` has two more, ``substitute`` and ``delete``.
"""

from __future__ import annotations

import random
import re
import textwrap
from collections.abc import Sequence

# Letters and the Cyrillic ones that look the same.
_LATIN = "aeocpxy"
_CYRILLIC = "\u0430\u0435\u043e\u0441\u0440\u0445\u0443"
_ZERO_WIDTH = "\u200b"


def insert(text: str, share: float, words: Sequence[str], seed: int) -> str:
    """Put words drawn from ``words`` after a share of the words of ``text``."""
    draw = random.Random(seed)
    pieces = re.split(r"(\S+)", text)  # words at the odd places
    places = range(1, len(pieces), 2)
    for place in draw.sample(places, round(share * len(places))):
        pieces[place] += f" {draw.choice(words)}"
    return "".join(pieces)


def dilute(text: str, share: float, human: Sequence[str], seed: int) -> str:
    """Put ``text`` between words of ``human``, so that it is ``share`` of all words."""
    draw = random.Random(seed)
    count = round(len(text.split()) * (1 / share - 1))
    begin = draw.randint(0, len(human) - count)
    middle = begin + draw.randint(0, count)
    return " ".join([*human[begin:middle], text, *human[middle : begin + count]])


def homoglyphs(text: str, share: float, seed: int) -> str:
    """Turn a share of the letters that have a Cyrillic look-alike into it."""
    characters = list(text)
    for place in _some(text, _LATIN, share, seed):
        characters[place] = _CYRILLIC[_LATIN.index(text[place])]
    return "".join(characters)


def zero_width(text: str, share: float, seed: int) -> str:
    """Put a zero-width space after a share of the letters."""
    characters = list(text)
    for place in _some(text, "".join(filter(str.isalpha, set(text))), share, seed):
        characters[place] += _ZERO_WIDTH
    return "".join(characters)


def double_spaces(text: str) -> str:
    """Put two spaces after each full stop."""
    return text.replace(". ", ".  ")


def rewrap(text: str, columns: int) -> str:
    """Break the lines of ``text`` so that none is longer than ``columns``."""
    return "\n".join(textwrap.fill(line, columns) for line in text.splitlines())


def shuffle_sentences(text: str, seed: int) -> str:
    """Put the sentences in a random order."""
    sentences = re.split(r"(?:(?<=[.!?])|(?<=[.!?]\"))\s+", text)
    random.Random(seed).shuffle(sentences)
    return " ".join(sentences)


def first_half(text: str) -> str:
    """Keep the first half of the words."""
    words = list(re.finditer(r"\S+", text))
    return text[: words[len(words) // 2].start()].rstrip()


def middle(text: str, spans: Sequence[tuple[int, int]], count: int) -> str:
    """Keep the ``count`` tokens in the middle; ``spans`` are the characters of each token."""
    first = (len(spans) - count) // 2
    return text[spans[first][0] : spans[first + count - 1][1]].strip()


def _some(text: str, letters: str, share: float, seed: int) -> list[int]:
    places = [i for i, letter in enumerate(text) if letter in letters]
    return random.Random(seed).sample(places, round(share * len(places)))
