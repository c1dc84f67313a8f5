"""The scores of a text's tokens beside what chance makes of them, as inline SVG."""

from __future__ import annotations

import numpy as np

from countermark._core import Detection
from countermark.report.plot import Plot, even_ticks

_WIDTH = 0.5
_BINS = 16  # and one for all that is higher


def score_histogram(detection: Detection) -> str:
    """Draw how many scores there are of each size, and how many are expected without the mark."""
    scores = detection.token_scores[~np.isnan(detection.token_scores)]
    edges = _WIDTH * np.arange(_BINS + 1)
    counts = np.bincount(np.minimum(scores / _WIDTH, _BINS).astype(int), minlength=_BINS + 1)
    beyond = np.exp(-np.append(edges, np.inf))
    expected = len(scores) * (beyond[:-1] - beyond[1:])
    top = 1.08 * max(1.0, counts.max(), expected.max())
    last = edges[-1] + _WIDTH
    ticks = [(value, f"{value:,}") for value in even_ticks(top)]
    left = 16 + 7 * max(len(name) for _, name in ticks)
    plot = Plot((364, 220), (left, 10, 10, 26), (0, last), (0, top))
    bars = [
        f'<rect class=bar x="{plot.x(left) + 1:.1f}" y="{plot.y(count)}" '
        f'width="{plot.x(left + _WIDTH) - plot.x(left) - 2:.1f}" '
        f'height="{plot.bottom - plot.y(count):.1f}"/>'
        for left, count in zip(edges, counts, strict=True)
        if count
    ]
    middles = list(zip(edges + _WIDTH / 2, expected, strict=True))
    dots = [f'<circle class=dot cx="{plot.x(x)}" cy="{plot.y(y)}" r="2.5"/>' for x, y in middles]
    mean = scores.mean() if len(scores) else 0.0
    return plot.svg(
        f"Histogram of {len(scores):,} scores: their mean is {mean:.2f}, and 1 is expected without "
        f"the mark; {(scores > 3).sum():,} are above 3, and {len(scores) * np.exp(-3):,.0f} are "
        "expected there",
        plot.y_axis(ticks),
        plot.x_axis((value, f"{value:g}") for value in edges[:-1:4]),
        plot.x_axis([(last - _WIDTH / 2, f"{edges[-1]:g}+")]),
        *bars,
        f'<polyline class=expected points="{plot.points(middles)}"/>',
        *dots,
    )
