"""What a detection says, in plain words."""

from __future__ import annotations

import math
from collections.abc import Mapping

from countermark._core import (
    DecoyRank,
    Detection,
    ProfileResult,
    Region,
    Test,
    Trace,
    TracedRegion,
)
from countermark.report.numbers import count, listed, one_in, power_of_ten, times

_REGIONS_NAMED = 3

STATISTICS = {
    "sum": "all scores together",
    "goodness_of_fit": "some scores too high, as in an edited text",
    "scan": "parts of the text",
    "likelihood": "all scores, weighed by a language model",
    "replay": "the draws of the model itself, made again",
}

_CHANGES = {
    "invisible": ("invisible character", "removed"),
    "homoglyph": ("look-alike letter", "replaced"),
    "compatibility": ("compatibility character", "replaced"),
}


def headline(detection: Detection) -> str:
    """Return the verdict in a few words."""
    if detection.verdict == "marked":
        return f"marked by {detection.profile}"
    if detection.verdict == "insufficient":
        return "too short to say"
    return "not marked by these keys"


def explain(detection: Detection, changes: Mapping[str, int] | None = None) -> list[str]:
    """Say what the verdict rests on, one sentence or two for each point.

    ``changes`` is what was changed in the text's characters before it was tested.
    """
    p = power_of_ten(detection.log10_p)
    asked = power_of_ten(detection.log10_threshold)
    scored = count(detection.scored, "token")
    if detection.verdict == "marked":
        lines = [
            f"Of texts that owe nothing to this key, at most {one_in(detection.log10_p)} would "
            f"score as high (p = {p}, asked for: {asked}).",
            _why(detection),
            _where(detection),
            f"{scored} scored; {_tried(detection)}.",
        ]
    elif detection.verdict == "insufficient":
        lines = [
            f"{scored} scored, too few to decide at a rate of {asked}: {longer(detection)}.",
            f"p = {p}; {_tried(detection)}.",
        ]
    else:
        lines = [
            f"Of texts that owe nothing to these keys, about {one_in(detection.log10_p)} score as "
            f"high (p = {p}, asked for: {asked}).",
            f"{scored} scored; {_tried(detection)}. Who wrote the text is another question.",
        ]
    form = explain_form(changes or {}, detection.variant > 0)
    return [line for line in [*lines, form, *_known(detection)] if line]


def explain_rank(rank: DecoyRank) -> str:
    """Say how a key ranks among decoy keys."""
    keys = len(rank.decoys) + 1
    return (
        f"Among {keys:,} keys, {keys - 1:,} of which marked nothing, the key of {rank.profile} "
        f"ranks {rank.rank:,} (p = {power_of_ten(rank.log10_rank_p)}, whatever the text is like)."
    )


def warn(detection: Detection, rank: DecoyRank) -> list[str]:
    """Say what decoy keys speak against: nothing, or that p-values are not to be trusted."""
    if not rank.agrees:
        least = power_of_ten(float(rank.decoys.min()))
        return [
            "Do not rely on the p-values of this text, only on the rank among decoy keys.",
            f"A key that marked nothing scores p = {least} here, too little for chance among "
            f"{len(rank.decoys):,} of them: the text breaks what the p-values assume.",
        ]
    if detection.verdict == "marked" and rank.rank > 1:
        others = rank.rank - 1
        return [
            "Do not rely on this verdict: decoy keys do not bear it out.",
            f"Of {count(len(rank.decoys), 'key')} that marked nothing, {others:,} "
            f"{'scores' if others == 1 else 'score'} as high on this text.",
        ]
    return []


def decisive(result: ProfileResult) -> Test:
    """Return the test with the smallest p-value after its share is paid for."""
    tests = [test for test in result.tests if not math.isnan(test.log10_p)]
    return min(tests, key=lambda test: test.log10_p - math.log10(test.share))


def corrected(result: ProfileResult, test: Test) -> float:
    """Return log10 p of a test after all that its profile's p-value is corrected for.

    That is its share, the calibration, the profiles and the variants. NaN if it was not worked out.
    """
    if math.isnan(test.log10_p):
        return math.nan
    paid = test.log10_p - math.log10(test.share) + result.log10_inflation
    return min(0.0, paid + result.log10_p_adjusted - result.log10_p)


def _why(detection: Detection) -> str:
    """Say which test was decisive, if it was not the main one."""
    best = detection.best
    found = decisive(best).statistic
    if found == "replay":
        return "The draws that this key makes are those of the text."
    sums = [test for test in best.tests if test.statistic == "sum"]
    enough = any(corrected(best, test) <= detection.log10_threshold for test in sums)
    if found == "likelihood":
        return "Each token is weighed by how likely a language model holds it." + (
            "" if enough else " Without that it would not show."
        )
    if found == "scan":
        return (
            "It shows most in parts of the text."
            if enough
            else "Parts of the text are marked; as a whole it would not show."
        )
    if found == "goodness_of_fit":
        return (
            "It shows most in the highest scores."
            if enough
            else "Some scores are too high for chance although their sum is not: the text was "
            "probably edited."
        )
    return ""


def _where(detection: Detection) -> str:
    """Say how many parts are marked, and where."""
    regions = detection.regions
    if not regions:
        return ""
    several = len({result.profile for result in detection.results}) > 1
    named = [_part(region, several) for region in regions[:_REGIONS_NAMED]]
    if len(regions) > _REGIONS_NAMED:
        named.append(f"{len(regions) - _REGIONS_NAMED:,} more")
    are = "is" if len(regions) == 1 else "are"
    return f"{count(len(regions), 'part')} of the text {are} marked: {listed(named)}."


def _part(region: Region, says_profile: bool) -> str:
    by = f" by {region.profile}" if says_profile else ""
    return f"{place(region)}{by} (p = {power_of_ten(region.log10_p)})"


def place(region: Region | TracedRegion) -> str:
    """Say where a part is: in characters, where they are known, or in tokens."""
    begin, end = region.characters or (region.begin, region.end)
    return f"{'characters' if region.characters else 'tokens'} {begin + 1:,} to {end:,}"


def explain_form(changes: Mapping[str, int], is_normalised: bool) -> str:
    """Say that the text was normalised before it was tested, and what changed."""
    if not is_normalised and not changes:
        return ""
    made = [
        f"{count(changes[kind], what)} {done}"
        for kind, (what, done) in _CHANGES.items()
        if changes.get(kind)
    ]
    return "All this is about the text in its normalised form" + (
        f": {listed(made)}." if made else "."
    )


def _known(detection: Detection) -> list[str]:
    """Say what else was known: a calibration, and the entropy."""
    lines = []
    if detection.best.log10_inflation > 0:
        lines.append(
            f"p-values are enlarged {times(detection.best.log10_inflation)} times: so much too "
            "small they were on the unmarked text of the calibration."
        )
    if detection.entropy_bits is not None:
        lines.append(
            f"The tokens were drawn from about {detection.entropy_bits:,.0f} bits of entropy."
        )
    return lines + _engine(detection.best)


def _engine(result: ProfileResult) -> list[str]:
    """Lay the engine's own number beside ours."""
    engine = result.engine
    if engine is None:
        return []
    value = (
        f"score {engine.score:.4g}"
        if engine.log10_p is None
        else f"p = {power_of_ten(engine.log10_p)}"
    )
    return [
        f"The engine's own detector would say {value} of {count(engine.scored, 'token')}: "
        f"{engine.remark}."
    ]


def longer(detection: Detection | Trace) -> str:
    """Say how much text would do where there is too little."""
    more = detection.tokens_to_decide
    if more is None:
        return "no length would do, so little there was to choose"
    about = math.ceil(more / (step := 10 ** max(0, len(str(more)) - 2))) * step
    tokens = len(detection.token_scores)
    factor = max(1.1, (tokens + more) / tokens)
    as_long = f"{factor:.1f}" if factor < 3 else f"{factor:.0f}"
    return (
        f"about {count(about, 'token')} more would do, a text about {as_long} times as long as this"
    )


def _tried(detection: Detection) -> str:
    forms = ""
    if detection.variants > 1:
        forms = f"; {detection.variants} forms of the text tried, all paid for"
    names = [result.profile for result in detection.results]
    if len(names) == 1:
        return f"profile tried: {names[0]}{forms}"
    some = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return f"{len(names)} profiles tried, all paid for: {some}{forms}"
