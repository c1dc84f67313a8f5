"""``countermark trace``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.padding import Padding
from rich.table import Table

from countermark import report
from countermark._core import Trace
from countermark._errors import CountermarkError
from countermark.cli.app import app
from countermark.cli.causal_model import CausalModel
from countermark.cli.console import STYLES, note, out, print_json
from countermark.cli.detect import fail
from countermark.cli.options import (
    Accounts,
    AccountsProfile,
    AccusationRate,
    AsIds,
    Index,
    Json,
    Keys,
    Start,
    Temperature,
    Threads,
    TokenizerPath,
    TopP,
)
from countermark.cli.pages import check_page, write_page
from countermark.cli.texts import name_of, read_input
from countermark.cli.tracers import Registry
from countermark.reading import trace_reading


@app.command()
def trace(
    keys: Keys,
    accounts: Accounts,
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE]...", help="Texts in UTF-8; none or - is standard input."),
    ] = None,
    profile: AccountsProfile = None,
    tokenizer: TokenizerPath = None,
    accusation_rate: AccusationRate = 1e-3,
    gap: Annotated[
        float,
        typer.Option(
            help="The p-value of the next account must be so many times that of those accused."
        ),
    ] = 100.0,
    start: Start = None,
    ids: AsIds = False,
    candidates: Annotated[
        int, typer.Option(min=1, max=1000, metavar="N", help="How many of the best are told.")
    ] = 10,
    index: Index = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|NAME",
            help="A transformers causal model with the same tokenizer, any one: a token is weighed "
            "by how likely it was.",
        ),
    ] = None,
    temperature: Temperature = 1.0,
    top_p: TopP = 1.0,
    threads: Threads = 0,
    html: Annotated[
        Path | None, typer.Option(metavar="OUT.html", help="Write a page for people.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say which of ACCOUNTS texts were sampled for, or copied from.

    Exits with 0 if any text leads to an account, 1 if none does, 2 on an error.
    """
    names = files or ["-"]
    if "" in names:
        raise CountermarkError("a FILE is empty: give a path, or - for standard input")
    registry = Registry.find(keys, profile, accounts, index)
    if html:
        check_page(html, [keys, *registry.files, *(Path(name) for name in names if name != "-")])
        if model:
            raise CountermarkError("--html shows what the keys alone say: leave --model out")
    knower = CausalModel(model) if model else None
    options: dict[str, Any] = {}
    if knower:
        options["proxy"] = knower.knower().proxy(temperature=temperature, top_p=top_p)
    given = knower.tokenizer if knower and tokenizer is None else tokenizer
    reader = None if ids else registry.tokenizer(given)
    tracer = registry.open_tracer(
        false_accusation_rate=accusation_rate,
        least_gap=gap,
        candidates=candidates,
        threads=threads,
    )
    texts: list[report.TracedText] = []
    any_account = any_failed = False
    for file in names:
        try:
            readings = read_input(file, reader, [registry.profile])
            with registry.watch.showing(f"tracing {name_of(file)}"):
                if html:
                    texts.append(report.examine_trace(name_of(file), readings, tracer, start))
                    found = texts[-1].trace
                else:
                    found = trace_reading(tracer, readings[-1], start, **options)
        except (CountermarkError, OSError) as error:
            any_failed = True
            fail(file, error, as_json)
        else:
            any_account |= found.verdict == "account"
            _show(name_of(file), found, readings[-1].variant.changes, as_json)
    if html and texts:
        title = texts[0].title if len(texts) == 1 else f"{len(texts)} texts"
        write_page(html, report.render_traces(f"Whose is it? {title}", texts, registry.profile))
        if not as_json:
            note(f"Wrote {html}")
    raise typer.Exit(2 if any_failed else 0 if any_account else 1)


def _show(name: str, found: Trace, changes: dict[str, int], as_json: bool) -> None:
    if as_json:
        print_json({"file": name, **json.loads(found.to_json())})
        return
    out.print(f"{name}: ", end="")
    out.print(report.trace_headline(found), style=STYLES[found.verdict])
    for line in report.explain_trace(found, changes):
        out.print(f"  {line}")
    if found.accused:
        out.print(f"  {report.explain_accusation(len(found.accused))}")
    out.print(Padding(_table(found), (0, 0, 0, 2), expand=False), soft_wrap=False)


def _table(found: Trace) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("account")
    for name in ("tokens", "mean score", "p alone", "p corrected"):
        table.add_column(name, justify="right")
    for candidate in found.candidates:
        table.add_row(
            "none" if candidate.account is None else str(candidate.account),
            f"{candidate.scored:,}",
            f"{candidate.score / max(1, candidate.scored):.2f}",
            report.power_of_ten(candidate.log10_p),
            report.power_of_ten(candidate.log10_p_adjusted),
            style="bold" if candidate.is_accused else "dim",
        )
    return table
