"""All accounts by what they score on one text, and the best of them, as inline SVG."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from countermark._core import Trace, Tracer, _log10_gamma_tail
from countermark.report.numbers import count, power_of_ten, raised
from countermark.report.plot import EVIDENCE_TICKS, Plot, evidence_place

_BINS = 64
_LABELLED = 3
_LOWEST = -0.3  # log10 of half an account: an account is a bar
_GRID = 400
_FONT = 20  # where the page is narrow


@dataclass(frozen=True)
class Crowd:
    """How many accounts have how much evidence against them, by the whole text."""

    edges: npt.NDArray[np.float64]
    """-log10 p, rising."""
    counts: npt.NDArray[np.int64]

    @property
    def expected(self) -> npt.NDArray[np.float64]:
        """What innocent accounts make: of ten, one has a p-value below a tenth."""
        shares: npt.NDArray[np.float64] = 10.0**-self.edges
        return (shares[:-1] - shares[1:]) * int(self.counts.sum())


def crowd_of(tracer: Tracer, ids: npt.NDArray[np.integer], trace: Trace) -> Crowd | None:
    """Count all accounts by the p-value of their sum; None where no token is scored."""
    scored = tracer.scored(ids)
    if not scored:
        return None
    sums = tracer.scores(ids)
    # The bulk lies within a few deviations of the mean, and the best may be far above.
    bulk = scored + math.sqrt(scored) * np.linspace(-6, 12, _GRID)
    above = np.linspace(0, max(float(sums.max()), 4.0 * scored), _GRID)
    grid = np.unique(np.concatenate([bulk[bulk > 0], above]))
    evidence = np.maximum.accumulate(-_log10_gamma_tail(scored, grid))  # whatever rounding says
    best = float(np.interp(sums.max(), grid, evidence))
    top = 1.1 * max(3.0, best, bar_of(trace), *(-c.log10_p for c in trace.candidates))
    edges = np.expm1(np.linspace(0, evidence_place(-top), _BINS + 1))
    cuts = np.interp(edges, evidence, grid)
    cuts[0], cuts[-1] = 0.0, np.inf
    return Crowd(edges, np.histogram(sums, cuts)[0])


def bar_of(trace: Trace) -> float:
    """Return -log10 of the p-value, alone, at which an account stands out by the whole text."""
    return -(trace.log10_threshold + math.log10(trace.tests[0].share) - math.log10(trace.tested))


def crowd_chart(trace: Trace, crowd: Crowd) -> str:
    """Draw how many accounts have which evidence, what chance makes of them, and the best."""
    places = np.log1p(crowd.edges)
    highest = math.log10(max(1, int(crowd.counts.max()), *crowd.expected)) + 0.2
    ticks = [(e, f"{10**e:,}" if e < 4 else raised(e)) for e in range(math.ceil(highest))]
    left = 26 + 8 * max(len(name) for _, name in ticks)
    plot = Plot((760, 260), (left, 14, 34, 34), (0, float(places[-1])), (_LOWEST, highest))
    bars = "".join(
        f'<rect class=bar x="{plot.x(a) + 0.5:.1f}" y="{plot.y(math.log10(n))}" '
        f'width="{plot.x(b) - plot.x(a) - 1:.1f}" '
        f'height="{plot.bottom - plot.y(math.log10(n)):.1f}"/>'
        for a, b, n in zip(places[:-1], places[1:], crowd.counts, strict=True)
        if n
    )
    chance = [
        ((a + b) / 2, math.log10(n))
        for a, b, n in zip(places[:-1], places[1:], crowd.expected, strict=True)
        if n > 10**_LOWEST
    ]
    bar = bar_of(trace)
    best = [c for c in trace.candidates if c.account is not None]
    uprights = [(-bar, "threshold", "label", "asked for")]
    uprights += [(c.log10_p, "line", "key", f"account {c.account}") for c in best if c.is_accused][
        :_LABELLED
    ]
    # Names in rows of their own never meet, and go over the lines.
    lines, names = zip(*(_upright(plot, *u, row) for row, u in enumerate(uprights)), strict=True)
    label = (
        f"{count(int(crowd.counts.sum()), 'account')} by p-value over the whole text; p = "
        f"{power_of_ten(-bar)} alone is asked for"
        + "".join(
            f"; account {c.account} has p = {power_of_ten(c.log10_p)}" for c in best[:_LABELLED]
        )
    )
    return plot.svg(
        label,
        plot.y_axis(ticks),
        plot.x_axis(((evidence_place(-tick), raised(-tick)) for tick in EVIDENCE_TICKS), _FONT),
        bars,
        f'<polyline class=expected points="{plot.points(chance)}"/>',
        "".join(lines),
        "".join(names),
        "".join(
            f'<circle class=dot cx="{plot.x(evidence_place(c.log10_p))}" cy="{plot.y(0)}" r="3"/>'
            for c in best
        ),
        css="wide",
    )


def _upright(
    plot: Plot, log10_p: float, line: str, css: str, name: str, row: int
) -> tuple[str, str]:
    """Draw a line at a p-value, and its name beside it."""
    at = plot.x(evidence_place(log10_p))
    side, dx = ("end", "-.4em") if at > 0.6 * plot.right else ("start", ".4em")
    return (
        f'<line class={line} x1="{at}" x2="{at}" y1="{plot.top - 20}" y2="{plot.bottom}"/>',
        f'<text class={css} x="{at}" y="{plot.top - 20}" dx="{dx}" dy="{0.8 + 1.3 * row:.1f}em" '
        f'text-anchor="{side}">{name}</text>',
    )
