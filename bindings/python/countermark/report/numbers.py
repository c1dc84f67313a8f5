"""Numbers in words."""

from __future__ import annotations

import math

_RAISED = str.maketrans(
    "-0123456789",
    "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079",
)


def one_in(log10_p: float) -> str:
    """Say a probability: "one in 10^28", "one in 3,400", "42 in 100", rounded against us."""
    if log10_p > -1:
        return f"{min(99, math.ceil(100 * 10**log10_p))} in 100"
    if log10_p > -6:
        odds = 10**-log10_p
        step = 10 ** (math.floor(-log10_p) - 1)
        return f"one in {int(odds / step) * step:,}"
    return f"one in 10^{math.floor(-log10_p)}"


def power_of_ten(log10: float) -> str:
    """Write a number given by its log10: "0.42", "10^-6", "10^-28.3"."""
    if -3 < log10 < 3:
        return f"{10**log10:.2g}"
    return f"10^{round(log10, 1):g}"


def raised(exponent: int) -> str:
    """Write a power of ten without markup: "1", "0.1", "0.01", then as 10 with a raised number."""
    if -2 <= exponent <= 0:
        return f"{10.0**exponent:g}"
    return "10" + str(exponent).translate(_RAISED)


def bound(log10_p: float) -> str:
    """Say a p-value without markup, rounded against us: "p = 0.042", "p < 10" and so on."""
    if log10_p > -3:
        return f"p = {math.ceil(1000 * 10**log10_p) / 1000:.2g}"
    return f"p < {raised(math.floor(log10_p) + 1)}"


def times(log10: float) -> str:
    """Write a factor given by its log10: "1.3", "45"."""
    factor = 10**log10
    return f"{factor:.1f}" if factor < 10 else f"{factor:,.0f}"


def count(n: int, what: str) -> str:
    """Count something: "1 token", "2,000 tokens"."""
    return f"{n:,} {what}" + ("" if n == 1 else "s")


def listed(items: list[str]) -> str:
    """Join with commas, and an "and" before the last."""
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))
