"""What a calibration measured, as a page and in a few lines."""

from __future__ import annotations

import math
from html import escape

from countermark._core import Calibration, MeasuredRates, Profile
from countermark.report.document import document, paragraphs, table
from countermark.report.numbers import count, raised, times
from countermark.report.plot import Plot

NOMINAL = (0.1, 0.01, 0.001)
_LOWEST = -4.0  # log10 of what a plot shows
_LARGE = math.log10(3)  # half a decade: worth doing something about

_ADVICE = [
    "Calibrate on more text of the kind to come: a template that is not among the documents is not "
    "known, and rates of few pieces are uncertain.",
    "Leave out more with a lower --common-in, or take headings, licences and other boilerplate out "
    "before a text is tested.",
    "Draw another key, or take wider contexts (--narrow-width, --wide-width): the excess is this "
    "key's own luck with the n-grams that documents share.",
    "Or leave it: error rates hold with the factor, and marked texts of these lengths only have to "
    "be a little longer to show.",
]


def render_calibration(calibration: Calibration, profile: Profile) -> str:
    """Return one HTML document about a calibration of ``profile``."""
    body = [
        f"<div class=verdict>{paragraphs(_summary(calibration))}</div>",
        "<dl class=meaning><dt>What this says</dt><dd>How often unmarked texts like these get a "
        "p-value of at most 0.1, 0.01 and 0.001 under this very key. It should be one text in 10, "
        "100 and 1,000. Where it is more even without the common n-grams, all p-values are "
        "enlarged by that factor.</dd>"
        "<dt>What it does not</dt><dd>It says nothing of other keys, of other kinds of text, or of "
        "rates far below those that so many pieces can show.</dd></dl>",
        "<h2>Measured against nominal rates</h2>",
        _plots(calibration),
        _rates(calibration),
        f"<h2>{_heading(calibration)}</h2><ul>",
        *(f"<li>{escape(line)}" for line in _advice(calibration)),
        "</ul>",
        f"<h2>What it is for</h2><dl class=profile><dt>profile</dt><dd>{escape(profile.id)}</dd>"
        f"<dt>mark</dt><dd>{escape(profile.mark)}</dd>"
        f"<dt>key</dt><dd>{escape(calibration.key_id)}</dd></dl>",
    ]
    return document(f"Calibration of {profile.id}", [], body)


def explain_calibration(calibration: Calibration) -> list[str]:
    """Say what was measured: a line about all of it, and one for each length."""
    lines = _summary(calibration)
    for rates in calibration.rates:
        what = f"{rates.tokens:,} tokens ({count(rates.pieces, 'piece')}): "
        if not rates.filtered:
            lines.append(what + "too few to measure.")
            continue
        lines.append(
            f"{what}p of at most 0.01 in {_share(rates.filtered[1])} of them, "
            f"{_share(rates.plain[1])} with the common n-grams; factor "
            f"{times(rates.log10_inflation)}."
        )
    return lines


def _summary(calibration: Calibration) -> list[str]:
    lines = [
        f"{count(calibration.documents, 'document')}, "
        f"{count(calibration.common_ngrams, 'common n-gram')}: those that at least "
        f"{calibration.common_in:,} documents share, and that are not scored from now on.",
    ]
    worst = _worst(calibration)
    if worst is None:
        lines.append(
            "No error rate could be measured: the documents hold too few pieces of any length. "
            "p-values stay as they are."
        )
    elif worst.log10_inflation == 0:
        lines.append("No rate is above its nominal one: p-values stay as they are.")
    else:
        lines.append(
            f"p-values are enlarged, at most {times(worst.log10_inflation)} times (texts of about "
            f"{worst.tokens:,} tokens)."
        )
    return lines


def _worst(calibration: Calibration) -> MeasuredRates | None:
    measured = [rates for rates in calibration.rates if rates.filtered]
    return max(measured, key=lambda rates: rates.log10_inflation, default=None)


def _heading(calibration: Calibration) -> str:
    worst = _worst(calibration)
    is_large = worst is None or worst.log10_inflation > _LARGE
    return "What to do about it" if is_large else "What to do if a factor were large"


def _advice(calibration: Calibration) -> list[str]:
    again = "Calibrate again when the key, its parameters or the kind of text changes."
    return [*_ADVICE, again]


def _rates(calibration: Calibration) -> str:
    rows = []
    for rates in calibration.rates:
        row = [f"{rates.tokens:,}", f"{rates.pieces:,}"]
        if rates.filtered:
            for before, after in zip(rates.plain, rates.filtered, strict=True):
                row += [_share(before), _share(after)]
            row.append(times(rates.log10_inflation))
        else:
            row += ["too few"] + [""] * (2 * len(NOMINAL))
        rows.append(row)
    heads = ["#tokens", "#pieces"]
    for rate in NOMINAL:
        heads += [f"#p&nbsp;&le;&nbsp;{rate:g} {when}" for when in ("before", "after")]
    return (
        table([*heads, "#factor"], rows)
        + "<p class=hint>The share of the pieces with so small a p-value, before and after the "
        "common n-grams are left out. The factor is the largest excess of the measured rate over "
        "the nominal one at any rate that at least eight pieces show, after.</p>"
    )


def _plots(calibration: Calibration) -> str:
    measured = [rates for rates in calibration.rates if rates.filtered]
    if not measured:
        return "<p class=hint>Too few pieces of any length to measure a rate.</p>"
    plots = "".join(
        f"<figure><h3>{rates.tokens:,} tokens</h3>{_plot(rates)}</figure>" for rates in measured
    )
    return (
        "<p class=hint>Up: the share of pieces with so small a p-value. Across: the nominal rate, "
        "which it should be (the diagonal). What lies in the grey band may be chance.</p>"
        '<ul class=legend><li><svg class=sample viewBox="0 0 26 12" aria-hidden="true">'
        "<line class=before x1=0 x2=26 y1=6 y2=6 /><circle class=before cx=13 cy=6 r=3.5 /></svg>"
        'before<li><svg class=sample viewBox="0 0 26 12" aria-hidden="true">'
        "<line class=line x1=0 x2=26 y1=6 y2=6 /><circle class=after cx=13 cy=6 r=3.5 /></svg>"
        "after leaving out the common n-grams</ul>"
        f"<div class=panels>{plots}</div>"
    )


def _plot(rates: MeasuredRates) -> str:
    plot = Plot((236, 200), (40, 12, 8, 26), (-3.25, -0.75), (_LOWEST, 0.0))
    nominal = [math.log10(rate) for rate in NOMINAL]
    label = f"Measured rates of {rates.pieces:,} pieces of {rates.tokens:,} tokens: " + "; ".join(
        f"{_share(before)} before and {_share(after)} after where {rate:g} is nominal"
        for rate, before, after in zip(NOMINAL, rates.plain, rates.filtered, strict=True)
    )
    edges = [_by_chance(10**x, rates.pieces) for x in _steps(plot)]
    upper = [(x, high) for x, (_, high) in zip(_steps(plot), edges, strict=True)]
    lower = [(x, low) for x, (low, _) in zip(_steps(plot), edges, strict=True)]
    return plot.svg(
        label,
        f'<polygon class=chance points="{plot.points([*upper, *reversed(lower)])}"/>',
        plot.y_axis((e, raised(e)) for e in range(0, int(_LOWEST) - 1, -1)),
        plot.x_axis((e, raised(e)) for e in (-3, -2, -1)),
        f'<line class=diagonal x1="{plot.x(-3.25)}" y1="{plot.y(-3.25)}" x2="{plot.x(-0.75)}" '
        f'y2="{plot.y(-0.75)}"/>',
        _curve(plot, nominal, rates.plain, "before", "before"),
        _curve(plot, nominal, rates.filtered, "line", "after"),
    )


def _curve(plot: Plot, nominal: list[float], shares: list[float], line: str, dot: str) -> str:
    """Draw the rates that are not 0, which has no place on the scale."""
    points = [
        (x, max(_LOWEST, math.log10(share)))
        for x, share in zip(nominal, shares, strict=True)
        if share > 0
    ]
    dots = "".join(
        f'<circle class={dot} cx="{plot.x(x)}" cy="{plot.y(y)}" r="3.5"/>' for x, y in points
    )
    return f'<polyline class={line} points="{plot.points(points)}"/>{dots}'


def _steps(plot: Plot) -> list[float]:
    low, high = plot.x_range
    return [low + (high - low) * i / 20 for i in range(21)]


def _by_chance(rate: float, pieces: int) -> tuple[float, float]:
    """Return log10 of about the least and the largest share in 95 of 100 measurements."""
    spread = 1.96 * math.sqrt(rate * (1 - rate) / pieces)
    low = math.log10(rate - spread) if rate > spread else _LOWEST
    return max(_LOWEST, low), math.log10(rate + spread)


def _share(share: float) -> str:
    return f"{share:.2g}" if share else "0"
