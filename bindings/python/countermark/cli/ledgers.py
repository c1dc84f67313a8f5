"""``countermark distill ledger``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from countermark._core import Ledger, Profile
from countermark._errors import CountermarkError
from countermark.cli import distill
from countermark.cli.console import out, print_json, progress
from countermark.cli.corpora import Document, Unreadable, read_corpus, require_corpus
from countermark.cli.detect import fail
from countermark.cli.detectors import open_profile, tokenizer_for
from countermark.cli.ledger_files import LedgerFile, describe_ledger, ledger_facts
from countermark.cli.logs import encode_as_served, ids_of
from countermark.cli.options import Json, KeyProfile, Ring, TokenizerPath, open_ring
from countermark.report.numbers import count
from countermark.tokenizers import Tokenizer

group = typer.Typer(
    name="ledger",
    help="Keep ledgers of where a service has marked its responses: what a student that learned "
    "from it can know.",
    rich_markup_mode=None,
)
distill.group.add_typer(group)

File = Annotated[Path, typer.Argument(metavar="FILE", help="The ledger.")]


@group.command()
def new(
    ring: Ring,
    file: File,
    profile: KeyProfile = None,
    contexts: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Distinct contexts to make room for, two bytes each; the same for all servers "
            "whose ledgers are to merge.",
        ),
    ] = 10_000_000,
    as_json: Json = False,
) -> None:
    """Write an empty ledger to FILE, which must not exist."""
    place = _place(ring, file, profile)
    _show(place, place.create(contexts), as_json)


@group.command()
def add(
    ring: Ring,
    file: File,
    logs: Annotated[
        list[str],
        typer.Argument(
            metavar="LOG...",
            help='Responses, as JSON lines or Parquet with "token_ids" or "text"; folders of such; '
            "- is JSON lines on standard input.",
        ),
    ],
    profile: KeyProfile = None,
    tokenizer: TokenizerPath = None,
    as_json: Json = False,
) -> None:
    """Add responses from the provider's logs to the ledger in FILE.

    Samplers that have a ledger need no logs. A line that is no response is named, the others are
    added all the same, and the exit status is 2.
    """
    require_corpus(logs)
    place = _place(ring, file, profile)
    ledger = place.open()
    responses = _Responses(place.ring.profile(place.profile))
    if tokenizer:
        responses.find_tokenizer(tokenizer)
    added = failed = 0
    with progress("adding", unit="responses", hidden=as_json and out.is_terminal) as ticker:
        for document in read_corpus(logs):
            if _is_text(document):
                responses.find_tokenizer(None)
            try:
                if isinstance(document, Unreadable):
                    raise document.error
                ledger.add_response(ids_of(document, responses.encode))
                added += 1
            except (CountermarkError, OSError) as error:
                failed += 1
                fail(document.place, error, as_json)
            ticker.advance()
    place.save(ledger)
    _show(place, ledger, as_json, {"responses": added, "failed": failed})
    raise typer.Exit(2 if failed else 0)


@group.command()
def merge(
    ring: Ring,
    file: File,
    others: Annotated[
        list[Path],
        typer.Argument(metavar="OTHER...", help="Ledgers of other servers, which are only read."),
    ],
    profile: KeyProfile = None,
    as_json: Json = False,
) -> None:
    """Take what other ledgers hold into the one in FILE: all of them, or nothing is written."""
    place = _place(ring, file, profile)
    ledger = place.open()
    for other in others:
        read = LedgerFile(place.ring, place.profile, other).open()
        try:
            ledger.merge(read)
        except CountermarkError as error:
            raise CountermarkError(f"{other} into {file}: {error}", error.code) from error
    place.save(ledger)
    _show(place, ledger, as_json, {"merged": len(others)})


@group.command()
def show(ring: Ring, file: File, profile: KeyProfile = None, as_json: Json = False) -> None:
    """Say how much the ledger in FILE holds, and whether that is too much for its size."""
    place = _place(ring, file, profile)
    _show(place, place.open(), as_json)


@dataclass
class _Responses:
    """Turns responses into tokens; only those in text need a tokenizer."""

    profile: Profile
    tokenizer: Tokenizer | None = None

    def find_tokenizer(self, path: str | None) -> None:
        """Open the one at ``path``, or without it the profile's own, where there is none yet."""
        self.tokenizer = self.tokenizer or tokenizer_for(self.profile, path)

    def encode(self, text: str) -> list[int]:
        """Return the tokens that were served."""
        assert self.tokenizer
        return encode_as_served(text, self.tokenizer)


def _place(ring: Path, file: Path, profile: str | None) -> LedgerFile:
    keys = open_ring(ring)
    return LedgerFile(keys, open_profile(keys, ring, profile).id, file)


def _is_text(document: Document | Unreadable) -> bool:
    return isinstance(document, Document) and document.content.get("token_ids") is None


def _show(
    place: LedgerFile, ledger: Ledger, as_json: bool, done: dict[str, int] | None = None
) -> None:
    if as_json:
        facts: dict[str, Any] = {"file": str(place.path), "profile": place.profile}
        print_json({**facts, **(done or {}), **ledger_facts(ledger)})
        return
    for line in _done(done or {}):
        out.print(line)
    what, *wrong = describe_ledger(ledger)
    out.print(f"{place.path}: {what}")
    for line in wrong:
        out.print(line, style="bold yellow")


def _done(done: dict[str, int]) -> Iterator[str]:
    if "responses" in done:
        yield f"Added {count(done['responses'], 'response')}"
    if "merged" in done:
        yield f"Merged {count(done['merged'], 'ledger')}"
