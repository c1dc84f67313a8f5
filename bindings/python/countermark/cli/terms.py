"""What every model of a case is tested with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from countermark._core import DistillationTest, KeyRing, Ledger, Profile
from countermark._errors import CountermarkError
from countermark.cli.answers import FORMAT
from countermark.cli.corpora import Document, Unreadable, read_corpus
from countermark.cli.logs import tokens_of
from countermark.cli.trials import Trial
from countermark.reading import read
from countermark.report.numbers import listed
from countermark.tokenizers import Tokenizer

Weights = Literal["equal", "log", "reference"]


@dataclass(frozen=True)
class Terms:
    """A key, and how its choices are looked for: fixed before any answer is seen."""

    ring: KeyRing
    profile: Profile
    tokenizer: Tokenizer
    ledger: Ledger | None
    weights: Weights
    decoys: int
    threads: int
    references: Sequence[str] = ()
    """Texts that do not know the key: files and folders."""

    def trial(self) -> Trial:
        """Begin to test a model. Raises CountermarkError where a reference is no text."""
        test = DistillationTest(
            self.ring,
            self.profile.id,
            self.ledger,
            weights=self.weights,
            sequential=True,
            decoys=self.decoys,
            threads=self.threads,
        )
        for document in documents_of(self.references):
            if isinstance(document, Unreadable):
                raise document.error
            try:
                test.add_reference(ids_of(document, self.encode))
            except CountermarkError as error:
                raise CountermarkError(f"{document.place}: {error}", error.code) from error
        return Trial(test, self.encode)

    def facts(self) -> dict[str, str]:
        """Say what was decided beforehand."""
        facts: dict[str, str] = {"weights": self.weights}
        if self.ledger:
            facts["ledger"] = f"about {self.ledger.contexts:,.0f} contexts that were served"
        if self.references:
            facts["reference"] = listed(list(self.references))
        return {**facts, "decoy keys": f"{self.decoys:,}"}

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text, its characters normalised, as decided beforehand."""
        if not text:
            return []
        ids: list[int] = read(text, self.tokenizer, [self.profile])[-1].ids.tolist()
        return ids


def documents_of(paths: Iterable[str]) -> Iterator[Document | Unreadable]:
    """Yield the texts of some files; a file of answers is one of texts, but for its first line."""
    for document in read_corpus(paths):
        if isinstance(document, Unreadable) or document.content.get("format") != FORMAT:
            yield document


def ids_of(document: Document, encode: Callable[[str], list[int]]) -> list[int]:
    """Return the tokens of a text. Raises CountermarkError where there is none."""
    ids = tokens_of(document.content, "token_ids", "text", encode)
    if ids is None:
        raise CountermarkError('there is neither "token_ids" nor "text"', "empty_text")
    return ids
