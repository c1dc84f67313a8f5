"""``countermark distill accounts``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.padding import Padding
from rich.table import Table

from countermark import report
from countermark._core import DistillationTest, LearnedAccounts
from countermark._errors import CountermarkError
from countermark.cli import distill
from countermark.cli.account_ids import account_of
from countermark.cli.account_tables import AccountTable
from countermark.cli.answers import AnswersFile
from countermark.cli.console import Ticker, note, out, print_json, progress
from countermark.cli.corpora import Unreadable, read_corpus, require_corpus
from countermark.cli.detectors import open_profile, tokenizer_for
from countermark.cli.distill import References, WeighedBy
from countermark.cli.logs import ids_of
from countermark.cli.options import Json, KeyProfile, Ring, TokenizerPath, open_ring
from countermark.cli.terms import Terms
from countermark.cli.trials import add_answer
from countermark.report.numbers import count, power_of_ten

_SHOWN = 20
_TABLE = AccountTable(
    "earlier list of accounts that a model learned from",
    {
        "is_discovered": lambda pa: pa.bool_(),
        "log10_e": lambda pa: pa.float64(),
        "contexts": lambda pa: pa.int64(),
        "scored": lambda pa: pa.int64(),
    },
)


@distill.group.command("accounts")
def accounts(
    ring: Ring,
    answers: Annotated[
        Path,
        typer.Argument(metavar="ANSWERS.jsonl", help="What 'distill' was answered by the suspect."),
    ],
    logs: Annotated[
        list[str],
        typer.Argument(
            metavar="LOG...",
            help='All responses that were served, as JSON lines or Parquet with "account" and '
            '"token_ids" or "text"; folders of such; - is JSON lines on standard input.',
        ),
    ],
    to: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="OUT",
            help="Where the accounts with evidence go: a .parquet or .jsonl file.",
        ),
    ],
    profile: KeyProfile = None,
    tokenizer: TokenizerPath = None,
    weights: WeighedBy = "log",
    reference: References = None,
    fdr: Annotated[
        float,
        typer.Option(
            "--fdr",
            help="Expected share of accounts among those discovered that the suspect owes "
            "nothing to, at most; up to 0.5.",
        ),
    ] = 0.01,
    as_json: Json = False,
) -> None:
    """Say from which accounts' responses a suspect has learned, by its answers and the logs.

    Each account is looked at by the contexts that were marked in its responses alone. Exits with 0
    if any is discovered, 1 if none is, 2 on an error.
    """
    distill.require(
        *distill.wrong_with_weights(weights, reference),
        (not 0 < fdr <= 0.5, f"--fdr must be in (0, 0.5], got {fdr:g}"),
    )
    require_corpus([*logs, *(reference or ())])
    _TABLE.check(to, [Path(p) for p in (ring, answers, *logs, *(reference or ())) if p != "-"])
    keys = open_ring(ring)
    key = open_profile(keys, ring, profile)
    reader = tokenizer_for(key, tokenizer)
    terms = Terms(keys, key, reader, None, weights, 0, 0, reference or ())
    test = terms.test(sequential=False)
    hidden = as_json and out.is_terminal
    with (
        AnswersFile.open(answers, {}) as given,
        progress(f"reading {answers.name}", unit="answers", hidden=hidden) as ticker,
    ):
        asked = 0
        for answer in given.read():
            asked += add_answer(test, answer, terms.encode)
            ticker.advance()
    with progress("reading the logs", unit="responses", hidden=hidden) as ticker:
        responses = _add_logs(test, terms, logs, ticker)
    with progress("weighing", hidden=hidden):
        learned = test.learned_accounts(fdr)
    _TABLE.write(to, _rows(learned))
    if as_json:
        settings = {
            "profile": key.id,
            "weights": weights,
            "references": reference or [],
            "fdr": fdr,
        }
        counts = {"texts": asked, "positions": test.positions, "responses": responses}
        print_json(_json(to, answers, counts, learned, settings))
    else:
        what = f"{count(asked, 'answer')}, {count(responses, 'response')} of the logs"
        _show(what, learned, fdr)
        note(f"Wrote {to}")
    raise typer.Exit(0 if learned.discovered else 1)


def _add_logs(test: DistillationTest, terms: Terms, logs: list[str], ticker: Ticker) -> int:
    """Add every response, and count them: one that is left out would speak against an account."""
    responses = 0
    for document in read_corpus(logs):
        if isinstance(document, Unreadable):
            raise document.error
        try:
            account = account_of(document.content.get("account"))
            if ids := ids_of(document, terms.encode_as_served):  # of no token nothing is learned
                test.add_log(account, ids)
                responses += 1
        except CountermarkError as error:
            raise CountermarkError(f"{document.place}: {error}", error.code) from error
        ticker.advance()
    if not responses:
        raise CountermarkError("the logs hold no response with a token", "empty_text")
    return responses


def _rows(learned: LearnedAccounts) -> Iterator[dict[str, Any]]:
    for one in learned.accounts:
        values = (one.account, one.is_discovered, one.log10_e, one.contexts, one.scored)
        yield dict(zip(_TABLE.names, values, strict=True))


def _show(what: str, learned: LearnedAccounts, rate: float) -> None:
    out.print(
        f"{what}: {learned.discovered:,} of {count(learned.tested, 'account')} discovered",
        style="bold green" if learned.discovered else "bold",
    )
    if learned.discovered:
        table = Table(box=None, pad_edge=False)
        table.add_column("account")
        for name in ("e-value", "contexts", "pairs"):
            table.add_column(name, justify="right")
        for one in learned.accounts[: min(_SHOWN, learned.discovered)]:
            table.add_row(
                str(one.account), power_of_ten(one.log10_e), f"{one.contexts:,}", f"{one.scored:,}"
            )
        out.print(Padding(table, (0, 0, 0, 2), expand=False), soft_wrap=False)
        if learned.discovered > _SHOWN:
            out.print(f"  and {learned.discovered - _SHOWN:,} more, the strongest first.")
    for line in report.explain_learned_accounts(learned, rate):
        out.print(f"  {line}")


def _json(
    to: Path,
    answers: Path,
    counts: dict[str, int],
    learned: LearnedAccounts,
    settings: dict[str, Any],
) -> dict[str, Any]:
    discovered = list(_rows(learned))[: learned.discovered]
    return {
        "file": str(to),
        "answers": str(answers),
        **counts,
        "tested": learned.tested,
        "discovered": learned.discovered,
        "log10_e_least": learned.log10_e_least,
        "accounts": [row | {"account": str(row["account"])} for row in discovered],
        "settings": settings,
    }
