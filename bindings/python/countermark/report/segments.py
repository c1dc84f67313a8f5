"""Tokens laid over the characters of their text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from countermark.tokenizers import Span


@dataclass
class Segment:
    """Characters ``begin`` to ``end`` of a text, and the scores of the tokens they came from."""

    begin: int
    end: int
    scores: list[float] = field(default_factory=list)
    """Empty where no token of the segment was scored."""

    @property
    def score(self) -> float | None:
        """Mean score of the tokens; None where none was scored."""
        return sum(self.scores) / len(self.scores) if self.scores else None


def segments(
    length: int, spans: Sequence[Span], scores: Sequence[float] | npt.NDArray[np.float64]
) -> list[Segment]:
    """Cut ``length`` characters so that every character is in exactly one segment.

    Tokens that share characters (the bytes of an emoji) share a segment. Characters of no token
    (spaces that a tokenizer drops) are a segment without scores.
    """
    cut: list[Segment] = []
    waiting: list[float] = []  # of tokens without characters: the bytes before the last one
    position = 0
    for (begin, end), score in zip(spans, scores, strict=True):
        scored = [] if np.isnan(score) else [float(score)]
        end = min(end, length)
        if end <= position:
            if begin < position and cut:
                cut[-1].scores += scored
            else:
                waiting += scored
            continue
        if begin < position and cut:
            cut[-1].end = end
            cut[-1].scores += waiting + scored
        else:
            if begin > position:
                cut.append(Segment(position, begin))
            cut.append(Segment(begin, end, waiting + scored))
        waiting = []
        position = end
    if position < length:
        cut.append(Segment(position, length))
    if waiting and cut:
        cut[-1].scores += waiting
    return cut
