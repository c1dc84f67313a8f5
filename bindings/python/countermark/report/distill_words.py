"""What a distillation test says, in plain words."""

from __future__ import annotations

from countermark._core import DistillationTest, LearnedAccounts
from countermark.report.distill_case import Case, Inquiry
from countermark.report.numbers import count, one_in, power_of_ten


def distill_headline(case: Case, inquiry: Inquiry) -> str:
    """Return the verdict in a few words, and its p-value."""
    verdict = "learned" if case.has_learned(inquiry) else "not shown"
    if not inquiry.result.looks:
        return f"{verdict}: too little for a first look"
    return f"{verdict}: p = {power_of_ten(inquiry.result.log10_p)}"


def explain_distillation(case: Case) -> list[str]:
    """Say what the verdict on the suspect rests on, one sentence or two for each point."""
    inquiry, asked = case.suspect, power_of_ten(case.log10_rate)
    result = inquiry.result
    odds = one_in(result.log10_p)
    if not result.looks:
        lines = [
            f"The first look is at {DistillationTest.positions_at(0):,} positions, and there are "
            f"{result.positions:,}: ask for more.",
        ]
    elif case.has_learned(inquiry):
        lines = [
            f"Of models that owe nothing to this key, at most {odds} would ever show as much, "
            f"whenever one stops asking (asked for: {asked}).",
        ]
    else:
        lines = [
            f"Of models that owe nothing to this key, about {odds} show as much (asked for: "
            f"{asked}). That does not clear it: more answers may show what these do not.",
        ]
    scored = count(result.scored, "pair")
    lines.append(
        f"{count(result.texts, 'text')}, {count(result.positions, 'position')}, {scored} of "
        f"context and token scored; the e-value is {power_of_ten(result.log10_e)}."
    )
    return [*lines, *explain_decoys(case, inquiry)]


def explain_decoys(case: Case, inquiry: Inquiry) -> list[str]:
    """Say how the key ranks among keys that marked nothing."""
    result = inquiry.result
    if not len(result.decoys):
        return []
    if case.by_key:
        behave = "behave as chance has it" if result.decoys_agree else "score too high for chance"
        return [
            f"The key decided what was looked at, so that p is 1 / e and there is no rank; "
            f"{count(len(result.decoys), 'decoy key')} {behave}."
        ]
    return [
        f"Among {len(result.decoys) + 1:,} keys, {len(result.decoys):,} of which marked nothing, "
        f"the key of {case.profile.id} ranks {result.decoy_rank:,}."
    ]


def warn_distillation(case: Case) -> list[str]:
    """Say what speaks against relying on the verdict; nothing where nothing does."""
    result = case.suspect.result
    lines = []
    if not result.decoys_agree:
        lines.append(
            "Do not rely on this p-value: keys that marked nothing score too high for chance too "
            f"(the smallest p of {len(result.decoys):,} is {power_of_ten(min(result.decoys))})."
        )
    if not case.has_learned(case.suspect):
        return lines
    if not case.by_key and result.decoy_rank > 1:
        lines.append(
            "Do not rely on this verdict: decoy keys do not bear it out. "
            f"{result.decoy_rank - 1:,} of {len(result.decoys):,} that marked nothing score as "
            "high."
        )
    lines += [
        f"Do not rely on this verdict: the control {control.name}, which cannot have learned, "
        f"shows it too ({distill_headline(case, control)})."
        for control in case.controls
        if case.has_learned(control)
    ]
    return lines


def explain_learned_accounts(learned: LearnedAccounts, rate: float) -> list[str]:
    """Say what it means that a suspect has learned from accounts, and what it rests on."""
    if not learned.discovered:
        return [
            "No account's evidence stands out from what chance makes among so many. That clears "
            "none of them."
        ]
    this = "this account" if learned.discovered == 1 else "these accounts"
    return [
        f"At most {100 * rate:g}% of those discovered are expected to be there by chance (e-BH), "
        "if the logs are complete: what was served to others too, and they leave that out, speaks "
        "against an account.",
        f"That means: the suspect was trained on responses to {this}, or on text copied from "
        "them. A holder may have done nothing wrong: answers are passed on, and accounts are "
        "shared and stolen. Read docs/accounts.md before anyone acts on it.",
    ]
