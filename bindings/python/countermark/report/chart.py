"""The evidence along a text, as inline SVG."""

from __future__ import annotations

from countermark.report.exhibit import Exhibit
from countermark.report.numbers import power_of_ten, raised
from countermark.report.plot import Plot, even_ticks

_PARTS_NUMBERED = 12


def evidence_chart(exhibit: Exhibit) -> str:
    """Draw p of the text up to each token, against the threshold; marked parts as bands."""
    detection = exhibit.detection
    threshold = -detection.log10_threshold
    points = [(0, 0.0), *((tokens, max(0.0, -log10_p)) for tokens, log10_p in exhibit.curve)]
    tokens, end = points[-1]
    top = 1.12 * max(threshold, max(y for _, y in points))
    ticks = [(value, raised(-value)) for value in even_ticks(top)]
    left = 26 + 8 * max(len(name) for _, name in ticks)
    plot = Plot((760, 240), (left, 14, 30, 34), (0, tokens), (0, top))

    bands = []
    for i, region in enumerate(detection.regions, 1):
        begin, stop = plot.x(region.begin), plot.x(region.end)
        bands.append(
            f'<rect class=band x="{begin}" y="{plot.top}" '
            f'width="{max(1, stop - begin):.1f}" height="{plot.bottom - plot.top}"/>'
            f'<rect class=track x="{begin}" y="{plot.top - 4}" '
            f'width="{max(1, stop - begin):.1f}" height="4"/>'
        )
        if len(detection.regions) <= _PARTS_NUMBERED:
            bands.append(
                f'<text class=part x="{(begin + stop) / 2:.1f}" y="{plot.top - 9}" '
                f'text-anchor="middle">{i}</text>'
            )
    # The label stands where the line is farther from it.
    at = {"start": 0.06, "end": 0.94}
    distance = {side: abs(_at(points, at[side] * tokens) - threshold) for side in at}
    side = max(distance, key=lambda side: (distance[side], side))
    x = plot.left + 6 if side == "start" else plot.right - 6
    label = (
        f"Evidence along the text of {tokens:,} tokens: p = {power_of_ten(-end)} at its end, "
        f"{power_of_ten(-threshold)} asked for"
    )
    if detection.regions:
        label += f"; {len(detection.regions)} marked parts are shaded"
    return plot.svg(
        label,
        *bands,
        plot.y_axis(ticks),
        plot.x_axis((value, f"{value:,}") for value in even_ticks(tokens)),
        f'<polygon class=area points="{plot.points([(0, 0), *points, (tokens, 0)])}"/>'
        f'<polyline class=line points="{plot.points(points)}"/>'
        f'<line class=threshold x1="{plot.left}" x2="{plot.right}" '
        f'y1="{plot.y(threshold)}" y2="{plot.y(threshold)}"/>'
        f'<text class=label x="{x}" y="{plot.y(threshold)}" dy="-.4em" '
        f'text-anchor="{side}">asked for</text>',
        css="wide",
    )


def _at(points: list[tuple[int, float]], token: float) -> float:
    return next(y for tokens, y in points if tokens >= token)
