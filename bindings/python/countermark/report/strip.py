"""A key among decoy keys, as a strip of dots in inline SVG."""

from __future__ import annotations

import math
from collections import Counter
from typing import Protocol

import numpy as np
import numpy.typing as npt

from countermark.report.numbers import power_of_ten, raised
from countermark.report.plot import EVIDENCE_TICKS, Plot, evidence_place

_PITCH = 5.0
_HIGHEST = 33  # dots above each other


class Ranked(Protocol):
    """A key among decoy keys, as :class:`countermark.DecoyRank` is."""

    @property
    def profile(self) -> str:
        """Whose key it is."""

    @property
    def log10_p(self) -> float:
        """The key's own."""

    @property
    def decoys(self) -> npt.NDArray[np.float64]:
        """log10 p of each decoy."""

    @property
    def rank(self) -> int:
        """1 where no decoy has as small a p-value."""


def decoy_strip(rank: Ranked) -> str:
    """Draw a dot for each decoy (or for several, if they are many) and where the key is."""
    plot, columns, each = _plot(rank), _columns(rank), decoys_per_dot(rank)
    dots = [
        f'<circle class=decoy cx="{plot.left + (column + 0.5) * _PITCH:.1f}" '
        f'cy="{plot.bottom - (i + 0.5) * _PITCH - 1:.1f}" r="2.1"/>'
        for column, n in sorted(columns.items())
        for i in range(math.ceil(n / each))
    ]
    at = plot.x(evidence_place(rank.log10_p))
    side, dx = ("end", "-.5em") if at > 0.7 * plot.right else ("start", ".5em")
    return plot.svg(
        f"{rank.profile} with p = {power_of_ten(rank.log10_p)} among {len(rank.decoys):,} decoy "
        f"keys, the smallest p of which is {power_of_ten(float(rank.decoys.min()))}: rank "
        f"{rank.rank:,} of {len(rank.decoys) + 1:,}",
        plot.y_axis([(0, "")]),
        plot.x_axis((evidence_place(-tick), raised(-tick)) for tick in EVIDENCE_TICKS),
        *dots,
        f'<line class=line x1="{at}" x2="{at}" y1="{plot.top}" y2="{plot.bottom}"/>'
        f'<text class=key x="{at}" y="{plot.top}" dx="{dx}" dy=".8em" '
        f'text-anchor="{side}">this key</text>',
    )


def decoys_per_dot(rank: Ranked) -> int:
    """Return how many decoys a dot stands for: 1, or a round number."""
    most = max(_columns(rank).values())
    rounds = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000]
    return next(n for n in rounds if n * _HIGHEST >= most)


def _plot(rank: Ranked) -> Plot:
    top = 1.1 * max(3.0, -rank.log10_p, -float(rank.decoys.min()))
    return Plot((364, 220), (14, 14, 26, 26), (0, evidence_place(-top)), (0, 1))


def _columns(rank: Ranked) -> Counter[int]:
    plot = _plot(rank)
    return Counter(
        int((plot.x(evidence_place(float(p))) - plot.left) / _PITCH) for p in rank.decoys
    )
