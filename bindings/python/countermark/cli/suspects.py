"""Models that are suspected, and what they say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from countermark._errors import CountermarkError
from countermark.cli.causal_model import CausalModel
from countermark.cli.prompts import Prompt


@dataclass(frozen=True)
class Sampling:
    """How a suspect is to answer."""

    max_tokens: int
    temperature: float
    top_p: float


@dataclass(frozen=True)
class Question:
    """A prompt, and which of its answers is asked for."""

    prompt: Prompt
    sample: int


@dataclass(frozen=True)
class Reply:
    """What came of a question."""

    question: Question
    text: str
    finish_reason: str | None
    tokens: int | None
    """As the suspect counts them; None where it does not say."""


@dataclass(frozen=True)
class Failure:
    """A question that got no answer, however often it was asked."""

    question: Question
    why: str


class Suspect(Protocol):
    """A model that can be asked."""

    @property
    def sampling(self) -> Sampling:
        """How it answers."""

    def describe(self) -> dict[str, Any]:
        """Say which it is, without secrets."""

    def answer(self, questions: Iterable[Question]) -> Iterator[Reply | Failure]:
        """Ask, several at once, and yield what comes as it comes.

        A question is taken only when it is asked, and what was asked is waited for. Raises
        CountermarkError at the end where asking on is no use.
        """

    def close(self) -> None:
        """Let go of what it is asked through."""


class LocalSuspect:
    """A causal language model of transformers."""

    def __init__(self, name: str, sampling: Sampling, *, batch: int, chat: bool = False) -> None:
        """Load it: a folder, or a name on the hub. With ``chat`` its chat template is applied."""
        folder = Path(name).expanduser()
        self._name = str(folder.resolve()) if folder.is_dir() else name
        self.sampling = sampling
        self._batch = batch
        self._chat = chat
        self.model = CausalModel(name)
        if chat and not self.model.has_chat_template:
            raise CountermarkError(f"{name} has no chat template: leave --chat out")

    def describe(self) -> dict[str, Any]:
        """Say which it is."""
        return {"model": self._name, "interface": "chat" if self._chat else "completions"}

    def answer(self, questions: Iterable[Question]) -> Iterator[Reply | Failure]:
        """Ask batch by batch."""
        waiting = iter(questions)
        while batch := list(islice(waiting, self._batch)):
            asked: list[tuple[Question, list[int]]] = []
            for question in batch:
                try:
                    asked.append((question, self._encode(question)))
                except CountermarkError as error:
                    yield Failure(question, str(error))
            if asked:
                made = self.model.sample(
                    [ids for _, ids in asked],
                    max_tokens=self.sampling.max_tokens,
                    temperature=self.sampling.temperature,
                    top_p=self.sampling.top_p,
                )
                for (question, _), (text, reason, tokens) in zip(asked, made, strict=True):
                    yield Reply(question, text, reason, tokens)

    def close(self) -> None:
        """There is nothing to let go of."""

    def _encode(self, question: Question) -> list[int]:
        try:
            ids = self.model.encode(question.prompt.content, chat=self._chat)
        except CountermarkError:
            raise
        except Exception as error:  # a template is a program of the model's authors
            raise CountermarkError(f"the chat template fails: {error}") from error
        most, room = self.sampling.max_tokens, self.model.context
        if len(ids) + most > room:
            raise CountermarkError(
                f"{len(ids):,} tokens, and {most:,} of an answer, do not fit into the {room:,} of "
                "the model: give fewer --max-tokens"
            )
        return ids
