"""Slow reference of SGLang's Aaronson marks, written from docs/spec/sglang-aaronson.md alone.

Each part mirrors the section of the page it names. Nothing here is fast, on purpose.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from countermark_1 import Finding
from vllm_gumbel import MASK32, EngineNumber, finding, halves

MOST_CONTEXTS = 4096

Keys = tuple[int, ...]  # one key, or A and B


# 1. Parameters


@dataclass(frozen=True)
class Parameters:
    context_window: int = 4
    max_probability: float = 1.0
    mixing_probability: float = 0.5

    def __post_init__(self) -> None:
        if not 1 <= self.context_window <= 64:
            raise ValueError("context_window is 1 to 64")
        if not (0 <= self.max_probability <= 1 and 0 <= self.mixing_probability <= 1):
            raise ValueError("max_probability and mixing_probability are 0 to 1")


# 2. Hash


def rotl(x: int, bits: int) -> int:
    return ((x << bits) | (x >> (32 - bits))) & MASK32


def mm(words: Iterable[int]) -> int:
    h = count = 0
    for word in words:
        k = (rotl(word * 0xCC9E2D51 & MASK32, 15) * 0x1B873593) & MASK32
        h = (rotl(h ^ k, 13) * 5 + 0xE6546B64) & MASK32
        count += 1
    h ^= 4 * count
    h = ((h ^ h >> 16) * 0x85EBCA6B) & MASK32
    h = ((h ^ h >> 13) * 0xC2B2AE35) & MASK32
    return h ^ h >> 16


def token_hash(key: int, context: Sequence[int], token: int) -> int:
    return mm([*halves(key), mm(context), token])


def draws_a(keys: Keys, context: Sequence[int], mixing_probability: float) -> bool:
    """Whether key A draws the context; with one key it always does."""
    if len(keys) == 1:
        return True
    coin = mm([*halves(keys[0]), *halves(keys[1]), mm(context)])
    return coin < math.floor(mixing_probability * 2**32)


def drawing_key(keys: Keys, context: Sequence[int], p: Parameters) -> int:
    return keys[0] if draws_a(keys, context, p.mixing_probability) else keys[1]


def uniform(h: int) -> tuple[float, float]:
    """(u, 1 - u), both exact."""
    return (h + 0.5) / 2**32, (MASK32 - h + 0.5) / 2**32


# 3. Contexts


def context_at(before: Sequence[int], window: int) -> tuple[int, ...]:
    """The context after the tokens of prompt and response."""
    return tuple(before[max(0, len(before) - window) :])


# 4. Embedding


def minus_log_u(h: int) -> float:
    u, one_minus_u = uniform(h)
    return -math.log1p(-one_minus_u) if u > 0.5 else -math.log(u)


@dataclass
class Request:
    """One request, token after token; the prompt is already in `tokens`."""

    keys: Keys
    p: Parameters
    tokens: list[int]
    marked: set[int] = field(default_factory=set)

    def context(self) -> tuple[int, ...]:
        return context_at(self.tokens, self.p.context_window)

    def is_marked(self, probabilities: Sequence[float]) -> bool:
        context = self.context()
        return bool(
            context
            and mm(context) not in self.marked
            and len(self.marked) < MOST_CONTEXTS
            and max(probabilities) <= self.p.max_probability  # of what truncation has left
        )

    def select(self, probabilities: Sequence[float]) -> int | None:
        """The token that the mark takes, None where it does not draw."""
        if not self.is_marked(probabilities):
            return None
        context = self.context()
        return select(drawing_key(self.keys, context, self.p), context, probabilities)

    def observe(self, token: int, *, was_marked: bool) -> None:
        if was_marked:
            self.marked.add(mm(self.context()))
        self.tokens.append(token)


def select(key: int, context: Sequence[int], probabilities: Sequence[float]) -> int:
    return min(
        (minus_log_u(token_hash(key, context, t)) / p, t)
        for t, p in enumerate(probabilities)
        if p > 0
    )[1]


# 5. Detection


def score(h: int) -> float:
    u, one_minus_u = uniform(h)
    return -math.log(one_minus_u) if u > 0.5 else -math.log1p(-u)


def scored_contexts(
    tokens: Sequence[int], p: Parameters, prompt: Sequence[int] | None
) -> list[tuple[int, tuple[int, ...]]]:
    """The positions scored, each with its context."""
    known = list(prompt or ())
    seen: set[tuple[int, ...]] = set()
    found = []
    for i in range(p.context_window if prompt is None else 0, len(tokens)):
        context = context_at([*known, *tokens[:i]], p.context_window)
        if context and context not in seen and len(seen) < MOST_CONTEXTS:
            seen.add(context)
            found.append((i, context))
    return found


def detect(
    keys: Keys, tokens: Sequence[int], p: Parameters, prompt: Sequence[int] | None = None
) -> Finding:
    """Ours."""
    places = scored_contexts(tokens, p, prompt)
    scores = [score(token_hash(drawing_key(keys, c, p), c, tokens[i])) for i, c in places]
    return finding([i for i, _ in places], scores)


def detect_by(
    key: int, tokens: Sequence[int], p: Parameters, prompt: Sequence[int] | None = None
) -> Finding:
    """The engine's number for one of the two keys over all positions."""
    return detect((key,), tokens, p, prompt)


def engine(
    keys: Keys, tokens: Sequence[int], p: Parameters, prompt: Sequence[int] | None = None
) -> EngineNumber:
    """The engine's combined number: it takes an empty prompt for an unknown one."""
    found = detect(keys, tokens, p, prompt or None)
    return EngineNumber(found.scored, found.sum, found.log10_p)
