"""What a trace says, in plain words."""

from __future__ import annotations

import math
from collections.abc import Mapping

from countermark._core import AccountCandidate, Test, Trace
from countermark.report.numbers import count, listed, one_in, power_of_ten
from countermark.report.words import explain_form, longer, place

_NAMED = 3


def trace_headline(trace: Trace) -> str:
    """Return the verdict in a few words, and its p-value."""
    p = f"p = {power_of_ten(trace.log10_p)}, corrected for {accounts_of(trace)}"
    if trace.verdict == "account":
        return f"{_named(trace.accused)}: {p}"
    if _stand_out(trace):
        return f"no account stands out: {p}"
    if trace.verdict == "insufficient":
        return f"too short to say: {p}"
    return f"no account: {p}"


def explain_trace(trace: Trace, changes: Mapping[str, int] | None = None) -> list[str]:
    """Say what the verdict rests on, one sentence or two for each point.

    ``changes`` is what was changed in the text's characters before it was traced.
    """
    asked = power_of_ten(trace.log10_threshold)
    searched = accounts_of(trace)
    scored = f"{count(trace.scored, 'token')} of the wide layer scored"
    lines: list[str] = []
    if trace.verdict == "account":
        lines += [
            f"Of texts that owe nothing to the keys of {searched}, at most "
            f"{one_in(trace.log10_p)} would lead to any of them (asked for: {asked}).",
            _apart(trace),
            _where(trace),
            f"{scored}.",
        ]
    elif _stand_out(trace):
        lines += [_together(trace), f"{scored}."]
    elif trace.verdict == "insufficient":
        lines += [
            f"{scored}, too few to decide at a rate of {asked} among {searched}: {longer(trace)}.",
        ]
    else:
        lines += [
            _unaccounted(trace),
            f"{scored}. Who wrote the text is another question.",
        ]
    lines += [_ours(trace), explain_form(changes or {}, bool(changes))]
    return [line for line in lines if line]


def name_of_candidate(candidate: AccountCandidate) -> str:
    """Say whose key it is."""
    return "no account" if candidate.account is None else f"account {candidate.account}"


def explain_accusation(accounts: int) -> str:
    """Say what it means that text leads to so many accounts, and what it does not."""
    this = "this account" if accounts == 1 else "these accounts"
    return (
        f"That means: sampled for {this}, or copied from text that was. A holder may have done "
        "nothing wrong: answers are passed on, and accounts are shared and stolen. Read "
        "docs/accounts.md before anyone acts on it."
    )


def corrected_for_search(trace: Trace, test: Test) -> float:
    """Return log10 p of a test after its share and all accounts that were searched."""
    return min(0.0, test.log10_p - math.log10(test.share) + math.log10(trace.tested))


def accounts_of(trace: Trace) -> str:
    """Say how many accounts were searched."""
    return count(trace.tested - 1, "account")


def _named(accounts: list[int]) -> str:
    names = [str(account) for account in accounts[:_NAMED]]
    if len(accounts) > _NAMED:
        names.append(f"{len(accounts) - _NAMED:,} more")
    return f"account{'' if len(accounts) == 1 else 's'} {listed(names)}"


def _stand_out(trace: Trace) -> list[AccountCandidate]:
    """Return the accounts whose p-value over the whole text is small enough."""
    return [
        c
        for c in trace.candidates
        if c.account is not None and c.log10_p_adjusted <= trace.log10_threshold
    ]


def _apart(trace: Trace) -> str:
    """Say how far behind the next account is."""
    whole = [c.account for c in _stand_out(trace) if c.is_accused and c.account is not None]
    if not whole:
        return "As a whole the text would not show it; parts of it do."
    if trace.tested - 1 == len(whole):  # nobody is left
        return ""
    gap = power_of_ten(trace.log10_gap)
    return f"The p-value of the best account after {_named(whole)} is {gap} times as large."


def _together(trace: Trace) -> str:
    """Say that several accounts score too high for chance, and none above the rest."""
    several = _stand_out(trace)
    if not several:
        return ""
    named = _named([c.account for c in several if c.account is not None])
    return (
        f"{named[0].upper()}{named[1:]} would stand out, but the next one scores nearly as high "
        f"(its p-value is {power_of_ten(trace.log10_gap)} times as large): nobody is accused."
    )


def _unaccounted(trace: Trace) -> str:
    """Say why no account means none."""
    nobody = next(c for c in trace.candidates if c.account is None)
    p = nobody.log10_p_adjusted
    if p <= trace.log10_threshold:
        return f"Its wide layer was sampled for no account (p = {power_of_ten(p)})."
    return (
        "A text of this length that was sampled for one of them would as likely as not have "
        "shown it."
    )


def _where(trace: Trace) -> str:
    regions = trace.regions
    if not regions:
        return ""
    parts = [
        f"{place(r)} for account {r.account} (p = {power_of_ten(r.log10_p)})"
        for r in regions[:_NAMED]
    ]
    if len(regions) > _NAMED:
        parts.append(f"{len(regions) - _NAMED:,} more")
    return f"{count(len(regions), 'part')} of the text: {listed(parts)}."


def _ours(trace: Trace) -> str:
    """Say what the narrow layer says, which knows nothing of accounts."""
    ours = trace.ours
    if not ours.scored:
        return ""
    return (
        f"That it is ours at all: p = {power_of_ten(ours.log10_p)} by the narrow layer "
        f"({count(ours.scored, 'token')}), {power_of_ten(trace.log10_p_combined)} by both layers "
        "under the best account."
    )
