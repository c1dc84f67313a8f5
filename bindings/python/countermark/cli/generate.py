"""``countermark generate``."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from countermark._core import Profile, Sampler
from countermark._errors import CountermarkError
from countermark.cli.app import app
from countermark.cli.console import err, note, out, print_json, progress
from countermark.cli.ledger_files import LedgerFile, describe_ledger
from countermark.cli.options import Json, Keys, open_ring
from countermark.report import power_of_ten
from countermark.story import Answer, Story


@app.command()
def generate(
    keys: Keys,
    profile: Annotated[
        str, typer.Option("--profile", metavar="ID", help="The profile to mark with.")
    ],
    model: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|NAME",
            help="A transformers causal model: a folder or a name on the hub. "
            "Without it, the embedded story model answers.",
        ),
    ] = None,
    prompt: Annotated[str, typer.Option(metavar="TEXT", help="What to answer or go on from.")] = "",
    tokens: Annotated[
        int, typer.Option(min=1, metavar="N", help="Most tokens of an answer.")
    ] = 300,
    temperature: Annotated[float, typer.Option(help="0 is greedy, and not marked.")] = 1.0,
    top_k: Annotated[
        int, typer.Option(min=0, max=2**31, help="Keep the k likeliest tokens; 0 is off.")
    ] = 0,
    top_p: Annotated[float, typer.Option(help="Keep the likeliest tokens of this sum.")] = 1.0,
    min_p: Annotated[
        float, typer.Option(help="Keep tokens of this share of the likeliest one.")
    ] = 0.0,
    account: Annotated[
        int | None, typer.Option(min=0, max=2**64 - 1, metavar="N", help="Whom the answer is for.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, metavar="N", help="How many answers.")] = 1,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, max=2**63, metavar="N", help="Repeat the draws that the mark leaves free."
        ),
    ] = None,
    unmarked: Annotated[
        bool, typer.Option("--unmarked", help="Sample without the mark, to compare.")
    ] = False,
    ledger: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write where the answers are marked to a ledger, for 'distill'; it is made if it "
            "does not exist.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Let a model answer, marked. The text goes to stdout, what became of the mark to stderr."""
    try:
        prompt = os.fsencode(prompt).decode()  # UTF-8, whatever the locale took it for
    except UnicodeError as error:
        raise CountermarkError("--prompt is not valid UTF-8", "invalid_encoding") from error
    if account is not None and unmarked:
        raise CountermarkError("--account names whom the mark is for, and --unmarked has no mark")
    if ledger and unmarked:
        raise CountermarkError("--ledger keeps where the mark was, and --unmarked has no mark")
    ring = open_ring(keys)
    file = LedgerFile(ring, profile, ledger) if ledger else None
    with file.taking_in() if file else nullcontext() as kept:
        sampler = Sampler(ring, profile, ledger=kept)
        sampler.sequence(account=account, seed=seed)  # wrong options show before a model is loaded
        options: dict[str, Any] = {
            "temperature": temperature,
            "top_k": top_k,
            "top_p": top_p,
            "min_p": min_p,
        }
        marking = None if unmarked else sampler
        if marking and marking.profile.warning:
            note(f"{marking.profile.mark} is {marking.profile.warning}.")
        shown = 0
        with progress("generating", unit="tokens") as ticker:

            def show(answer: Answer) -> None:
                nonlocal shown
                shown += 1
                why = (
                    "--unmarked asks for that"
                    if unmarked
                    else why_unmarked(answer, temperature, sampler.profile)
                )
                ticker.make_way()
                if as_json:
                    print_json(_json(answer, why, None if unmarked else profile))
                    return
                if shown > 1:
                    out.print()
                print(answer.text, flush=True)
                name = f"answer {shown}: " if count > 1 else ""
                err.print(name + status(answer, why), style="yellow" if why else "green")

            if model is None:
                Story().generate(
                    marking,
                    [prompt] * count,
                    max_tokens=tokens,
                    accounts=[account] * count,
                    seed=seed,
                    progress=ticker.advance,
                    done=show,
                    **options,
                )
            else:
                from countermark.cli.causal_model import CausalModel

                CausalModel(model).generate(
                    marking,
                    prompt,
                    count,
                    max_tokens=tokens,
                    options=options,
                    account=account,
                    seed=seed,
                    progress=ticker.advance,
                    done=show,
                )
    if kept and not as_json:
        note(f"{ledger}: {'. '.join(describe_ledger(kept))}")


def why_unmarked(answer: Answer, temperature: float, profile: Profile) -> str | None:
    """Say why an answer carries no mark; None where it carries one."""
    stats, prefix = answer.stats, profile.parameters.get("free_prefix", 0)
    if stats.is_marked:
        return None
    if temperature == 0:
        return "temperature 0 leaves nothing to choose"
    if stats.greedy == stats.tokens:
        return "the truncation left one candidate for every token"
    if stats.tokens <= prefix:
        return f"an answer of up to {prefix} tokens is drawn freely (free_prefix)"
    return "no token was drawn at a marked position"


def status(answer: Answer, why: str | None) -> str:
    """Say in one line what became of the mark."""
    stats = answer.stats
    if why:
        return f"not marked: {why} ({stats.tokens} tokens)"
    line = (
        f"{stats.marked} of {stats.tokens} tokens marked, {stats.entropy_bits:.0f} bits of entropy"
    )
    if stats.expected_log10_p == 0:  # of marks that shift probabilities it is not known
        return line
    line += f", expected p {power_of_ten(stats.expected_log10_p)}"
    return line if stats.expected_log10_p <= -6 else f"{line}: too little to be found"


def _json(answer: Answer, why: str | None, profile: str | None) -> dict[str, Any]:
    return {
        "text": answer.text,
        "token_ids": answer.ids.tolist(),
        "profile": profile,
        **answer.stats.as_dict(),
        "is_marked": why is None,
        "why_unmarked": why,
    }
