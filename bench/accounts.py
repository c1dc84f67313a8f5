"""How often an answer's account is found among a million, and what the evidence for it is.

    python bench/accounts.py MODEL_FOLDER [--answers 96] [--more 48] [--plots FOLDER]

Prints the tables of docs/accounts.md. 96 answers from the start token, each under a key of its own
(the secrets 0, 1, 2, ...) and for an account drawn from the 10^6 that are searched, read up to 100,
200 and 400 tokens; the first 48 are read up to other lengths too, drawn at other temperatures, and
edited. Both starts are paid for. An answer is *traced* if an account is accused at a rate of 10^-3
and the right one comes first. Level 1 has the model's own distributions at the answer's
temperature, nothing truncated.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.progress import track
from scipy.stats import binom

import countermark as cm
import figures
from answers import Model, Settings, profile
from countermark.demo import substitute
from countermark.reading import read
from knower import Knower

REGISTERED = 10**6
LOG10_RATE = -3.0
SETTINGS = (Settings(1.0), Settings(0.8, 0.95), Settings(0.5))
LENGTHS = (50, 100, 150, 200, 300, 400, 600, 800)
PUBLISHED_LENGTHS = (100, 200, 400)
TEMPERATURES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2)
SHORT, LONG = 200, 400
SHARES = (0.0, 0.1, 0.2, 0.3)
EXPONENTS = (3, 4, 5, 6, 7, 8)
LEVELS = (0, 1)

# The prototype's (research notes, section 11): "ours", the account at level 0 and 1 (medians of
# -log10 p), and the shares traced at level 0 and 1, by settings and length.
PUBLISHED = {
    "1, 1": ((6.0, 7.4, 16, 0.35, 0.71), (15.5, 20.6, 32, 0.98, 1), (33.5, 47, 61, 1, 1)),
    "0.8, 0.95": ((2.4, 2.5, 5.5, 0, 0), (3.2, 5.4, 7.4, 0.08, 0.43), (10.7, 14.6, 27, 0.92, 1)),
    "0.5, 1": ((0.6, 1.3, 1.8, 0, 0), (1.8, 2.3, 6.1, 0, 0.14), (3.1, 6.0, 10, 0.17, 0.71)),
}

Ids = npt.NDArray[np.integer[Any]]
Numbers = npt.NDArray[np.float64]


@dataclass
class Look:
    """One text at one level; evidence is -log10 p."""

    ours: float
    # Of the true account, had nobody else been searched.
    account: float
    # What that pays for the other tests of the text.
    other_tests: float
    combined: float
    is_traced: bool
    innocents_accused: int

    def is_significant(self, registered: int) -> bool:
        """Say whether the p-value alone would do, with so many accounts, whatever the gap."""
        paid = self.other_tests + np.log10(registered + 1)
        return bool(self.account - paid >= -LOG10_RATE)


class Suspects:
    """All accounts of one key, and the guilty one alone."""

    def __init__(self, ring: cm.KeyRing, guilty: int) -> None:
        self.guilty = guilty
        # What level 1 takes goes into weighing the best, so only those needed are asked for.
        self._all = cm.Tracer(ring, "test", np.arange(REGISTERED), candidates=1)
        self._alone = cm.Tracer(ring, "test", [guilty], candidates=1)

    def look(self, ids: Ids, rows: npt.NDArray[np.float32] | None = None) -> Look:
        """Search one text, given the model's distributions [tokens, vocab] or none."""
        proxy = None if rows is None else lambda _: rows
        trace = self._all.trace(ids, proxy=proxy)
        told = trace.candidates
        if all(candidate.account != self.guilty for candidate in told):
            told = self._alone.trace(ids, proxy=proxy).candidates
        log10_p = next(c.log10_p for c in told if c.account == self.guilty)
        return Look(
            -trace.ours.log10_p,
            -log10_p,
            -np.log10(trace.tests[0].share),
            -trace.log10_p_combined,
            trace.account == self.guilty,
            sum(account != self.guilty for account in trace.accused),
        )


# What was seen of the texts of one kind: [level][answer].
Looks = list[list[Look]]


@dataclass
class Measured:
    """All looks: by settings and length, and by length for each share of the words changed."""

    whole: dict[str, dict[int, Looks]]
    changed: dict[int, list[Looks]]

    def searches(self) -> list[Look]:
        """Return the looks at all texts, at both levels."""
        groups = [looks for by_length in self.whole.values() for looks in by_length.values()]
        groups += [looks for by_share in self.changed.values() for looks in by_share]
        return [look for group in groups for level in group for look in level]


def measure(model: Model, answers: int, more: int) -> Measured:
    """Generate all answers, and look at each of them."""
    rings = [profile(model, key, accounts=True) for key in range(answers)]
    samplers = [cm.Sampler(ring, "test") for ring in rings]
    guilty = [int(np.random.default_rng(key).integers(REGISTERED)) for key in range(answers)]
    plan: list[tuple[Settings, Sequence[int]]] = [(settings, LENGTHS) for settings in SETTINGS]
    known = {str(settings) for settings in SETTINGS}
    plan += [(s, (SHORT, LONG)) for t in TEMPERATURES if str(s := Settings(t)) not in known]
    ids: dict[str, Ids] = {}
    for number, (settings, lengths) in enumerate(track(plan, "answers", transient=True)):
        count = answers if settings in SETTINGS else more
        ids[str(settings)] = model.marked_by_many(
            samplers[:count], model.start(count), max(lengths), settings, number, guilty[:count]
        )
    knower = Knower(model.model, model.forbidden)
    measured = Measured(
        {str(s): {n: [[], []] for n in lengths} for s, lengths in plan},
        {n: [[[], []] for _ in SHARES] for n in (SHORT, LONG)},
    )

    def look(
        suspects: Suspects, text: Ids, settings: Settings, by_length: dict[int, Looks]
    ) -> None:
        rows = np.concatenate(list(knower.proxy(temperature=settings.temperature)(text)))
        for length, looks in by_length.items():
            looks[0].append(suspects.look(text[:length]))
            looks[1].append(suspects.look(text[:length], rows[:length]))

    for i in track(range(answers), "traces", transient=True):
        suspects = Suspects(rings[i], guilty[i])
        for settings, lengths in plan:
            if i >= more:
                lengths = [n for n in PUBLISHED_LENGTHS if settings in SETTINGS]
            by_length = {n: measured.whole[str(settings)][n] for n in lengths}
            if by_length:
                look(suspects, ids[str(settings)][i], settings, by_length)
        for length, by_share in measured.changed.items() if i < more else ():
            texts = edited(model, ids[str(SETTINGS[0])], i, length)
            for text, looks in zip(texts, by_share, strict=True):
                look(suspects, text, SETTINGS[0], {len(text): looks})
    return measured


def edited(model: Model, answers: Ids, i: int, length: int) -> Iterator[Ids]:
    """Yield an answer's beginning, decoded and read again, with each share of its words changed.

    The new words are those of other answers.
    """
    texts = [model.tokenizer.decode(row[:length]) for row in answers]
    others = [word for j, text in enumerate(texts) if j != i for word in text.split()]
    tokenizer = cm.Tokenizer(model.tokenizer)
    for share in SHARES:
        yield read(substitute(texts[i], share, others, i), tokenizer)[-1].ids


def medians(looks: Looks) -> list[Numbers]:
    """Return "ours", the account at each level and both layers together, of every answer."""
    return [
        np.array([look.ours for look in looks[0]]),
        *(np.array([look.account for look in looks[level]]) for level in LEVELS),
        np.array([look.combined for look in looks[0]]),
    ]


def shares_traced(looks: Looks) -> list[float]:
    """Return the share traced at each level."""
    return [float(np.mean([look.is_traced for look in looks[level]])) for level in LEVELS]


def median_range(values: Numbers) -> tuple[float, float]:
    """Return a 95% confidence interval of the median, whatever the distribution."""
    low, high = binom.interval(0.95, len(values), 0.5)
    ordered = np.sort(values)
    return float(ordered[int(low)]), float(ordered[min(int(high), len(values) - 1)])


def print_head(*columns: str) -> None:
    """Print the head of a table."""
    print("\n| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))


def print_power(measured: Measured) -> None:
    """Print medians and shares, and the prototype's beside them."""
    traced = [f"traced, level {level}" for level in LEVELS]
    what = ("ours", "account, level 0", "account, level 1")
    print_head("temperature, top-p", "tokens", *what, "combined", *traced)
    for settings in map(str, SETTINGS):
        for length in PUBLISHED_LENGTHS:
            looks = measured.whole[settings][length]
            cells = [f"{np.median(values):.1f}" for values in medians(looks)]
            cells += [f"{share:.0%}" for share in shares_traced(looks)]
            print(f"| {settings} | {length} | " + " | ".join(cells) + " |")
    print("\nOver the prototype's, with a 95% confidence interval of the median here:")
    print_head("temperature, top-p", "tokens", *what, *traced)
    for settings in map(str, SETTINGS):
        for length, published in zip(PUBLISHED_LENGTHS, PUBLISHED[settings], strict=True):
            looks = measured.whole[settings][length]
            cells = []
            for values, theirs in zip(
                medians(looks)[: len(what)], published[: len(what)], strict=True
            ):
                ends = " to ".join(f"{end / theirs:.2f}" for end in median_range(values))
                cells.append(f"{np.median(values) / theirs:.2f} ({ends}) of {theirs:g}")
            for share, theirs in zip(shares_traced(looks), published[len(what) :], strict=True):
                cells.append((f"{share / theirs:.2f}" if theirs else "-") + f" of {theirs:.0%}")
            print(f"| {settings} | {length} | " + " | ".join(cells) + " |")


def print_curves(measured: Measured) -> None:
    """Print the shares traced by length, temperature, accounts, and words changed."""

    def cell(looks: Looks) -> str:
        return ", ".join(f"{share:.0%}" for share in shares_traced(looks))

    print("\nTraced at level 0, at level 1:")
    print_head("temperature, top-p", *(f"{length} tokens" for length in LENGTHS))
    for settings in map(str, SETTINGS):
        cells = [cell(measured.whole[settings][length]) for length in LENGTHS]
        print(f"| {settings} | " + " | ".join(cells) + " |")
    print_head("tokens", *(f"temperature {t:g}" for t in TEMPERATURES))
    for length in (SHORT, LONG):
        cells = [cell(measured.whole[str(Settings(t))][length]) for t in TEMPERATURES]
        print(f"| {length} | " + " | ".join(cells) + " |")
    print_head("tokens", *(f"{share:.0%} of words changed" for share in SHARES))
    for length in (SHORT, LONG):
        print(f"| {length} | " + " | ".join(map(cell, measured.changed[length])) + " |")
    print(
        f"\nBy the corrected p-value alone, {SHORT} tokens; at 10^6 also what was traced, which "
        "takes the gap to the best of 10^6 innocent accounts, and parts of the text:"
    )
    print_head("temperature, top-p", *(f"10^{x} accounts" for x in EXPONENTS), "traced of 10^6")
    for settings in map(str, SETTINGS):
        looks = measured.whole[settings][SHORT]
        cells = [
            ", ".join(f"{share_significant(looks[level], x):.0%}" for level in LEVELS)
            for x in EXPONENTS
        ]
        print(f"| {settings} | " + " | ".join([*cells, cell(looks)]) + " |")


def share_significant(looks: Sequence[Look], exponent: int) -> float:
    """Return the share of texts whose p-value would do with 10^exponent accounts."""
    return float(np.mean([look.is_significant(10**exponent) for look in looks]))


def plot(measured: Measured, folder: Path) -> None:
    """Draw the shares traced; level 1 is dashed."""
    figure, axes = figures.subplots(2, 2, (10, 7), sharey=True)
    by_length, by_temperature, by_accounts, by_change = axes.ravel()
    colours: dict[str, str] = defaultdict(lambda: f"C{len(colours)}")

    def draw(axis: Any, x: Sequence[float], y: Sequence[float], name: str, level: int) -> None:
        style = {"color": colours[name], "linestyle": ("-", "--")[level], "marker": "o"}
        axis.plot(x, y, markersize=3, label=f"{name}: level {level}", **style)

    for level in LEVELS:
        for settings in map(str, SETTINGS):
            shares = [shares_traced(measured.whole[settings][length])[level] for length in LENGTHS]
            draw(by_length, LENGTHS, shares, settings, level)
            looks = measured.whole[settings][SHORT][level]
            counts = [10.0**x for x in EXPONENTS]
            shares = [share_significant(looks, x) for x in EXPONENTS]
            draw(by_accounts, counts, shares, settings, level)
    for level in LEVELS:
        for length in (SHORT, LONG):
            texts = [measured.whole[str(Settings(t))][length] for t in TEMPERATURES]
            shares = [shares_traced(looks)[level] for looks in texts]
            draw(by_temperature, TEMPERATURES, shares, f"{length} tokens", level)
            shares = [shares_traced(looks)[level] for looks in measured.changed[length]]
            draw(by_change, SHARES, shares, f"{length} tokens", level)
    by_length.set(title="length, of 10⁶ accounts", xlabel="tokens")
    by_temperature.set(title="temperature, top-p 1", xlabel="temperature")
    by_accounts.set(
        title=f"accounts, {SHORT} tokens, by the p-value alone", xlabel="accounts", xscale="log"
    )
    by_change.set(title="edits, temperature 1", xlabel="share of words changed")
    for axis in axes.ravel():
        axis.set(ylim=(-0.03, 1.03))
        axis.grid(visible=True, alpha=0.3)
        axis.legend(fontsize=7, frameon=False)
    for axis in axes[:, 0]:
        axis.set(ylabel="share traced")
    figures.save(figure, folder / "accounts.svg")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--answers", type=int, default=96)
    parser.add_argument("--more", type=int, default=48, help="of them, for the curves")
    parser.add_argument("--plots", type=Path)
    arguments = parser.parse_args()
    measured = measure(Model(arguments.model), arguments.answers, arguments.more)
    print_power(measured)
    print_curves(measured)
    searches = measured.searches()
    wrong = sum(look.innocents_accused > 0 for look in searches)
    allowed = len(searches) * 10**LOG10_RATE
    print(f"\nSearches that accuse an innocent: {wrong} of {len(searches)}; {allowed:.1f} may.")
    if arguments.plots:
        plot(measured, arguments.plots)


if __name__ == "__main__":
    main()
