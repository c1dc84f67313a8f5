"""A suspect under test, text by text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from countermark._core import DistillationResult, DistillationTest
from countermark.cli.answers import Answer
from countermark.cli.prompts import texts_of
from countermark.report.numbers import power_of_ten


class Trial:
    """A sequential test and what it was given, with the evidence of its last look at hand."""

    def __init__(self, test: DistillationTest, encode: Callable[[str], list[int]]) -> None:
        """Begin; ``encode`` turns answers and prompts into the profile's tokens."""
        self._test = test
        self.encode = encode
        self._looks = 0  # past, those that a long text jumped over too
        self.log10_p = 0.0
        """As of the last look."""
        self.skipped = 0
        """Answers without a token."""

    def add_answer(self, answer: Answer) -> None:
        """Test one more answer."""
        self.skipped += not add_answer(self._test, answer, self.encode)
        self._watch()

    def add_reading(self, ids: list[int], probabilities: Any, *, served: bool) -> None:
        """Test the predictions for one more text."""
        self._test.add_reading(ids, probabilities, served=served)
        self._watch()

    def evidence(self) -> str:
        """Say how much there is so far."""
        return f"p = {power_of_ten(self.log10_p)}" if self._looks else "no look yet"

    def result(self) -> DistillationResult:
        """Return all that is known."""
        return self._test.result()

    def _watch(self) -> None:
        """Ask for the evidence where the test has looked again: asking is dear."""
        before = self._looks
        while self._test.positions >= DistillationTest.positions_at(self._looks):
            self._looks += 1
        if self._looks > before:
            self.log10_p = self._test.result().log10_p


def add_answer(test: DistillationTest, answer: Answer, encode: Callable[[str], list[int]]) -> bool:
    """Add an answer to a test; False where it has no token."""
    ids = encode(answer.text)
    if not ids:
        return False
    test.add_answer([i for text in texts_of(answer.content) for i in encode(text)], ids)
    return True
