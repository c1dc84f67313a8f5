"""From characters to what a detector reads: the forms of a text, and the tokens of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from countermark.normalisation import Variant, variants
from countermark.tokenizers import Span, encode_for, require_text

if TYPE_CHECKING:
    from countermark._core import Detection, Detector, Profile, Trace, Tracer, _Start


@dataclass(frozen=True)
class Reading:
    """One form of a text in tokens."""

    variant: Variant
    ids: npt.NDArray[np.integer[Any]]
    spans: list[Span] | None
    """Characters of the original text that each token stands for, where the tokenizer tells."""


def read(text: str, tokenizer: Any, profiles: Sequence[Profile] = ()) -> list[Reading]:
    """Return the forms in which ``text`` is to be tested: as it is, and normalised if it differs.

    Raises CountermarkError where the tokenizer is not that of all ``profiles``.
    """
    require_text(text)
    readings: list[Reading] = []
    for variant in variants(text):
        if not variant.text:  # of nothing but invisible characters nothing is left
            continue
        ids, spans = encode_for(profiles, variant.text, tokenizer)
        if spans is not None and len(readings) > 0:
            spans = [variant.original_span(begin, end) for begin, end in spans]
        readings.append(Reading(variant, ids, spans))
    return readings


def detect_readings(
    detector: Detector, readings: Sequence[Reading], start: _Start | None = None
) -> Detection:
    """Test every form of a text, pay for all of them, and return what the best one says."""
    detection = detector.detect_variants([reading.ids for reading in readings], start)
    spans = readings[detection.variant].spans
    if spans is not None:
        detection._locate(spans)
    return detection


def detect_text(
    detector: Detector, text: str, tokenizer: Any, start: _Start | None = None
) -> Detection:
    """Detect in ``text`` as it is and normalised. Regions have characters of ``text``."""
    return detect_readings(detector, read(text, tokenizer, detector.profiles), start)


def trace_text(tracer: Tracer, text: str, tokenizer: Any, start: _Start | None = None) -> Trace:
    """Trace ``text`` normalised, which is decided beforehand: a search costs more than a test.

    Regions have characters of ``text``.
    """
    return trace_reading(tracer, read(text, tokenizer, [tracer.profile])[-1], start)


def trace_reading(
    tracer: Tracer, reading: Reading, start: _Start | None = None, **options: Any
) -> Trace:
    """Trace one form of a text."""
    trace = tracer.trace(reading.ids, start, **options)
    if reading.spans is not None:
        trace._locate(reading.spans)
    return trace


def reading_of(text: str, ids: npt.NDArray[np.integer[Any]], spans: list[Span] | None) -> Reading:
    """Return the one form of a text whose tokens are at hand already."""
    origins = np.arange(len(text) + 1, dtype=np.int64)
    return Reading(Variant("original", text, {}, origins), ids, spans)
