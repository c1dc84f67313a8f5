"""A text with what detection found in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from countermark._core import Detection, Detector, _Start
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


def examine(
    title: str,
    text: str,
    ids: npt.NDArray[np.int32],
    spans: list[Span],
    detector: Detector,
    start: _Start | None = None,
) -> Exhibit:
    """Detect, and follow the evidence along the text. ``spans`` are characters of ``text``."""
    detection = detector.detect(ids, start)
    ends = np.unique(np.linspace(1, len(ids), min(len(ids), _CURVE_POINTS)).astype(int))
    prefixes = detector.detect_many([ids[:end] for end in ends], start=start)
    curve = [(int(end), d.log10_p) for end, d in zip(ends, prefixes, strict=True)]
    return Exhibit(title, text, spans, detection, curve)
