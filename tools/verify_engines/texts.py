"""What all comparisons share: countermark's side, texts and logits, token by token."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

import countermark as cm
from table import Check

Ids = list[int]
Floats = npt.NDArray[np.float64]
Row = npt.NDArray[np.float32]

WORDS = 2**64
LARGE_VOCAB = 200_000


@dataclass(frozen=True)
class Ours:
    """One profile of countermark."""

    ring: cm.KeyRing
    sampler: cm.Sampler
    detector: cm.Detector

    @staticmethod
    def of(mark: str, key: Any, **parameters: Any) -> Ours:
        """Import a key."""
        ring = cm.KeyRing.generate()
        ring.import_engine_key("engine", mark, key, **parameters)
        return Ours(ring, cm.Sampler(ring, "engine"), cm.Detector(ring))

    def detect(self, ids: Sequence[int], prompt: Sequence[int] | None = None) -> cm.Detection:
        """Test a text by the sum alone."""
        return self.detector.detect(list(ids), start="unknown", prompt=prompt)

    def result(self, ids: Sequence[int], prompt: Sequence[int] | None = None) -> cm.ProfileResult:
        """Return what the key found."""
        return self.detect(ids, prompt).results[0]

    def engine(self, ids: Sequence[int], prompt: Sequence[int] | None = None) -> cm.EngineResult:
        """Return what is said to be the engine's own number."""
        result = self.result(ids, prompt).engine
        assert result is not None
        return result

    def score_of(self, context: Sequence[int], token: int) -> float:
        """Return the score of one token behind a whole context; NaN where it is not scored."""
        text = [*context, token]
        with_it, without = self.result(text), self.result(text[:-1])
        if with_it.scored == without.scored:
            return math.nan
        return with_it.score - without.score

    def mark(self, tokens: int, vocab: int, seed: int, prompt: Sequence[int] = ()) -> Ids:
        """Mark a text over random logits."""
        sequence = self.sampler.sequence(seed=seed, prompt=list(prompt))
        for step in range(tokens):
            sequence.sample(logits_of(seed, step, vocab))
        return [int(token) for token in sequence.tokens]


def logits_of(seed: int, step: int, vocab: int) -> Row:
    """Return the same logits for both sides."""
    return np.random.default_rng([seed, step]).normal(0, 2, vocab).astype(np.float32)


def random_ids(seed: int, tokens: int, vocab: int) -> Ids:
    """Return a text without a mark."""
    return [int(token) for token in np.random.default_rng(seed).integers(0, vocab, tokens)]


def as_tensor(row: Row) -> torch.Tensor:
    """Return logits as a batch of one row."""
    return torch.from_numpy(row.copy()).unsqueeze(0)


def texts_for(ours: Ours, vocab: int, prompt: Sequence[int] = ()) -> Iterable[tuple[Ids, bool]]:
    """Return texts, and whether they are marked: random ones, such with many repeats, marked."""
    for seed in range(5):
        yield random_ids(seed, 200, vocab), False
        yield random_ids(seed, 300, 5), False
    for seed in range(3):
        yield ours.mark(150, min(vocab, 1000), seed, prompt), True


class Loop(Protocol):
    """An engine's generation on a CPU, one response."""

    def step(self, logits: Row) -> tuple[int, bool]:
        """Return the next token, and whether the mark drew it."""
        ...


@dataclass(frozen=True)
class Shape:
    """How long a response is, over how many tokens, behind which prompt."""

    tokens: int
    vocab: int
    prompt: tuple[int, ...] = ()
    #: Every so many positions have a single candidate; 0: none.
    single_every: int = 0

    def logits(self, seed: int, step: int) -> Row:
        """Return the logits of a position."""
        row = logits_of(seed, step, self.vocab)
        if self.single_every and step % self.single_every == 0:
            row[row < row.max()] = -np.inf
        return row


def follow(check: Check, what: str, ours: Ours, loop: Loop, seed: int, shape: Shape) -> Ids:
    """Let the engine write a response, and compare place and token at every position.

    Countermark does not say of a single candidate whether it is marked: what becomes of its context
    shows later.
    """
    sequence = ours.sampler.sequence(seed=seed, prompt=list(shape.prompt))
    for step in range(shape.tokens):
        logits = shape.logits(seed, step)
        token, is_marked = loop.step(logits)
        probe = sequence.fork(seed=0)
        probe.sample(logits)
        is_ours = probe.stats.marked > sequence.stats.marked
        selected = sequence.select(logits)
        sequence.observe(token)
        if np.isfinite(logits).sum() > 1:
            check.same(f"{what}: which positions are marked", is_ours, is_marked)
        if is_ours and is_marked:
            check.holds(f"{what}: the same tokens", selected == token)
    return [int(token) for token in sequence.tokens]
