"""Slow reference of vLLM's Gumbel marks, written from docs/spec/vllm-gumbel.md alone.

Each part mirrors the section of the page it names. Nothing here is fast, on purpose.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import mpmath  # type: ignore[import-untyped,unused-ignore]
import numpy as np

from countermark_1 import Finding, log10_p

Mark = Literal["vllm/gumbel-0", "vllm/gumbel-1", "vllm/dual-gumbel-1"]
Words = tuple[int, int, int, int]
WordPair = tuple[int, int]

MASK32 = 2**32 - 1
PADDING = -1


class EngineNumber(NamedTuple):
    """What an engine's own detector says; None where it gives no p-value."""

    scored: int
    score: float
    log10_p: float | None


# 1. Parameters


@dataclass(frozen=True)
class Parameters:
    context_width: int = 4
    deduplicate_contexts: Literal["single_turn", "none", "all"] = "single_turn"
    deduplicate_contexts_max_history: int | None = 8192
    alpha: float = 0.1

    def __post_init__(self) -> None:
        history = self.deduplicate_contexts_max_history
        if not 1 <= self.context_width <= 64 or not 0 <= self.alpha <= 1:
            raise ValueError("context_width is 1 to 64, alpha 0 to 1")
        if self.deduplicate_contexts not in ("single_turn", "none", "all"):
            raise ValueError("deduplicate_contexts is single_turn, none or all")
        if history is not None and history < 1:
            raise ValueError("deduplicate_contexts_max_history is 1 or more, or None")


# 2. Hash


def philox(counter: Words, key: WordPair) -> Words:
    """Philox4x32-10."""
    (c0, c1, c2, c3), (k0, k1) = counter, key
    for _ in range(10):
        second, first = 0xCD9E8D57 * c2, 0xD2511F53 * c0
        c0, c1 = (second >> 32) ^ c1 ^ k0, second & MASK32
        c2, c3 = (first >> 32) ^ c3 ^ k1, first & MASK32
        k0, k1 = (k0 + 0x9E3779B9) & MASK32, (k1 + 0xBB67AE85) & MASK32
    return c0, c1, c2, c3


def halves(key: int) -> WordPair:
    """The lower and the upper half of a number of 64 bits."""
    return key & MASK32, key >> 32 & MASK32


def state(key: int, context: Sequence[int]) -> Words:
    """The state of a context; a padding token is -1."""
    k0, k1 = halves(key)
    width = len(context)
    s: Words = (0x574D4358, width, 0, 0)
    for off in range(0, width, 4):
        block = [context[off + i] & MASK32 if off + i < width else MASK32 - i for i in range(4)]
        c0, c1, c2, c3 = (x ^ b for x, b in zip(s, block, strict=True))
        s = philox((c0, c1, c2, c3), (k0 ^ off, k1))
    return s


def token_word(mark: Mark, key: int, context: Sequence[int], token: int) -> int:
    k0, k1 = halves(key)
    s0, s1, s2, s3 = state(key, context)
    under = (k0 ^ s3, k1 ^ 0x574D544B)
    if mark == "vllm/gumbel-0":
        return philox((token, s0, s1, s2), under)[0]
    return philox((token >> 2, s0, s1, s2), under)[token & 3]


def uniform(word: int) -> float:
    return float(np.float32(((word >> 8) + 1) / (2**24 + 1)))


def derive(key: int, label: Literal["key_a", "key_b"]) -> int:
    digest = hashlib.sha256(label.encode("ascii") + key.to_bytes(8, "big")).digest()
    return int.from_bytes(digest[:8], "big")


# 3. Contexts


def context_at(tokens: Sequence[int], i: int, width: int) -> tuple[int, ...]:
    """The context of position i of a response, or of prompt and response joined."""
    last = tuple(tokens[max(0, i - width) : i])
    return (PADDING,) * (width - len(last)) + last


# 4. Embedding


def is_marked(response: Sequence[int], p: Parameters, prompt: Sequence[int] = ()) -> bool:
    """Whether the next position of the response is drawn by the mark."""
    i, width = len(response), p.context_width
    if p.deduplicate_contexts == "none":
        return True
    if p.deduplicate_contexts == "all" and i < width:
        return False
    joined = [*(prompt if p.deduplicate_contexts == "all" else ()), *response]
    contexts = [context_at(joined, j, width) for j in range(len(joined) + 1)]
    here = contexts.pop()
    history = p.deduplicate_contexts_max_history
    return here not in contexts[-history if history else None :]


def select(mark: Mark, key: int, context: Sequence[int], scaled: Sequence[float]) -> int:
    """The token by logits that penalties, temperature and truncation have been through.

    Of the dual mark, `key` is the one that draws: A or B.
    """
    ranked = []
    for token, logit in enumerate(scaled):
        if logit > -math.inf:
            u = uniform(token_word(mark, key, context, token))
            ranked.append((-(logit - math.log(-math.log(u))), token))
    return min(ranked)[1]


# 5. Detection


def score(u: float) -> float:
    return -math.log1p(-u)


def scored_positions(tokens: Sequence[int], width: int, *, once: bool = True) -> list[int]:
    seen: set[tuple[int, ...]] = set()
    positions = []
    for i in range(len(tokens)):
        context = context_at(tokens, i, width)
        if not once or context not in seen:
            positions.append(i)
        seen.add(context)
    return positions


def scores_at(
    mark: Mark, key: int, tokens: Sequence[int], width: int, positions: Sequence[int]
) -> list[float]:
    return [
        score(uniform(token_word(mark, key, context_at(tokens, i, width), tokens[i])))
        for i in positions
    ]


def log10_dual_p(n: int, total: float, alpha: float) -> float:
    """log10 of the upper tail of (1 - alpha) G + alpha H, by the series of the page."""
    small, large = sorted((alpha, 1 - alpha))
    if n == 0 or small == 0:
        return log10_p(n, total)
    with mpmath.workdps(50):
        q = mpmath.mpf(small) / mpmath.mpf(large)
        x = mpmath.mpf(total) / mpmath.mpf(small)
        term = mpmath.exp(-x)  # e^-x x^m / m! at m = 0
        tail = mpmath.mpf(0)  # Q(m, x)
        for m in range(2 * n):
            tail += term
            term *= x / (m + 1)
        weight, p, k = q**n, mpmath.mpf(0), 0
        while True:
            p += weight * tail
            ratio = (n + k) * (1 - q) / (k + 1)
            if ratio < 1 and weight * ratio / (1 - ratio) < p * mpmath.mpf(10) ** -20:
                return float(mpmath.log10(p))
            weight *= ratio
            tail += term
            k += 1
            term *= x / (2 * n + k)


def log10_gamma_tail(shape: float, x: float) -> float:
    """log10 Q(shape, x) for any shape."""
    if shape == 0:
        return 0.0
    with mpmath.workdps(30):
        return float(mpmath.log10(mpmath.gammainc(shape, a=x, regularized=True)))


def finding(positions: list[int], scores: list[float]) -> Finding:
    total = math.fsum(scores)
    return Finding(positions, scores, total, log10_p(len(scores), total))


def detect(
    mark: Mark, key: int, tokens: Sequence[int], p: Parameters, *, once: bool = True
) -> Finding:
    """Ours; with `once` false every position, as the engine scores where it is told to."""
    positions = scored_positions(tokens, p.context_width, once=once)
    if mark != "vllm/dual-gumbel-1":
        return finding(positions, scores_at(mark, key, tokens, p.context_width, positions))
    by_a, by_b = (
        scores_at(mark, derive(key, label), tokens, p.context_width, positions)
        for label in ("key_a", "key_b")
    )
    scores = [(1 - p.alpha) * a + p.alpha * b for a, b in zip(by_a, by_b, strict=True)]
    total = math.fsum(scores)
    return Finding(positions, scores, total, log10_dual_p(len(scores), total, p.alpha))


def engine(
    mark: Mark, key: int, tokens: Sequence[int], p: Parameters, *, once: bool = True
) -> EngineNumber:
    ours = detect(mark, key, tokens, p, once=once)
    if mark != "vllm/dual-gumbel-1":
        return EngineNumber(ours.scored, ours.sum, ours.log10_p)
    return engine_of_two(ours.scored, ours.sum, p.alpha)


def engine_of_two(n: int, total: float, alpha: float) -> EngineNumber:
    """Q(n / v, S / v), whichever key alpha belongs to."""
    v = (1 - alpha) ** 2 + alpha**2
    return EngineNumber(n, total, log10_gamma_tail(n / v, total / v))
