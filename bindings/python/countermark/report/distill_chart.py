"""A suspect's evidence as it came in, as inline SVG."""

from __future__ import annotations

from countermark.report.distill_case import Case
from countermark.report.numbers import count, power_of_ten, raised
from countermark.report.plot import Plot, even_ticks


def distill_chart(case: Case) -> str:
    """Draw p at each look, against the p-value asked for; the controls beside it."""
    curves = [
        [(0, 0.0), *((at, -p) for at, p in case.curve(inquiry))]
        for inquiry in (case.suspect, *case.controls)
    ]
    threshold = -case.log10_rate
    end, evidence = curves[0][-1]
    positions = max(at for curve in curves for at, _ in curve)
    top = 1.12 * max(threshold, *(y for curve in curves for _, y in curve))
    ticks = [(value, raised(-value)) for value in even_ticks(top)]
    left = 26 + 8 * max(len(name) for _, name in ticks)
    plot = Plot((760, 240), (left, 14, 30, 34), (0, max(1, positions)), (0, top))
    lines = [
        f'<polyline class={css} points="{plot.points(curve)}"/>'
        + "".join(
            f'<circle class={css}-look cx="{plot.x(x)}" cy="{plot.y(y)}" r="3"/>'
            for x, y in curve[1:]
        )
        for curve, css in zip(curves, ["line", *["control"] * len(case.controls)], strict=True)
    ]
    # The suspect's goes over the others.
    return plot.svg(
        f"Evidence over {count(positions, 'position')}: p = {power_of_ten(-evidence)} at "
        f"{end:,}, {power_of_ten(case.log10_rate)} asked for",
        plot.y_axis(ticks),
        plot.x_axis((value, f"{value:,}") for value in even_ticks(positions)),
        *reversed(lines),
        f'<line class=threshold x1="{plot.left}" x2="{plot.right}" '
        f'y1="{plot.y(threshold)}" y2="{plot.y(threshold)}"/>'
        f'<text class=label x="{plot.left + 6}" y="{plot.y(threshold)}" dy="-.4em">asked for'
        "</text>",
        css="wide",
    )
