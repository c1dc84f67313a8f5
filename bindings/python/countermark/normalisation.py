"""Undo what was done to a text's characters so that its mark would not be found.

Letters are hidden in a text, replaced by others that look the same, or written in compatibility
forms; channels do it too, without malice. The tokens change, and a reader sees nothing. What looks
the same is known to the library ``confusable_homoglyphs`` (Unicode's UTS #39); without it such
letters stay.
"""

from __future__ import annotations

import importlib
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

# What UAX #44 calls Default_Ignorable_Code_Point, and the marks of interlinear annotation. Joiners,
# variation selectors and tags have their place in emoji, and joiners in Persian and Indic scripts.
# They go all the same: a text that nobody tampered with is found as it came, a joiner removed costs
# the tokens next to it, and whatever were kept would be what to hide in a text.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)

# Blanks that NFKC leaves as they are: Ogham's space and Braille's empty cell.
_BLANKS = {0x1680: " ", 0x2800: " "}

# A text is in Latin letters if so many of its letters are, or look it. Of the letters of Russian or
# Greek prose about half do.
_NEARLY_ALL = 0.9

# Marks on one letter that unicodedata may sort by itself: it takes quadratic time.
_MANY_MARKS = 64

# Begin, end, and what to put there.
_Edit = tuple[int, int, str]


@dataclass(frozen=True, eq=False)
class Variant:
    """One form of a text that is to be tested, "original" or "normalised".

    ``changes`` says how many characters of the original were changed, by kind: "invisible",
    "homoglyph", "compatibility". ``origins`` has for each character of ``text`` the index of the
    one it came from, and then the original's length. It never decreases; characters that NFKC
    composed or reordered share the index of the first of them.
    """

    name: str
    text: str
    changes: dict[str, int]
    origins: npt.NDArray[np.int64]

    def original_span(self, begin: int, end: int) -> tuple[int, int]:
        """Return the range of the original that ``text[begin:end]`` came from.

        What was removed belongs to the character before it, and a character that became several
        to each of them.
        """
        first = int(self.origins[begin])
        if begin == end:
            return first, first
        after = np.searchsorted(self.origins, self.origins[end - 1], side="right")
        return first, int(self.origins[after])


def variants(text: str) -> list[Variant]:
    """Return ``text`` as it is, and normalised if that makes another text of it.

    To normalise is to remove invisible characters, then to fold what looks like Latin letters in a
    text or a word of Latin letters, then Unicode NFKC.
    """
    original = Variant("original", text, {}, np.arange(len(text) + 1, dtype=np.int64))
    if text.isascii():
        return [original]
    draft = _Draft(text, original.origins)
    draft.edit("invisible", ((*run.span(), "") for run in _INVISIBLE.finditer(text)))
    if can_fold_homoglyphs():
        draft.edit("homoglyph", _folds(draft.text))
    draft.edit("compatibility", _compositions(draft.text))
    if draft.text == text:
        return [original]
    return [original, Variant("normalised", draft.text, draft.changes, draft.origins)]


def can_fold_homoglyphs() -> bool:
    """Whether the library is installed that knows which letters look the same."""
    return _library("confusables") is not None


def _library(module: str) -> Any:
    try:
        return importlib.import_module(f"confusable_homoglyphs.{module}")
    except ImportError:
        return None


@dataclass
class _Draft:
    text: str
    origins: npt.NDArray[np.int64]
    changes: dict[str, int] = field(default_factory=dict)

    def edit(self, kind: str, edits: Iterable[_Edit]) -> None:
        """Apply edits that come in order and do not overlap."""
        pieces: list[str] = []
        copies = np.ones(len(self.origins), dtype=np.int64)
        changed = position = 0
        for begin, end, new in edits:
            pieces += self.text[position:begin], new
            copies[begin:end] = 0
            copies[begin] = len(new)
            changed += end - begin
            position = end
        if changed:
            self.text = "".join([*pieces, self.text[position:]])
            self.origins = np.repeat(self.origins, copies)
            self.changes[kind] = changed


def _folds(text: str) -> Iterator[_Edit]:
    """Letters of other scripts that stand for Latin ones.

    They are taken for Latin where two of three things say so: the text is in Latin letters, the
    word has some, and the word has no letter that only another script has. Thus Russian stays
    Russian, also where a Latin word is glued to it.
    """
    kinds = {ord(c): _kind(c) for c in set(text)}
    if "C" not in kinds.values():
        return
    shape = text.translate(kinds)
    latin = shape.count("L") + shape.count("C")
    is_latin = latin >= _NEARLY_ALL * (latin + shape.count("N"))
    for word in re.finditer("[LCNm]+", shape):
        if "C" in word[0] and is_latin + ("L" in word[0]) + ("N" not in word[0]) >= 2:
            before = ""
            for i in range(*word.span()):
                if shape[i] == "C":
                    before = _latin_letter(text[i], before)
                    yield i, i + 1, before
                else:
                    before = text[i]


@lru_cache(maxsize=1 << 16)
def _kind(character: str) -> str:
    """L for a Latin letter, C for one that looks like ASCII's, N for any other, m for a mark."""
    category = unicodedata.category(character)
    if category[0] != "L":
        return "m" if category[0] == "M" else " "
    plain = unicodedata.normalize("NFKC", character)[0]
    if _library("categories").alias(plain) == "LATIN":
        return "L"
    return "C" if _look_alike(character) else "N"


@lru_cache(maxsize=1 << 12)
def _look_alike(character: str) -> str:
    found = _library("confusables").is_confusable(character, preferred_aliases=["latin"])
    others = [str(other["c"]) for other in found[0]["homoglyphs"]] if found else []
    return next((o for o in others if len(o) == 1 and o.isascii() and o.isalpha()), "")


def _latin_letter(character: str, before: str) -> str:
    letter = _look_alike(character)
    # UTS #39 has one letter, l, for all that is a vertical line.
    return "I" if letter == "l" and not before.islower() else letter


def _compositions(text: str) -> Iterator[_Edit]:
    """NFKC, one run at a time: a character and all that may compose or change places with it."""
    kinds = {ord(c): _role(c) for c in set(text)}
    for found in re.finditer("[CB][JB]*|.[JB]+", text.translate(kinds)):
        run = text[found.start() : found.end()]
        begin, end, new = _difference(run, _nfkc(run))
        if begin < end:
            yield found.start() + begin, found.start() + end, new


def _role(character: str) -> str:
    """C for what NFKC changes, J for what it may join to the character before, B for both."""
    first = unicodedata.normalize("NFKD", character)[0]
    # Marks, Hangul's vowels and finals, and the one other letter (of Unicode 16) that composes.
    joins = unicodedata.category(first)[0] == "M" or "\u1160" <= first <= "\u11ff"
    if joins or first == "\U00016d67":
        return "J" if _nfkc(character) == character else "B"
    return " " if _nfkc(character) == character else "C"


def _nfkc(run: str) -> str:
    run = run.translate(_BLANKS)
    if len(run) > _MANY_MARKS:
        run = "".join(unicodedata.normalize("NFKD", c) for c in run)
        groups = groupby(run, lambda c: unicodedata.combining(c) > 0)
        run = "".join(
            "".join(sorted(group, key=unicodedata.combining) if marks else group)
            for marks, group in groups
        )
    return unicodedata.normalize("NFKC", run)


def _difference(run: str, new: str) -> _Edit:
    """Leave out of an edit what both have at their beginning and at their end."""
    begin, shorter = 0, min(len(run), len(new))
    while begin < shorter and run[begin] == new[begin]:
        begin += 1
    tail = 0
    while tail < shorter - begin and run[-1 - tail] == new[-1 - tail]:
        tail += 1
    return begin, len(run) - tail, new[begin : len(new) - tail]
