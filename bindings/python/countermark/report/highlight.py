"""A text, every token coloured by its score and the marked parts underlined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt

from countermark._core import Detection, Region, TracedRegion
from countermark.report.excerpt import excerpts
from countermark.report.exhibit import Exhibit
from countermark.report.numbers import bound, count
from countermark.report.segments import Segment, segments
from countermark.tokenizers import Span

_STEPS = (1.0, 2.0, 3.0, 5.0)


@dataclass(frozen=True)
class Part:
    """Characters of a marked part, and what is written before them."""

    begin: int
    end: int
    anchor: str
    label: str
    css: str = ""


@dataclass(frozen=True)
class Passage:
    """A text, the characters and scores of its tokens, and its marked parts."""

    text: str
    spans: Sequence[Span]
    scores: npt.NDArray[np.float64]
    regions: Sequence[Region | TracedRegion]
    parts: Sequence[Part]
    """Those regions whose characters are known, in the order of the text."""


def legend(token_scores: npt.NDArray[np.float64], key: str, has_parts: bool) -> str:
    """Say what the colours mean, and how much of the text has which; ``key`` is that scored by."""
    scores = token_scores[~np.isnan(token_scores)]
    counts = np.bincount(np.searchsorted(_STEPS, scores, side="right"), minlength=len(_STEPS) + 1)
    bounds = np.exp(-np.array([0.0, *_STEPS, np.inf]))
    expected = bounds[:-1] - bounds[1:]
    names = ["0-1", "1-2", "2-3", "3-5", "5 and more"]
    items = "".join(
        f"<li><b class=s{i}>{name}</b> {n / max(1, len(scores)):.0%} <small>({share:.0%})</small>"
        for i, (name, n, share) in enumerate(zip(names, counts, expected, strict=True))
    )
    return (
        f"<p class=hint>Each token is coloured by its score under the key of {escape(key)}, "
        "which is 1 on average where there is no mark. Below: "
        "the share of the tokens here, and in brackets what is expected without the mark. Plain "
        "tokens are not scored: too little context, a context that occurred before, or the start "
        "of a response, which is drawn freely."
        + (" What is underlined is a marked part." if has_parts else "")
        + f"</p><ul class=legend>{items}</ul>"
    )


def passage_of(exhibit: Exhibit, name: str) -> Passage:
    """Return what is to be shown of an exhibit. ``name`` begins its anchors."""
    detection = exhibit.detection
    return Passage(
        exhibit.text,
        exhibit.spans,
        detection.token_scores,
        detection.regions,
        _parts(detection, name),
    )


def highlighted(passage: Passage) -> str:
    """Return the text, or of a long one the parts that matter."""
    tokens = len(passage.spans)
    shown = excerpts(tokens, passage.regions)
    if shown == [range(tokens)]:
        return _block(passage, shown[0], 0, len(passage.text))
    what = "the marked parts and what is around them" if passage.regions else "its start"
    blocks = [
        f"<p class=hint>The text is long: of {count(tokens, 'token')}, this shows {what}, "
        f"{count(sum(map(len, shown)), 'token')}. Everything else on this page is about all of "
        "it.</p>"
    ]
    for piece in shown:
        spans = passage.spans[piece.start : piece.stop]
        begin, end = min(begin for begin, _ in spans), max(end for _, end in spans)
        blocks.append(f"<p class=hint>Tokens {piece.start + 1:,} to {piece.stop:,}</p>")
        blocks.append(_block(passage, piece, begin, end))
    return "".join(blocks)


def part_name(name: str, number: int) -> str:
    """Return the anchor of a marked part."""
    return f"{name}-part-{number}"


def _block(passage: Passage, tokens: range, begin: int, end: int) -> str:
    """Lay tokens over the characters from ``begin`` to ``end``."""
    spans = passage.spans[tokens.start : tokens.stop]
    scores = passage.scores[tokens.start : tokens.stop]
    parts = list(passage.parts)
    html: list[str] = []
    inside = -1  # where the part ends that the characters are in
    for segment in segments(
        end - begin, [(max(a, begin) - begin, b - begin) for a, b in spans], scores
    ):
        at = begin + segment.begin
        piece = passage.text[at : begin + segment.end]
        word = piece.lstrip() or piece
        if 0 <= inside <= at:
            html.append("</mark>")
            inside = -1
        html.append(piece[: len(piece) - len(word)])
        while parts and parts[0].end <= at:  # before the excerpt, or within a part of another key
            parts.pop(0)
        if inside < 0 and parts and parts[0].begin <= at:
            part = parts.pop(0)
            goes_on = part.begin < begin
            tone = f' class="{part.css}"' if part.css else ""
            html.append(
                f'<mark{tone} data-part="{part.label}, continued">'
                if goes_on
                else f'<mark{tone} id="{part.anchor}" data-part="{part.label}">'
            )
            inside = part.end
        html.append(_coloured(segment, word))
    if inside >= 0:
        html.append("</mark>")
    # Whose language and direction nobody knows.
    return f'<div class=text lang="" dir=auto>{"".join(html)}</div>'


def _parts(detection: Detection, name: str) -> list[Part]:
    """Return the marked parts in the order of the text."""
    several = detection.tested > 1
    parts: list[Part] = []
    for number, region in enumerate(detection.regions, 1):
        if region.characters is None:
            continue
        label = f"part {number}" + (f", {region.profile}" if several else "")
        parts.append(
            Part(
                *region.characters,
                part_name(name, number),
                escape(f"{label}, {bound(region.log10_p)}"),
            )
        )
    return parts


def _coloured(segment: Segment, word: str) -> str:
    if segment.score is None:
        return escape(word, quote=False)
    step = int(np.searchsorted(_STEPS, segment.score, side="right"))
    tip = " + ".join(f"{score:.2f}" for score in segment.scores)
    return f'<b class=s{step} title="score {tip}">{escape(word, quote=False)}</b>'
