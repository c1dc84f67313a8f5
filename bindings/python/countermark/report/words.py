"""What a detection says, in plain words."""

from __future__ import annotations

import math

from countermark._core import Detection

_TYPICAL_SCORE = 1.5  # of a marked token; what the detector too takes for typical


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


def headline(detection: Detection) -> str:
    """Return the verdict in a few words."""
    if detection.verdict == "marked":
        return f"marked by {detection.profile}"
    if detection.verdict == "insufficient":
        return "too short to say"
    return "not marked by these keys"


def explain(detection: Detection) -> list[str]:
    """Say what the verdict rests on, one sentence or two for each point."""
    p = power_of_ten(detection.log10_p)
    asked = power_of_ten(detection.log10_threshold)
    scored = _count(detection.scored, "token")
    if detection.verdict == "marked":
        return [
            f"Of texts that owe nothing to this key, at most {one_in(detection.log10_p)} would "
            f"score as high (p = {p}, asked for: {asked}).",
            f"{scored} scored; {_tried(detection)}.",
        ]
    if detection.verdict == "insufficient":
        return [
            f"{scored} scored, too few to decide at a rate of {asked}: {_longer(detection)}.",
            f"p = {p}; {_tried(detection)}.",
        ]
    return [
        f"Of texts that owe nothing to these keys, about {one_in(detection.log10_p)} score as high "
        f"(p = {p}, asked for: {asked}).",
        f"{scored} scored; {_tried(detection)}. Who wrote the text is another question.",
    ]


def needed_tokens(log10_bar: float) -> int:
    """Return about how many scored tokens a typical marked text needs to reach a p-value."""
    rate = _TYPICAL_SCORE - 1 - math.log(_TYPICAL_SCORE)

    def log10_p(n: int) -> float:
        tail = (_TYPICAL_SCORE - 1) * math.sqrt(2 * math.pi * n)
        return -(rate * n + math.log(tail)) / math.log(10)

    n = 1
    while log10_p(n) > log10_bar:
        n += 1
    return n


def _longer(detection: Detection) -> str:
    needed = needed_tokens(detection.log10_threshold - math.log10(detection.tested))
    if detection.scored == 0:
        return f"some {needed} scored tokens would do"
    times = max(1.1, needed / detection.scored)
    factor = f"{times:.1f}" if times < 3 else f"{times:.0f}"
    return f"a text about {factor} times as long would do (some {needed} scored tokens)"


def _tried(detection: Detection) -> str:
    names = [result.profile for result in detection.results]
    if len(names) == 1:
        return f"profile tried: {names[0]}"
    listed = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return f"{len(names)} profiles tried, all paid for: {listed}"


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}" + ("" if n == 1 else "s")
