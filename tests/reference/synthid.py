"""Slow reference of the SynthID marks, written from docs/spec/synthid.md alone.

Each part mirrors the section of the page it names. Nothing here is fast, on purpose.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from vllm_gumbel import EngineNumber

Mark = Literal["hf/synthid-1", "deepmind/synthid-2"]
Keys = tuple[int, ...]
Bits = tuple[int, ...]  # the g-values of a token, one for each layer
Null = npt.NDArray[np.float64]  # [steps]: the probability of each

FACTOR = 6364136223846793005


# 1. Parameters


@dataclass(frozen=True)
class Parameters:
    ngram_len: int = 5
    context_history_size: int = 1024
    sampling_table_size: int = 65536
    sampling_table_seed: int = 0
    skip_first_ngram_calls: bool = False

    def __post_init__(self) -> None:
        size = self.sampling_table_size
        if not 2 <= self.ngram_len <= 64 or not 1 <= self.context_history_size <= 2**24:
            raise ValueError("ngram_len is 2 to 64, context_history_size 1 to 2^24")
        if not 2 <= size <= 2**24 or size & (size - 1) or not 0 <= self.sampling_table_seed < 2**32:
            raise ValueError("sampling_table_size is a power of two, its seed has 32 bits")

    @property
    def width(self) -> int:
        return self.ngram_len - 1


# 2. Hash


def signed(x: int) -> int:
    """Wrapped to a signed number of 64 bits."""
    return (x + 2**63) % 2**64 - 2**63


def step(h: int, d: int) -> int:
    return signed((h + d) * FACTOR + 1)


def initial(mark: Mark, keys: Keys) -> int:
    if mark == "hf/synthid-1":
        return 1
    digest = hashlib.sha256(b"".join((k % 2**64).to_bytes(8, "little") for k in keys)).digest()
    return int.from_bytes(digest, "big") % (2**63 - 1)


def hash_of(mark: Mark, keys: Keys, tokens: Iterable[int]) -> int:
    """The hash of a context, or of a token where that comes after its context."""
    return functools.reduce(step, tokens, initial(mark, keys))


@functools.lru_cache
def table(size: int, seed: int) -> npt.NDArray[np.int64]:
    words = np.random.RandomState(seed).randint(0, 2**32, size=size, dtype=np.uint32)
    return (words & 1).astype(np.int64)


def g_values(mark: Mark, keys: Keys, p: Parameters, token_hash: int) -> Bits:
    layers = [step(token_hash, key) for key in keys]
    if mark == "hf/synthid-1":
        bits = table(p.sampling_table_size, p.sampling_table_seed)
        return tuple(int(bits[x % p.sampling_table_size]) for x in layers)
    return tuple(rounds(x) >> 30 & 1 for x in layers)


def rounds(x: int) -> int:
    for _ in range(12):
        x = signed((x + 1) * FACTOR + 1) >> 5
    return x


# 3. Contexts


def context_at(response: Sequence[int], i: int, width: int) -> tuple[int, ...]:
    last = tuple(response[max(0, i - width) : i])
    return (0,) * (width - len(last)) + last


# 4. Embedding


def is_marked(mark: Mark, keys: Keys, p: Parameters, response: Sequence[int]) -> bool:
    """Whether the next position of the response is left to the mark."""
    skipped = p.width if p.skip_first_ngram_calls else 0
    i = len(response)
    if i < skipped:
        return False
    hashes = [hash_of(mark, keys, context_at(response, j, p.width)) for j in range(skipped, i + 1)]
    return not is_repeated(p, hashes[:-1], hashes[-1])


def is_repeated(p: Parameters, before: Sequence[int], here: int) -> bool:
    """Whether a context's hash is among the last ones, which are 0 before the first."""
    last = before[-p.context_history_size :]
    return here in last or (here == 0 and len(last) < p.context_history_size)


def update(
    mark: Mark, keys: Keys, p: Parameters, context: Sequence[int], probabilities: Sequence[float]
) -> list[float]:
    """The probabilities of a marked position, from those after truncation."""
    bits = [
        g_values(mark, keys, p, hash_of(mark, keys, [*context, token]))
        for token in range(len(probabilities))
    ]
    now = list(probabilities)
    for layer in range(len(keys)):
        g = [b[layer] for b in bits]
        mean = math.fsum(x * y for x, y in zip(g, now, strict=True))
        now = [y * (1 + x - mean) for x, y in zip(g, now, strict=True)]
    return now


def greedy(
    mark: Mark, keys: Keys, p: Parameters, response: Sequence[int], probabilities: Sequence[float]
) -> int:
    """The token at temperature 0, from the untruncated probabilities at temperature 1."""
    if mark == "hf/synthid-1" and is_marked(mark, keys, p, response):
        context = context_at(response, len(response), p.width)
        probabilities = update(mark, keys, p, context, probabilities)
    return min(range(len(probabilities)), key=lambda t: (-probabilities[t], t))


# 5. Detection


def layer_weights(layers: int) -> list[int]:
    """In units of 1 / (D - 1)."""
    if layers == 1:
        return [1]
    return [10 * (layers - 1) - 9 * layer for layer in range(layers)]


def weight(bits: Bits) -> int:
    return sum(w for w, bit in zip(layer_weights(len(bits)), bits, strict=True) if bit)


@functools.lru_cache
def null_of_weights(mark: Mark, keys: Keys, p: Parameters) -> npt.NDArray[np.float64]:
    """[weight]: the probability of each."""
    weights = layer_weights(len(keys))
    if mark == "hf/synthid-1":
        # Only the hash's lowest bits count: the layers' table entries lie at fixed offsets of one.
        bits = table(p.sampling_table_size, p.sampling_table_seed)
        states = np.arange(p.sampling_table_size)
        total = np.zeros(p.sampling_table_size, dtype=np.int64)
        for key, w in zip(keys, weights, strict=True):
            first = step(0, key) % p.sampling_table_size
            factor = FACTOR % p.sampling_table_size
            total += w * bits[(states * factor + first) % p.sampling_table_size]
        counts = np.bincount(total, minlength=sum(weights) + 1)
        return counts.astype(np.float64) / p.sampling_table_size
    null = np.ones(1)
    for w in weights:
        coin = np.zeros(w + 1)
        coin[0] = coin[w] = 0.5
        null = np.convolve(null, coin)
    return null


@functools.lru_cache
def step_size(mark: Mark, keys: Keys, p: Parameters) -> int:
    null = null_of_weights(mark, keys, p)
    values = np.arange(len(null))
    mean = float(values @ null)
    deviation = math.sqrt(float((values - mean) ** 2 @ null))
    return max(1, math.floor(deviation / 16 + 0.5))


@functools.lru_cache
def null_of_steps(mark: Mark, keys: Keys, p: Parameters) -> Null:
    null = null_of_weights(mark, keys, p)
    steps = np.arange(len(null)) // step_size(mark, keys, p)
    return np.bincount(steps, weights=null).astype(np.float64)


def log10_lattice_p(null: Null, n: int, total: int) -> float:
    """log10 of the tail at `total` of n independent draws, by convolution.

    No term is negative, so that none cancels another; for tails above 1e-250.
    """
    powers, left, so_far = null, n, np.ones(1)
    while left:
        if left & 1:
            so_far = convolve(so_far, powers)
        left >>= 1
        if left:
            powers = convolve(powers, powers)
    return math.log10(math.fsum(so_far[total:])) if total > 0 else 0.0


def convolve(a: Null, b: Null) -> Null:
    """The convolution without its terms below 1e-290, which are slow to work with."""
    whole = np.convolve(a, b)
    return np.where(whole < 1e-290, 0, whole)


def bits_at(mark: Mark, keys: Keys, p: Parameters, tokens: Sequence[int], i: int) -> Bits:
    return g_values(mark, keys, p, hash_of(mark, keys, tokens[i - p.width : i + 1]))


def scored_positions(mark: Mark, keys: Keys, p: Parameters, tokens: Sequence[int]) -> list[int]:
    contexts: set[int] = set()
    states: set[int] = set()
    kept = []
    for i in range(p.width, len(tokens)):
        context = hash_of(mark, keys, context_at(tokens, i, p.width))
        state = hash_of(mark, keys, tokens[i - p.width : i + 1])
        if mark == "hf/synthid-1":
            state %= p.sampling_table_size
        is_new = context not in contexts
        contexts.add(context)
        if is_new and state not in states:
            kept.append(i)
            states.add(state)
    return kept


@dataclass(frozen=True)
class Steps:
    positions: list[int]
    steps: list[int]
    log10_p: float

    @property
    def scored(self) -> int:
        return len(self.steps)

    @property
    def sum(self) -> int:
        return sum(self.steps)


def detect(mark: Mark, keys: Keys, tokens: Sequence[int], p: Parameters) -> Steps:
    """Ours."""
    positions = scored_positions(mark, keys, p, tokens)
    size = step_size(mark, keys, p)
    steps = [weight(bits_at(mark, keys, p, tokens, i)) // size for i in positions]
    null = null_of_steps(mark, keys, p)
    return Steps(positions, steps, log10_lattice_p(null, len(steps), sum(steps)))


def engine_positions(mark: Mark, keys: Keys, p: Parameters, tokens: Sequence[int]) -> list[int]:
    """From w on, the positions that are no repeats within `context_history_size`."""
    positions = range(p.width, len(tokens))
    hashes = [hash_of(mark, keys, tokens[i - p.width : i]) for i in positions]
    return [
        i
        for i, h in zip(positions, hashes, strict=True)
        if not is_repeated(p, hashes[: i - p.width], h)
    ]


def engine(mark: Mark, keys: Keys, tokens: Sequence[int], p: Parameters) -> EngineNumber:
    """The weighted mean; that of nothing, which the page leaves open, is 0."""
    positions = engine_positions(mark, keys, p, tokens)
    total = sum(weight(bits_at(mark, keys, p, tokens, i)) for i in positions)
    whole = len(positions) * sum(layer_weights(len(keys)))
    return EngineNumber(len(positions), total / whole if whole else 0.0, None)
