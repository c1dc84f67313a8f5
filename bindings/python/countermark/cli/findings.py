"""What a distillation test has found, for people and for machines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from countermark import report
from countermark._core import DistillationResult
from countermark.cli.console import STYLES, out
from countermark.cli.inquiries import Findings
from countermark.report import Case, Inquiry
from countermark.report.numbers import count

_ENDED = {
    "decided": "The evidence suffices: no more was asked.",
    "budget": "The budget is used up: no more was asked.",
}


def verdict_of(case: Case, inquiry: Inquiry) -> str:
    """Return the verdict for machines."""
    return "learned" if case.has_learned(inquiry) else "not_shown"


def show_findings(case: Case, found: Findings) -> None:
    """Print a verdict, what it rests on, and what else there is to say."""
    headline = report.distill_headline(case, case.suspect)
    out.print(f"{case.suspect.name}: ", end="")
    out.print(headline, style=STYLES[verdict_of(case, case.suspect)])
    for line in report.warn_distillation(case):
        out.print(f"  {line}", style="bold red")
    for line in [*report.explain_distillation(case), *_remarks(found)]:
        out.print(f"  {line}")
    for control in case.controls:
        out.print(f"  Control {control.name}: {report.distill_headline(case, control)}.")


def findings_json(
    case: Case, found: Findings, settings: dict[str, Any], answers: Path | None
) -> dict[str, Any]:
    """Return all that was found, and how."""
    return {
        "verdict": verdict_of(case, case.suspect),
        **result_json(case.suspect.result),
        "suspect": found.suspect,
        "answers": str(answers) if answers else None,
        "settings": settings,
        "ended": found.ended,
        "tokens": found.tokens,
        "failed": found.failed,
        "skipped": found.skipped,
        "controls": [
            {
                "name": control.name,
                "verdict": verdict_of(case, control),
                **result_json(control.result),
            }
            for control in case.controls
        ],
    }


def result_json(result: DistillationResult) -> dict[str, Any]:
    """Return every number of a result."""
    return {
        "log10_p": result.log10_p,
        "log10_e": result.log10_e,
        "texts": result.texts,
        "positions": result.positions,
        "scored": result.scored,
        "decoys": result.decoys.tolist(),
        "decoy_rank": result.decoy_rank,
        "log10_rank_p": result.log10_rank_p,
        "decoys_agree": result.decoys_agree,
        "looks": [
            {
                "positions": look.positions,
                "scored": look.scored,
                "log10_p": look.log10_p,
                "log10_e": look.log10_e,
                "share": look.share,
            }
            for look in result.looks
        ],
    }


def _remarks(found: Findings) -> list[str]:
    lines = []
    if found.ended:
        lines.append(_ENDED[found.ended])
    if found.failed:
        what = "prompt" if found.sampling else "text"
        lines.append(f"{count(found.failed, what)} failed, and counted for nothing.")
    if found.skipped:
        lines.append(f"{count(found.skipped, 'answer')} without a token left out.")
    return lines
