"""Verdicts for people: in plain words, and as a self-contained HTML page."""

from countermark.report.exhibit import Exhibit, examine
from countermark.report.page import render
from countermark.report.segments import segments
from countermark.report.words import (
    explain,
    headline,
    one_in,
    power_of_ten,
)

__all__ = [
    "Exhibit",
    "examine",
    "explain",
    "headline",
    "one_in",
    "power_of_ten",
    "render",
    "segments",
]
