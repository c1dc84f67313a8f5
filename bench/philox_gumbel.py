"""vLLM's published Gumbel detector, transcribed into plain Python from its documented formula.

A yardstick for speed: what an investigator would write who has the formula and no library. Source:
the vLLM project, documentation of its watermarking feature, releases 0.30 to 0.32.
"""

from __future__ import annotations

import math
import struct

MASK = 0xFFFFFFFF
Block = tuple[int, int, int, int]


def philox(counter: Block, k0: int, k1: int) -> Block:
    """Philox4x32-10."""
    c0, c1, c2, c3 = counter
    for _ in range(10):
        low, high = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (
            (high >> 32) ^ c1 ^ k0,
            high & MASK,
            (low >> 32) ^ c3 ^ k1,
            low & MASK,
        )
        k0, k1 = (k0 + 0x9E3779B9) & MASK, (k1 + 0xBB67AE85) & MASK
    return c0, c1, c2, c3


def word(context: list[int], token: int, key: int) -> int:
    """The 32 bits of a token after a context."""
    k0, k1 = key & MASK, key >> 32
    state: Block = (0x574D4358, len(context), 0, 0)
    for offset in range(0, len(context), 4):
        block = [
            context[offset + i] & MASK if offset + i < len(context) else MASK - i for i in range(4)
        ]
        mixed = (state[0] ^ block[0], state[1] ^ block[1], state[2] ^ block[2], state[3] ^ block[3])
        state = philox(mixed, k0 ^ offset, k1)
    counter = (token >> 2, state[0], state[1], state[2])
    return philox(counter, k0 ^ state[3], k1 ^ 0x574D544B)[token & 3]


def detect(tokens: list[int], key: int, width: int = 4) -> float:
    """The p-value of a text: each context scored once."""
    padded = [-1] * width + tokens
    seen = set()
    score, n = 0.0, 0
    for i, token in enumerate(tokens):
        context = padded[i : i + width]
        if tuple(context) in seen:
            continue
        seen.add(tuple(context))
        exact = ((word(context, token, key) >> 8) + 1) / (2**24 + 1)
        score -= math.log1p(-struct.unpack("f", struct.pack("f", exact))[0])
        n += 1
    # Q(n, score), its terms relative to the largest.
    logs = [i * math.log(score) - math.lgamma(i + 1) for i in range(n)]
    top = max(logs, default=0.0)
    return min(1.0, math.exp(top - score) * math.fsum(math.exp(x - top) for x in logs))
