"""Slow reference of the marks with green lists, written from docs/spec/green-lists.md alone.

Each part mirrors the section of the page it names. Nothing here is fast, on purpose. A single
token's p-value is left out: it takes XXH3.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import mpmath  # type: ignore[import-untyped,unused-ignore]
import numpy as np
import numpy.typing as npt

from vllm_gumbel import MASK32, EngineNumber, halves, philox

Mark = Literal["hf/kgw-lefthash-1", "hf/kgw-selfhash-1", "sbw/lefthash-1", "sbw/selfhash-1"]
Generator = Literal["philox", "randperm"]

TABLE_SIZE = 1000003
SBW_TABLE_SEED = 2971215073
LIKELIEST = 40
LIKELIEST_OF_SBW = 41


# 1. Parameters


@dataclass(frozen=True)
class Parameters:
    """`ratio` and `bias` are gamma and delta of the marks of sbw."""

    vocab_size: int = 0  # none
    ratio: float = 0.25
    bias: float = 2.0
    context_width: int = 1
    generator: Generator = "randperm"

    def __post_init__(self) -> None:
        if not 0 < self.ratio < 1 or not 1 <= self.context_width <= 64:
            raise ValueError("ratio is 0 to 1, open, context_width 1 to 64")
        if self.generator == "randperm" and not 2 <= self.vocab_size <= 2**24:
            raise ValueError("vocab_size is 2 to 2^24")


def of_sbw(
    mark: Mark, generator: Generator = "philox", vocab_size: int = 0, gamma: float = 0.5
) -> Parameters:
    width = 4 if is_selfhash(mark) else 1
    return Parameters(vocab_size, gamma, 2.0, width, generator)


def is_selfhash(mark: Mark) -> bool:
    return "selfhash" in mark


def is_sbw(mark: Mark) -> bool:
    return mark.startswith("sbw/")


def require_key(mark: Mark, key: int) -> None:
    if not 1 <= key < 2 ** (64 if is_sbw(mark) else 63):
        raise ValueError("a key of hf is 1 to 2^63 - 1, one of sbw has 64 bits and is not 0")


# 2. Permutations


def signed(x: int, bits: int = 64) -> int:
    """Wrapped to a signed number."""
    half = 1 << (bits - 1)
    return (x + half) % (2 * half) - half


def randperm(n: int, seed: int, first: int | None = None) -> npt.NDArray[np.int64]:
    """The `first` entries of the permutation, or all of it."""
    count = n if first is None else first
    moves = min(count, n - 1)
    words = np.random.RandomState(seed & MASK32).randint(0, 2**32, size=moves, dtype=np.uint32)
    entries = list(range(n))
    for i, word in enumerate(words.tolist()):
        j = i + word % (n - i)
        entries[i], entries[j] = entries[j], entries[i]
    return np.array(entries[:count], dtype=np.int64)


@functools.cache
def green_in_order(vocab_size: int, ratio: float, seed: int) -> tuple[int, ...]:
    return tuple(randperm(vocab_size, seed, math.floor(ratio * vocab_size)).tolist())


@functools.cache
def green_set(vocab_size: int, ratio: float, seed: int) -> frozenset[int]:
    return frozenset(green_in_order(vocab_size, ratio, seed))


# 3. and 4. Seeds


@functools.cache
def table(seed: int) -> npt.NDArray[np.int64]:
    return randperm(TABLE_SIZE, seed)


def sbw_hash(x: int) -> int:
    """j(x), a signed number of 32 bits."""
    i = signed(x + 1, 32)
    i = signed(i - (i << 6), 32)
    i = signed(i ^ (i >> 17), 32)
    i = signed(i - (i << 9), 32)
    i = signed(i ^ (i << 4), 32)
    i = signed(i - (i << 3), 32)
    i = signed(i ^ (i << 10), 32)
    return signed(i ^ (i >> 15), 32)


def self_factor(mark: Mark, key: int, p: Parameters) -> Callable[[int], int]:
    """What stands for a token in the products of the self hash."""
    if is_sbw(mark) and p.generator == "philox":
        return sbw_hash
    entries = table((SBW_TABLE_SEED if is_sbw(mark) else key) & MASK32)
    return lambda x: int(entries[x % TABLE_SIZE]) + 1


def seed_of(mark: Mark, key: int, p: Parameters, before: Sequence[int], token: int) -> int:
    """The seed, before any modulus, of a position whose context is whole."""
    require_key(mark, key)
    if not is_selfhash(mark):
        product = key * before[-1]
        return signed(product) if is_sbw(mark) else product
    factor = self_factor(mark, key, p)
    window = [*before[len(before) - p.context_width + 1 :], token]
    return min(signed(key * factor(c) * factor(token)) for c in window)


def permutation_seed(mark: Mark, seed: int) -> int:
    return seed % (2**63 - 1 if is_sbw(mark) else 2**64 - 1)


def list_of(mark: Mark, p: Parameters, seed: int) -> int:
    """What tells lists apart."""
    if is_sbw(mark) and p.generator == "philox":
        return seed
    return permutation_seed(mark, seed) & MASK32


def philox_word(seed: int, token: int) -> int:
    return philox((token >> 2, 0, 0, 0), halves(seed % 2**64))[token & 3]


def is_green(mark: Mark, p: Parameters, seed: int, token: int) -> bool:
    if is_sbw(mark) and p.generator == "philox":
        return philox_word(seed, token) % 2**31 < math.floor(p.ratio * (2**31 - 1))
    return token in green_set(p.vocab_size, p.ratio, list_of(mark, p, seed))


def green_share(mark: Mark, p: Parameters) -> tuple[int, int]:
    """g as numerator and denominator."""
    if is_sbw(mark) and p.generator == "philox":
        return math.floor(p.ratio * (2**31 - 1)), 2**31
    return math.floor(p.ratio * p.vocab_size), p.vocab_size


# Embedding


def biased(
    mark: Mark, key: int, p: Parameters, before: Sequence[int], logits: Sequence[float]
) -> list[float]:
    """The logits with the bias, which hf adds after temperature and truncation, sbw before."""
    if is_sbw(mark):
        before = [0] * p.context_width + list(before)
    elif len(before) < p.context_width:
        return list(logits)
    looked_at = {t for t, x in enumerate(logits) if x > -math.inf}
    if is_selfhash(mark) and p.generator == "randperm":
        ranked = sorted(looked_at, key=lambda t: (-logits[t], t))
        looked_at = set(ranked[: LIKELIEST_OF_SBW if is_sbw(mark) else LIKELIEST])
    return [
        x + p.bias
        if t in looked_at and is_green(mark, p, seed_of(mark, key, p, before, t), t)
        else x
        for t, x in enumerate(logits)
    ]


# 5. Detection


@dataclass(frozen=True)
class Hits:
    positions: list[int]
    green: list[bool]
    log10_p: float

    @property
    def scored(self) -> int:
        return len(self.green)

    @property
    def sum(self) -> int:
        return sum(self.green)


def inside(mark: Mark, p: Parameters) -> int:
    """The tokens of a window, or of a context, before the token itself."""
    return p.context_width - is_selfhash(mark)


def log10_binomial_p(n: int, hits: int, share: tuple[int, int]) -> float:
    """log10 of the upper tail of the binomial distribution."""
    if hits == 0:
        return 0.0
    numerator, denominator = share
    ways = sum(
        math.comb(n, k) * numerator**k * (denominator - numerator) ** (n - k)
        for k in range(hits, n + 1)
    )
    with mpmath.workdps(40):
        return float(mpmath.log10(mpmath.mpf(ways) / mpmath.mpf(denominator) ** n))


def detect(mark: Mark, key: int, tokens: Sequence[int], p: Parameters) -> Hits:
    """Ours."""
    seen: set[tuple[int, int]] = set()
    positions, green = [], []
    for i in range(inside(mark, p), len(tokens)):
        seed = seed_of(mark, key, p, tokens[:i], tokens[i])
        draw = (list_of(mark, p, seed), tokens[i])
        if draw[0] != 0 and draw not in seen:
            seen.add(draw)
            positions.append(i)
            green.append(is_green(mark, p, seed, tokens[i]))
    return Hits(positions, green, log10_binomial_p(len(green), sum(green), green_share(mark, p)))


def engine_hits(
    mark: Mark, key: int, tokens: Sequence[int], p: Parameters, *, once: bool
) -> tuple[int, int]:
    """(n, hits) as the engines count: every n-gram, or each of them `once`."""
    seen: set[tuple[int, ...]] = set()
    n = hits = 0
    first = inside(mark, p)
    for i in range(first, len(tokens)):
        ngram = tuple(tokens[i - first : i + 1])
        if once and ngram in seen:
            continue
        seen.add(ngram)
        n += 1
        hits += is_green(mark, p, seed_of(mark, key, p, tokens[:i], tokens[i]), tokens[i])
    return n, hits


def engine(mark: Mark, key: int, tokens: Sequence[int], p: Parameters) -> EngineNumber:
    """The engines' number, by their defaults; g is what the parameters say."""
    n, hits = engine_hits(mark, key, tokens, p, once=is_sbw(mark))
    z = z_score(n, hits, p.ratio) if n else 0.0
    return EngineNumber(n, hits, log10_normal_p(z))


def z_score(n: int, hits: int, g: float) -> float:
    return (hits - g * n) / math.sqrt(n * g * (1 - g))


def log10_normal_p(z: float) -> float:
    with mpmath.workdps(40):
        return float(mpmath.log10(mpmath.erfc(mpmath.mpf(z) / mpmath.sqrt(2)) / 2))


def old_transformers_p(z: float) -> float:
    sign = (z > 0) - (z < 0)
    return 1 - (1 + sign * (1 - math.exp(-2 * z * z / math.pi))) / 2
