"""Verdicts for people: in plain words, and as a self-contained HTML page."""

from countermark.report.calibration import explain_calibration, render_calibration
from countermark.report.distill_case import Case, Inquiry
from countermark.report.distill_page import render_distillation
from countermark.report.distill_words import (
    distill_headline,
    explain_distillation,
    explain_learned_accounts,
    warn_distillation,
)
from countermark.report.exhibit import Exhibit, examine
from countermark.report.numbers import one_in, power_of_ten
from countermark.report.page import render
from countermark.report.segments import segments
from countermark.report.trace_page import TracedText, examine_trace, render_traces
from countermark.report.trace_words import (
    explain_accusation,
    explain_trace,
    trace_headline,
)
from countermark.report.words import explain, explain_rank, headline, warn

__all__ = [
    "Case",
    "Exhibit",
    "Inquiry",
    "TracedText",
    "distill_headline",
    "examine",
    "examine_trace",
    "explain",
    "explain_accusation",
    "explain_calibration",
    "explain_distillation",
    "explain_learned_accounts",
    "explain_rank",
    "explain_trace",
    "headline",
    "one_in",
    "power_of_ten",
    "render",
    "render_calibration",
    "render_distillation",
    "render_traces",
    "segments",
    "trace_headline",
    "warn",
    "warn_distillation",
]
