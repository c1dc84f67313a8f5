"""Slow reference of TextSeal's Gumbel marks, written from docs/spec/meta-textseal.md alone.

Each part mirrors the section of the page it names. Nothing here is fast, on purpose.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from countermark_1 import Finding, log10_p
from vllm_gumbel import EngineNumber, engine_of_two, finding, log10_dual_p

Keys = tuple[int, ...]  # one key, or A and B
Revision = Literal[1, 2]
Method = Literal["v1", "v2"]

MODULUS = 8191
KEY_B_AFTER_A = 12345
PRIMES = (
    10000019,
    10000247,
    10000439,
    10000643,
    10000747,
    10000867,
    10000993,
    10001213,
    10001357,
    10001501,
)


# 1. Parameters


@dataclass(frozen=True)
class Parameters:
    ngram: int = 1
    mixing_alpha: float = 0.5
    scoring_method: Method = "v2"

    def __post_init__(self) -> None:
        if not 1 <= self.ngram <= 10 or not 0 <= self.mixing_alpha <= 1:
            raise ValueError("ngram is 1 to 10, mixing_alpha 0 to 1")
        if self.scoring_method not in ("v1", "v2"):
            raise ValueError("scoring_method is v1 or v2")


def require_keys(revision: Revision, keys: Keys) -> None:
    if not 1 <= len(keys) <= revision:
        raise ValueError("revision 1 has one key, revision 2 one or two")


# 2. Hash


def signed(x: int) -> int:
    """Wrapped to a signed number of 64 bits."""
    return (x + 2**63) % 2**64 - 2**63


def token_hash(key: int, context: Sequence[int], token: int) -> int:
    """0 to 8190."""
    total = sum(prime * t for prime, t in zip(PRIMES, context, strict=False))
    h = signed((total + 100000007 * token + 500001713 * key) * 15485863)
    h = signed(h * 40499)
    return (h ^ (h >> 13)) % MODULUS


def uniform(h: int) -> float:
    return float(np.float32(h) / np.float32(MODULUS))


# 3. Contexts


def context_at(revision: Revision, before: Sequence[int], width: int) -> tuple[int, ...]:
    """The context after the tokens of prompt and response, padded with 0."""
    if revision == 1 and len(before) < width:
        return (0,) * width
    last = tuple(before[max(0, len(before) - width) :])
    return (0,) * (width - len(last)) + last


# 4. Embedding


def select(
    revision: Revision, key: int, context: Sequence[int], probabilities: Sequence[float]
) -> int:
    """The token that one key takes; which of two it is, an ordinary coin says."""
    us = [uniform(token_hash(key, context, t)) for t in range(len(probabilities))]
    positive = [(t, p) for t, p in enumerate(probabilities) if p > 0]
    if revision == 2:
        return min((-math.log(us[t] + 1e-30) / p, t) for t, p in positive)[1]
    return min((-power(us[t], p), -p, t) for t, p in positive)[2]


def power(u: float, p: float) -> float:
    """u^(1/p) in binary32."""
    with np.errstate(over="ignore", under="ignore", divide="ignore"):
        return float(np.float32(u) ** (np.float32(1) / np.float32(p)))


# 5. Detection


def score(h: int) -> float:
    return -math.log((MODULUS - h) / MODULUS)


def scored_positions(tokens: Sequence[int], width: int, method: Method | None) -> list[int]:
    """Once for a context (v1) or for a context with a token (v2); all of them without `method`."""
    seen: set[tuple[int, ...]] = set()
    positions = []
    for i in range(width + 1, len(tokens)):
        what = (*tokens[i - width : i], *((tokens[i],) if method == "v2" else ()))
        if method is None or what not in seen:
            positions.append(i)
        seen.add(what)
    return positions


def scores_at(key: int, tokens: Sequence[int], width: int, positions: Sequence[int]) -> list[float]:
    return [score(h) for h in hashes_at(key, tokens, width, positions)]


def hashes_at(key: int, tokens: Sequence[int], width: int, positions: Sequence[int]) -> list[int]:
    return [token_hash(key, tokens[i - width : i], tokens[i]) for i in positions]


def detect(keys: Keys, tokens: Sequence[int], p: Parameters) -> Finding:
    """Ours."""
    return detect_at(keys, tokens, p, scored_positions(tokens, p.ngram, p.scoring_method))


def detect_at(keys: Keys, tokens: Sequence[int], p: Parameters, positions: list[int]) -> Finding:
    by_a = scores_at(keys[0], tokens, p.ngram, positions)
    if len(keys) == 1:
        return finding(positions, by_a)
    by_b = scores_at(keys[1], tokens, p.ngram, positions)
    alpha = p.mixing_alpha
    scores = [alpha * a + (1 - alpha) * b for a, b in zip(by_a, by_b, strict=True)]
    total = math.fsum(scores)
    return Finding(positions, scores, total, log10_dual_p(len(scores), total, alpha))


def engine_score(h: int) -> float:
    """-ln(1 - u) in binary32: u, 1 - u and the logarithm, each rounded."""
    one_minus_u = np.float32(1) - np.float32(uniform(h))
    return float(np.float32(-math.log(one_minus_u)))


def engine(keys: Keys, tokens: Sequence[int], p: Parameters) -> EngineNumber:
    return engine_at(keys, tokens, p, scored_positions(tokens, p.ngram, p.scoring_method))


def engine_at(
    keys: Keys, tokens: Sequence[int], p: Parameters, positions: Sequence[int]
) -> EngineNumber:
    n = len(positions)
    by_key = [
        math.fsum(engine_score(h) for h in hashes_at(key, tokens, p.ngram, positions))
        for key in keys
    ]
    if len(keys) == 1:
        return EngineNumber(n, by_key[0], log10_p(n, by_key[0]))
    total = p.mixing_alpha * by_key[0] + (1 - p.mixing_alpha) * by_key[1]
    return engine_of_two(n, total, p.mixing_alpha)
