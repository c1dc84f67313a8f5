"""Every test that was made, and what its p-value was corrected for."""

from __future__ import annotations

import math
from html import escape

from countermark._core import Detection, ProfileResult
from countermark.report.document import p_value, paragraphs, table
from countermark.report.numbers import power_of_ten, times
from countermark.report.words import STATISTICS, corrected, decisive


def tests_table(detection: Detection) -> str:
    """List every test of every profile; the decisive one in bold."""
    best = decisive(detection.best)
    rows = []
    for result in detection.results:
        for test in result.tests:
            is_best = result.profile == detection.best.profile and test.statistic == best.statistic
            cells = [
                escape(result.profile),
                STATISTICS[test.statistic],
                f"{test.share:.0%}",
                p_value(test.log10_p),
                p_value(corrected(result, test)),
            ]
            rows.append([f"<strong>{cell}</strong>" if is_best else cell for cell in cells])
    heads = ["profile", "what was tested", "#share", "#p alone", "#p after correction"]
    notes = ["In bold: the test whose p-value counts."]
    if any(math.isnan(test.log10_p) for result in detection.results for test in result.tests):
        notes.append(
            "Not decisive: its p-value was not worked out, because it could not have been the "
            "smallest of its profile."
        )
    return table(heads, rows) + f"<p class=hint>{' '.join(notes)}</p>"


def results_table(detection: Detection) -> str:
    """List what every profile's key found."""
    rows = [
        [
            escape(result.profile),
            f"{result.scored:,}",
            f"{result.score / max(1, result.scored):.2f}",
            "a whole response" if result.start == "response" else "from anywhere in one",
            p_value(result.log10_p_adjusted),
            p_value(result.log10_e),
        ]
        for result in detection.results
    ]
    heads = [
        "profile",
        "#scored",
        "#mean score",
        "text taken as",
        "#p after correction",
        "#e-value",
    ]
    return table(heads, rows)


def explain_corrections(detection: Detection) -> list[str]:
    """Say how p-values were corrected, a line for each reason."""
    shares = max(len(result.tests) for result in detection.results)
    lines = [
        "Shares: each test has its part of the error rate, fixed before the text was seen; its "
        "p-value is divided by it."
        if shares > 1
        else "Shares: one test, so there is nothing to share."
    ]
    factors = [_factor(result) for result in detection.results if result.log10_inflation > 0]
    if factors:
        lines.append(f"Calibration: p-values are enlarged, {', '.join(factors)}.")
    lines.append(
        f"Profiles: {detection.tested} tested, Holm's correction over all of them."
        if detection.tested > 1
        else "Profiles: one tested, so there is nothing to correct for."
    )
    lines.append(
        f"Forms: {detection.variants} forms of the text tested, so p-values count "
        f"{detection.variants} times."
        if detection.variants > 1
        else "Forms: the text was tested as it came."
    )
    lines.append(
        f"Marked means a corrected p of at most {power_of_ten(detection.log10_threshold)}. The "
        f"e-value of all profiles together is {power_of_ten(detection.log10_e)}."
    )
    return lines


def corrections(detection: Detection) -> str:
    """Return all of it in HTML."""
    lines = explain_corrections(detection)
    return (
        tests_table(detection)
        + results_table(detection)
        + f"<div class=hint>{paragraphs(lines)}</div>"
    )


def _factor(result: ProfileResult) -> str:
    return f"those of {result.profile} {times(result.log10_inflation)} times"
