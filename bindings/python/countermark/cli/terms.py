"""What every model of a case is tested with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from countermark._core import DistillationTest, KeyRing, Ledger, Profile
from countermark._errors import CountermarkError
from countermark.cli.answers import FORMAT
from countermark.cli.corpora import Document, Unreadable, read_corpus
from countermark.cli.logs import encode_as_served, ids_of
from countermark.cli.trials import Trial
from countermark.reading import read
from countermark.report.numbers import listed
from countermark.tokenizers import Tokenizer

Weights = Literal["equal", "log", "reference", "most_powerful"]
BY_REFERENCE: tuple[Weights, ...] = ("reference", "most_powerful")
"""Those that need something to expect by."""


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
        return Trial(self.test(sequential=True), self.encode)

    def test(self, *, sequential: bool) -> DistillationTest:
        """Begin a test by itself."""
        test = DistillationTest(
            self.ring,
            self.profile.id,
            self.ledger,
            weights=self.weights,
            sequential=sequential,
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
        return test

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

    def encode_as_served(self, text: str) -> list[int]:
        """Return the tokens of a response from the logs."""
        return encode_as_served(text, self.tokenizer)


def documents_of(paths: Iterable[str]) -> Iterator[Document | Unreadable]:
    """Yield the texts of some files; a file of answers is one of texts, but for its first line."""
    for document in read_corpus(paths):
        if isinstance(document, Unreadable) or document.content.get("format") != FORMAT:
            yield document
