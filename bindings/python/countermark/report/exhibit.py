"""A text with what detection found in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from countermark._errors import CountermarkError
from countermark.reading import Reading, detect_readings

if TYPE_CHECKING:
    from countermark._core import DecoyRank, Detection, Detector, _Start
    from countermark.tokenizers import Span

_CURVE_POINTS = 80


@dataclass(frozen=True)
class Exhibit:
    """A text, the characters that each of its tokens stands for, and the detection."""

    title: str
    text: str
    spans: list[Span]
    detection: Detection
    curve: list[tuple[int, float]]
    """(tokens, log10 p) as if the text ended there."""
    decoys: DecoyRank | None = None
    """The best profile's key among decoy keys."""
    changes: dict[str, int] = field(default_factory=dict)
    """What was changed in the text's characters before it was tested, if that form was the best."""


def examine(
    title: str,
    readings: Sequence[Reading],
    detector: Detector,
    start: _Start | None = None,
    decoys: int = 99,
) -> Exhibit:
    """Detect in all forms of a text, follow the evidence along the best, and rank its key.

    ``readings`` is what :func:`countermark.reading.read` returns; the tokenizer must tell spans.
    ``decoys`` may be 0.
    """
    detection = detect_readings(detector, readings, start)
    best = readings[detection.variant]
    if best.spans is None:
        raise CountermarkError(
            "a report needs a tokenizer that says which characters a token stands for",
            "invalid_option",
        )
    ends = np.unique(np.linspace(1, len(best.ids), min(len(best.ids), _CURVE_POINTS)).astype(int))
    prefixes = detector.detect_many([best.ids[:end] for end in ends], start=start)
    curve = [(int(end), d.log10_p) for end, d in zip(ends, prefixes, strict=True)]
    rank = None
    if decoys:
        rank = detector.rank(best.ids, detection.best.profile, decoys, start)
    return Exhibit(
        title,
        readings[0].variant.text,
        best.spans,
        detection,
        curve,
        rank,
        best.variant.changes,
    )
