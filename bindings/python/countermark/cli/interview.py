"""Asking a suspect until the evidence suffices."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from countermark._errors import CountermarkError
from countermark.cli.answers import Answer, AnswersFile
from countermark.cli.console import Ticker, complain
from countermark.cli.suspects import Failure, Question, Reply, Suspect
from countermark.cli.trials import Trial

_MOST_FAILURES = 10  # in a row


@dataclass(frozen=True)
class Limits:
    """When enough was asked."""

    log10_p: float = -math.inf
    """The p-value that suffices."""
    tokens: int = 0
    """Of answers; 0: any number."""

    def reached(self, log10_p: float, tokens: int) -> str | None:
        """Say which of them is reached."""
        if log10_p <= self.log10_p:
            return "decided"
        return "budget" if self.tokens and tokens >= self.tokens else None


@dataclass
class Interview:
    """Asks, and keeps and tests every answer as it comes."""

    answers: AnswersFile
    trial: Trial
    limits: Limits
    failed: set[int] = field(default_factory=set)
    """Numbers of the prompts that got no answer."""
    _in_a_row: int = 0
    _gives_up: bool = False

    @property
    def ended(self) -> str | None:
        """Why no more is asked, whatever is left."""
        return self.limits.reached(self.trial.log10_p, self.answers.tokens)

    def hold(self, suspect: Suspect, questions: Iterable[Question], ticker: Ticker) -> None:
        """Ask ``questions`` in turn. Raises CountermarkError where asking on is no use."""
        for came in suspect.answer(self._while_open(questions)):
            ticker.advance()
            if isinstance(came, Reply):
                self._in_a_row = 0
                self._keep(came)
                ticker.say(f"asking, {self.answers.tokens:,} tokens, {self.trial.evidence()}")
            else:
                self._skip(came)
        if self._gives_up:
            raise CountermarkError(
                f"{_MOST_FAILURES} questions in a row got no answer: asking on is no use"
            )
        if self.failed and not self.answers.asked:
            raise CountermarkError("no prompt got an answer: there is nothing to test")

    def _while_open(self, questions: Iterable[Question]) -> Iterator[Question]:
        for question in questions:
            if self.ended or self._gives_up:
                return
            if question.prompt.number not in self.failed:
                yield question

    def _skip(self, failure: Failure) -> None:
        prompt = failure.question.prompt
        self.failed.add(prompt.number)
        self._in_a_row += 1
        self._gives_up |= self._in_a_row == _MOST_FAILURES
        complain(f"{prompt} got no answer: {failure.why}")

    def _keep(self, reply: Reply) -> None:
        prompt, tokens = reply.question.prompt, reply.tokens
        answer = Answer(
            prompt.number,
            reply.question.sample,
            prompt.id,
            prompt.content,
            reply.text,
            reply.finish_reason,
            len(self.trial.encode(reply.text)) if tokens is None else tokens,
        )
        self.answers.append(answer)
        self.trial.add_answer(answer)
