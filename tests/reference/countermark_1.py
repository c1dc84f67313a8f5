"""Slow reference of the mark `countermark/1`, written from docs/spec/countermark-1.md alone.

Each part mirrors the section of the page it names. Nothing here is fast, on purpose.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import mpmath  # type: ignore[import-untyped,unused-ignore]
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

Layer = Literal["free", "narrow", "wide"]
Start = Literal["unknown", "response"]
Pair = tuple[int, int]

MASK64 = 2**64 - 1
P = 0x9FB21C651E98DF25
UNITS = 65536


# 1. Parameters


@dataclass(frozen=True)
class Parameters:
    narrow_width: int = 2
    wide_width: int = 4
    narrow_units: int = 32768
    free_units: int = 0
    free_prefix: int = 24
    accounts: bool = False

    def __post_init__(self) -> None:
        _in_range("narrow_width", self.narrow_width, 1, 4)
        _in_range("wide_width", self.wide_width, 1, 4)
        _in_range("narrow_units", self.narrow_units, 0, UNITS)
        _in_range("free_units", self.free_units, 0, UNITS - self.narrow_units)
        _in_range("free_prefix", self.free_prefix, 0, 65536)
        if self.accounts and not self.both_layers_exist():
            raise ValueError("with accounts, both layers must exist")

    def both_layers_exist(self) -> bool:
        return self.narrow_units > 0 and self.free_units + self.narrow_units < UNITS


def _in_range(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} = {value} is not in {low} to {high}")


PURPOSES: Mapping[str, Parameters] = {
    "balanced": Parameters(),
    "distillation": Parameters(narrow_units=65536),
    "provenance": Parameters(narrow_units=0),
}


# 2. Keys


def hkdf_sha256(ikm: bytes, salt: bytes, info: bytes) -> bytes:
    """RFC 5869 for exactly 32 bytes, where the expansion is a single block."""
    prk = hmac.digest(salt, ikm, hashlib.sha256)
    return hmac.digest(prk, info + b"\x01", hashlib.sha256)


def derive(secret: bytes, label: str) -> bytes:
    if len(secret) != 32:
        raise ValueError("a secret has 32 bytes")
    return hkdf_sha256(secret, b"countermark/1", label.encode("ascii"))


def first_pair(data: bytes) -> Pair:
    return int.from_bytes(data[0:8], "little"), int.from_bytes(data[8:16], "little")


def account_key(accounts_key: bytes, account: int) -> Pair:
    """(a1, a2) of an account; `accounts_key` is K_accounts."""
    return first_pair(hmac.digest(accounts_key, account.to_bytes(8, "little"), hashlib.sha256))


def commitment(secret: bytes) -> str:
    return hmac.digest(secret, b"countermark key commitment", hashlib.sha256).hex()


def key_id(secret: bytes) -> str:
    return commitment(secret)[:16]


@dataclass(frozen=True)
class Keys:
    narrow: bytes
    wide: bytes
    accounts: bytes

    @classmethod
    def of(cls, secret: bytes) -> Keys:
        return cls(derive(secret, "narrow"), derive(secret, "wide"), derive(secret, "accounts"))

    def account(self, account: int) -> Pair:
        return account_key(self.accounts, account)


# 3. Responses, contexts and seeds


def block(tokens: Sequence[int], width: int) -> bytes:
    """Sixteen bytes of the last `width` tokens; the caller has seen to it that they exist."""
    if not 1 <= width <= 4 or len(tokens) < width:
        raise ValueError("a block needs width tokens")
    words = [0xFFFFFFFF] * (4 - width) + list(tokens[len(tokens) - width :])
    return b"".join(word.to_bytes(4, "little") for word in words)


def seed(layer_key: bytes, tokens: Sequence[int], width: int) -> Pair:
    encryptor = Cipher(algorithms.AES(layer_key), modes.ECB()).encryptor()
    return first_pair(encryptor.update(block(tokens, width)) + encryptor.finalize())


# 4. Placement


@dataclass(frozen=True)
class Placement:
    layer: Layer
    seed: Pair | None = None


FREE = Placement("free")


@dataclass
class Walk:
    """One response, token after token."""

    keys: Keys
    parameters: Parameters
    tokens: list[int] = field(default_factory=list)
    used: set[Pair] = field(default_factory=set)

    def placement(self) -> Placement:
        """Where the next position is placed, before the free prefix is looked at."""
        p, i = self.parameters, len(self.tokens)
        if i >= p.narrow_width:
            narrow = seed(self.keys.narrow, self.tokens, p.narrow_width)
            r = narrow[1] >> 48
            if r < p.free_units:
                return FREE
            if r < p.free_units + p.narrow_units and narrow not in self.used:
                return Placement("narrow", narrow)
        if i >= p.wide_width:
            wide = seed(self.keys.wide, self.tokens, p.wide_width)
            if wide not in self.used:
                return Placement("wide", wide)
        return FREE

    def drawing(self) -> Placement:
        """Where the next token is drawn: the placement, or free inside the free prefix."""
        inside = len(self.tokens) < self.parameters.free_prefix
        return FREE if inside else self.placement()

    def observe(self, token: int) -> Placement:
        """Append a token, whatever chose it; gives back where it was placed."""
        if not 0 <= token < 2**32 - 1:
            raise ValueError("a token id is less than 2^32 - 1")
        placed = self.placement()
        if placed.seed is not None:
            self.used.add(placed.seed)
        self.tokens.append(token)
        return placed


# 5. The uniform of a token


def rotl(z: int, bits: int) -> int:
    return ((z << bits) | (z >> (64 - bits))) & MASK64


def mix(k1: int, k2: int, x: int) -> int:
    z = x ^ k1
    z = z ^ rotl(z, 49) ^ rotl(z, 24)
    z = (z * P) & MASK64
    z = z ^ (((z >> 35) + 8) ^ k2)
    z = (z * P) & MASK64
    return z ^ (z >> 28)


def token_hash(at: Pair, token: int, account: Pair | None = None) -> int:
    """`account` is given at wide positions under an account only."""
    h = mix(at[0], at[1], (token << 32) & MASK64)
    return h if account is None else mix(account[0], account[1], h)


def uniform(h: int) -> tuple[float, float]:
    """(U, 1 - U), both exact."""
    n = h >> 12
    return (n + 0.5) * 2.0**-52, ((2**52 - 1 - n) + 0.5) * 2.0**-52


# 6. Selection


def exponential(h: int) -> float:
    """E = -ln U."""
    u, one_minus_u = uniform(h)
    return -math.log(u) if u <= 0.5 else -math.log1p(-one_minus_u)


def hash_account(placed: Placement, account: Pair | None) -> Pair | None:
    """The narrow layer carries no account."""
    return account if placed.layer == "wide" else None


def select(
    walk: Walk, choices: Iterable[tuple[int, float]], account: Pair | None = None
) -> int | None:
    """The id that the mark selects at the next position, or None where it is drawn freely."""
    positive = _positive(list(choices))
    placed = walk.drawing()
    if placed.seed is None:
        return None
    mine = hash_account(placed, account)
    ranked = [(exponential(token_hash(placed.seed, t, mine)) / w, t) for t, w in positive]
    return min(ranked)[1]


def _positive(choices: list[tuple[int, float]]) -> list[tuple[int, float]]:
    if not all(0 <= w < math.inf for _, w in choices):
        raise ValueError("a negative, NaN or infinite weight")
    if len({t for t, _ in choices}) != len(choices):
        raise ValueError("candidates have distinct ids")
    positive = [(t, w) for t, w in choices if w > 0]
    if not positive:
        raise ValueError("no candidate of positive weight")
    return positive


def candidates(
    logits: Sequence[float],
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
) -> list[tuple[int, float]]:
    """(id, weight) by ascending id; the index of a logit is its id."""
    kept = _weights(logits, temperature)
    if top_k > 0:
        kept = _top_k(kept, top_k)
    if top_p < 1:
        kept = _top_p(kept, top_p)
    if min_p > 0:
        least = min_p * max(w for _, w in kept)
        kept = [(t, w) for t, w in kept if w >= least]
    return sorted(kept)


def _weights(logits: Sequence[float], temperature: float) -> list[tuple[int, float]]:
    if not temperature >= 0:
        raise ValueError("temperature must be 0 or more")
    largest = max(logits)
    if not all(x < math.inf for x in logits) or largest == -math.inf:
        raise ValueError("logits must be below infinity, not NaN, and one must be finite")
    if temperature == 0:
        return [(list(logits).index(largest), 1.0)]
    weights = [(t, math.exp((x - largest) / temperature)) for t, x in enumerate(logits)]
    return [(t, w) for t, w in weights if w > 0]


def _top_k(kept: list[tuple[int, float]], k: int) -> list[tuple[int, float]]:
    last = sorted((w for _, w in kept), reverse=True)[min(k, len(kept)) - 1]
    return [(t, w) for t, w in kept if w >= last]


def _top_p(kept: list[tuple[int, float]], top_p: float) -> list[tuple[int, float]]:
    ranked = sorted(kept, key=lambda c: (-c[1], c[0]))
    whole = sum(w for _, w in ranked)
    running, nucleus = 0.0, []
    for t, w in ranked:
        nucleus.append((t, w))
        running += w
        if running >= top_p * whole:
            break
    return nucleus


# 7. Scores and detection


def score(h: int) -> float:
    """y = -ln(1 - U)."""
    u, one_minus_u = uniform(h)
    return -math.log(one_minus_u) if u > 0.5 else -math.log1p(-u)


def log10_p(n: int, total: float) -> float:
    """log10 Q(n, total), as the finite sum e^-S * sum of S^k / k! for k < n."""
    with mpmath.workdps(100):
        s = mpmath.mpf(total)
        term = partial = mpmath.mpf(1)
        for k in range(1, n):
            term = term * s / k
            partial += term
        return float(mpmath.log10(partial * mpmath.exp(-s))) if n else 0.0


@dataclass(frozen=True)
class Finding:
    positions: list[int]
    scores: list[float]
    sum: float
    log10_p: float

    @property
    def scored(self) -> int:
        return len(self.scores)


def tally(
    tokens: Sequence[int],
    keys: Keys,
    parameters: Parameters,
    layers: Sequence[Layer],
    account: Pair | None = None,
    start: Start = "unknown",
) -> Finding:
    """The positions of some layers, scored; `account` is the key of the account, if any."""
    walk = Walk(keys, parameters)
    first = parameters.free_prefix if start == "response" else 0
    positions, scores = [], []
    for i, token in enumerate(tokens):
        placed = walk.observe(token)
        if i < first or placed.seed is None or placed.layer not in layers:
            continue
        positions.append(i)
        scores.append(score(token_hash(placed.seed, token, hash_account(placed, account))))
    total = math.fsum(scores)
    return Finding(positions, scores, total, log10_p(len(scores), total))


def detect(
    tokens: Sequence[int],
    keys: Keys,
    parameters: Parameters,
    accounts: Sequence[int] = (),
    start: Start = "unknown",
) -> dict[str, Finding]:
    """Every hypothesis of the page by name; that of account a is called 'account a'."""
    if not parameters.accounts:
        return {"ours": tally(tokens, keys, parameters, ("narrow", "wide"), None, start)}
    found = {
        "ours": tally(tokens, keys, parameters, ("narrow",), None, start),
        "no account": tally(tokens, keys, parameters, ("wide",), None, start),
    }
    for a in accounts:
        mine = keys.account(a)
        found[f"account {a}"] = tally(tokens, keys, parameters, ("wide",), mine, start)
    return found
