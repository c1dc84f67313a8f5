"""``countermark screen``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.padding import Padding
from rich.table import Table

from countermark import report
from countermark._core import Screening, ScreeningResult
from countermark._errors import CountermarkError
from countermark.cli.app import app
from countermark.cli.console import note, out, print_json, progress
from countermark.cli.corpora import Document, Unreadable, read_corpus, require_corpus
from countermark.cli.detect import fail
from countermark.cli.evidence import check_evidence, write_evidence
from countermark.cli.logs import ids_of
from countermark.cli.options import (
    Accounts,
    AccountsProfile,
    Index,
    Json,
    Keys,
    Start,
    Threads,
    TokenizerPath,
)
from countermark.cli.tracers import Registry
from countermark.reading import read
from countermark.report.numbers import count, power_of_ten
from countermark.tokenizers import Tokenizer, require_same_tokenizer

_SHOWN = 20


@app.command()
def screen(
    keys: Keys,
    accounts: Accounts,
    corpus: Annotated[
        list[str],
        typer.Argument(
            metavar="CORPUS...",
            help='.jsonl and .parquet files with "text" or "token_ids", and perhaps "id", in each '
            "line or row; files with one text; folders of all these; - is JSON lines on standard "
            "input.",
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
    profile: AccountsProfile = None,
    tokenizer: TokenizerPath = None,
    fdr: Annotated[
        float,
        typer.Option(
            "--fdr",
            help="Expected share of innocent accounts among those discovered, at most; up to 0.5.",
        ),
    ] = 0.01,
    ours_rate: Annotated[
        float,
        typer.Option(
            help="A text whose narrow layer has a larger p-value is not searched; 1 searches all."
        ),
    ] = 0.1,
    start: Start = None,
    index: Index = None,
    threads: Threads = 0,
    every: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Write what is known so far after every N texts; the rate holds at any time. "
            "0: only at the end.",
        ),
    ] = 0,
    as_json: Json = False,
) -> None:
    """Say which of ACCOUNTS a corpus was taken from, by all of its texts together.

    Exits with 0 if any account is discovered, 1 if none is, 2 on an error. A line that holds no
    text is named, and the others are screened all the same.
    """
    require_corpus(corpus)
    registry = Registry.find(keys, profile, accounts, index)
    check_evidence(to, [keys, *registry.files, *(Path(path) for path in corpus if path != "-")])
    reader = registry.tokenizer(tokenizer) if tokenizer else None
    if reader and reader.lists_vocabulary:
        require_same_tokenizer(registry.profile, reader)
    tracer = registry.open_tracer(threads=threads)
    screening = _Screening(
        Screening(tracer, false_discovery_rate=fdr, ours_rate=ours_rate), registry, reader, start
    )
    failed = 0
    with progress("screening", unit="texts", hidden=as_json and out.is_terminal) as ticker:
        for number, document in enumerate(read_corpus(corpus), 1):
            if isinstance(document, Document):
                screening.prepare(document)
            try:
                if isinstance(document, Unreadable):
                    raise document.error
                screening.add(document)
            except (CountermarkError, OSError) as error:
                failed += 1
                fail(document.place, error, as_json)
            if every and number % every == 0:
                so_far = screening.write(to)
                note(f"{_summary(so_far)} so far; wrote {to}")
            ticker.say(f"screening, {screening.searched:,} searched")
            ticker.advance()
    result = screening.write(to)
    if as_json:
        print_json(_json(to, result, failed))
    else:
        _show(result, screening.names, fdr)
        note(f"Wrote {to}")
    raise typer.Exit(2 if failed else 0 if result.discovered else 1)


@dataclass
class _Screening:
    """A screening, and what its texts are called."""

    screening: Screening
    registry: Registry
    tokenizer: Tokenizer | None
    start: Start
    searched: int = 0
    names: dict[int, str] = field(default_factory=dict)
    """Of the texts that are evidence, by number: the others need none."""

    def prepare(self, document: Document) -> None:
        """Find a tokenizer where one is needed. Raises where no text could be read without."""
        if self.tokenizer is None and document.content.get("token_ids") is None:
            self.tokenizer = self.registry.tokenizer(None)

    def add(self, document: Document) -> None:
        """Screen one text. Raises CountermarkError where it is none, and then nothing changed."""
        screened = self.screening.add(ids_of(document, self._encode), self.start)
        self.searched += screened.is_searched
        if screened.is_evidence:
            self.names[screened.text] = document.id

    def write(self, path: Path) -> ScreeningResult:
        """Put what is known at ``path``."""
        result = self.screening.result()
        write_evidence(path, result, self.names)
        return result

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = read(text, self.tokenizer, [self.registry.profile])[-1].ids.tolist()
        return ids


def _summary(result: ScreeningResult) -> str:
    return (
        f"{count(result.texts, 'text')}, {result.searched:,} searched: "
        f"{result.discovered:,} of {count(result.tested, 'account')} discovered"
    )


def _show(result: ScreeningResult, names: dict[int, str], rate: float) -> None:
    out.print(_summary(result), style="bold green" if result.discovered else "bold")
    if not result.discovered:
        out.print("  No account's evidence stands out from what chance makes among so many.")
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("account")
    for name in ("e-value", "texts"):
        table.add_column(name, justify="right")
    table.add_column("the strongest", overflow="fold")
    for evidence in result.accounts[: min(_SHOWN, result.discovered)]:
        table.add_row(
            str(evidence.account),
            power_of_ten(evidence.log10_e),
            f"{len(evidence.texts):,}",
            names[evidence.texts[0].text] if evidence.texts else "",
        )
    out.print(Padding(table, (0, 0, 0, 2), expand=False), soft_wrap=False)
    if result.discovered > _SHOWN:
        out.print(f"  and {result.discovered - _SHOWN:,} more, the strongest first.")
    out.print(f"  At most {100 * rate:g}% of those discovered are expected to be there by chance.")
    out.print(f"  {report.explain_accusation(result.discovered)}")


def _json(to: Path, result: ScreeningResult, failed: int) -> dict[str, Any]:
    return {
        "file": str(to),
        "texts": result.texts,
        "searched": result.searched,
        "failed": failed,
        "tested": result.tested,
        "discovered": result.discovered,
        "log10_e_least": result.log10_e_least,
        "accounts": [
            {"account": str(e.account), "log10_e": e.log10_e, "texts": len(e.texts)}
            for e in result.accounts[: result.discovered]
        ],
    }
