"""A suspect, its controls, and what both were tested for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from countermark._core import DistillationResult, Profile


@dataclass(frozen=True)
class Inquiry:
    """One model, what it was asked, and what its answers or predictions say."""

    name: str
    facts: Mapping[str, str]
    """What was asked, and how, by name."""
    result: DistillationResult
    exchanges: Sequence[tuple[str, str]] = field(default_factory=tuple)
    """A few prompts and answers, to see what they are like."""


@dataclass(frozen=True)
class Case:
    """A suspect, and models tested beside it that are known not to have learned."""

    profile: Profile
    log10_rate: float
    """The p-value asked for."""
    by_key: bool
    """Whether the key decided what was looked at: then p is 1 / e."""
    suspect: Inquiry
    controls: Sequence[Inquiry] = field(default_factory=tuple)

    def has_learned(self, inquiry: Inquiry) -> bool:
        """Whether its evidence is that asked for."""
        return inquiry.result.log10_p <= self.log10_rate

    def curve(self, inquiry: Inquiry) -> list[tuple[int, float]]:
        """Return (positions, log10 p of a test that stops there) at each look."""
        points, p, e = [], 0.0, -math.inf
        for look in inquiry.result.looks:
            log10_share = math.log10(look.share)
            p = min(p, look.log10_p - log10_share)
            e = _log10_sum(e, look.log10_e + log10_share)
            points.append((look.positions, min(0.0, -e) if self.by_key else p))
        return points


def _log10_sum(a: float, b: float) -> float:
    """Add two numbers given by their log10."""
    high = max(a, b)
    return high + math.log10(10 ** (a - high) + 10 ** (b - high))
