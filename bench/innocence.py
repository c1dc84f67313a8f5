"""Realised against promised rates of accusing innocents, over billions of texts and accounts.

    python bench/innocence.py MODEL_FOLDER TEXT_FOLDER TOKENIZER [--batches 32] [--plots FOLDER]

Prints the tables of docs/accounts.md. Each batch has a key of its own with 10^6 registered
accounts, and 25 texts of 200 tokens of every kind: human (TEXT_FOLDER, TOKENIZER as in truth.py),
answers marked for whomever, spliced, repetitive and templated; some batches have a text of 10^5
tokens, for 10^5 accounts. Accounts that a text was marked for are not innocent and left out.

Accounts are independent of each other but texts may share passages, so that what chance does is
taken from the spread among accounts: its 99.9% range is that of a binomial count with as many
independent pairs as would spread as much.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.progress import track
from scipy.stats import binom, gamma

import countermark as cm
import figures
from answers import Ids, Model, Settings
from templates import templated
from truth import LENGTH, Documents, read

REGISTERED = 10**6
FEW = 10**5  # accounts for long texts
EACH = 25  # texts of a kind in one batch
AUTHORS = EACH  # the first accounts
LONG = 100_000
RATES = 10.0 ** -np.arange(1, 10)
E_VALUES = (10, 100, 1000)
TILTS = np.arange(1, 13) / 16
CUT = 1e-6

REGISTRIES, REGISTRY = 10, 1000
ACCUSATION_RATES = (0.1, 0.01, 0.001)
GAPS = (100.0, 1.0)
OF_ALL = 4  # one text of so many is searched for all accounts

Numbers = npt.NDArray[np.float64]


@dataclass
class Text:
    """A text and whom it was marked for."""

    kind: str
    ids: Ids
    guilty: Collection[int] = ()


@dataclass
class Tally:
    """What became of the innocent accounts with the texts of one kind."""

    texts: int = 0
    pairs: int = 0
    # At each of RATES: how many p-values were that small, and the variance of that number.
    counts: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(RATES), np.int64))
    variances: Numbers = field(default_factory=lambda: np.zeros(len(RATES)))
    e_sum: float = 0.0
    # Of e-values whose p-value is above CUT, and what the null says of that.
    e_sum_cut: float = 0.0
    e_expected_cut: float = 0.0
    e_counts: npt.NDArray[np.int64] = field(
        default_factory=lambda: np.zeros(len(E_VALUES), np.int64)
    )
    # Texts and registries, and those with an innocent accused: by gap and rate.
    trials: int = 0
    accused: npt.NDArray[np.int64] = field(
        default_factory=lambda: np.zeros((len(GAPS), len(ACCUSATION_RATES)), np.int64)
    )
    # The same for all accounts, at the default gap.
    trials_of_all: int = 0
    accused_of_all: npt.NDArray[np.int64] = field(
        default_factory=lambda: np.zeros(len(ACCUSATION_RATES), np.int64)
    )

    def __add__(self, other: Tally) -> Tally:
        return Tally(**{name: value + vars(other)[name] for name, value in vars(self).items()})


def e_values(sums: Numbers, n: int) -> Numbers:
    """Return the e-values of sums of n scores."""
    step = np.exp((sums - n) / 16)
    total = np.zeros_like(sums)
    # About the mean, so that nothing overflows that is not negligible.
    for tilt in TILTS[::-1]:
        total += np.exp(n * (np.log1p(-tilt) + tilt)) / len(TILTS)
        total *= step
    return total


class Batch:
    """One key, its accounts, and texts."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.draw = np.random.default_rng(number)
        self.ring = ring_of(number)
        self.hits: dict[str, npt.NDArray[np.uint8]] = {}
        everybody = np.arange(REGISTERED)
        self.all = [self._tracer(everybody, rate) for rate in ACCUSATION_RATES]
        self.few = self._tracer(everybody[:FEW], threads=0)
        authors = everybody[:AUTHORS]
        others = [everybody[REGISTRY * (i + 1) :][: REGISTRY - AUTHORS] for i in range(REGISTRIES)]
        self.registries = [
            [
                [
                    self._tracer(np.append(authors, some), rate, least_gap=gap, threads=1)
                    for rate in ACCUSATION_RATES
                ]
                for gap in GAPS
            ]
            for some in others
        ]

    def _tracer(self, accounts: Any, rate: float = 1e-3, **options: Any) -> cm.Tracer:
        return cm.Tracer(self.ring, "test", accounts, false_accusation_rate=rate, **options)

    def score(self, text: Text, tally: Tally) -> None:
        """Tally the p-value and the e-value of every innocent account."""
        tracer = self.few if len(text.ids) > LENGTH else self.all[0]
        n = tracer.scored(text.ids)
        sums = tracer.scores(text.ids)
        hits = self.hits.setdefault(text.kind, np.zeros((len(RATES), len(sums)), np.uint8))
        tally.texts += 1
        if n == 0:
            return
        guilty = list(text.guilty)
        sums[guilty] = 0.0
        tally.pairs += len(sums) - len(guilty)
        thresholds = gamma.isf(RATES, n)
        rows = np.flatnonzero(sums >= thresholds[0])
        high = sums[rows]
        for hit, threshold in zip(hits, thresholds, strict=True):
            hit[rows[high >= threshold]] += 1
        # A sum of 0 has an e-value too, which is taken off.
        nothing = e_values(np.zeros(1), n)[0] * len(guilty)
        cut = gamma.isf(CUT, n)
        above = e_values(high[high >= cut], n).sum()
        total = sum(e_values(part, n).sum() for part in np.array_split(sums, 16)) - nothing
        tally.e_sum += total
        tally.e_sum_cut += total - above
        below = gamma.cdf(cut * (1 - TILTS), n).mean()
        tally.e_expected_cut += below * (len(sums) - len(guilty))
        large = e_values(high, n)  # an e-value of 10 has a p-value of 1/10 at most
        tally.e_counts += [int(np.sum(large >= e)) for e in E_VALUES]

    def accuse(self, text: Text, tally: Tally) -> None:
        """Tally accusations of innocents, in small registries and, of some texts, in the large."""
        for registry in self.registries:
            tally.trials += 1
            for gap, tracers in enumerate(registry):
                tally.accused[gap] += [accuses_innocent(tracer, text) for tracer in tracers]
        if tally.texts % OF_ALL == 1 and len(text.ids) == LENGTH:
            tally.trials_of_all += 1
            tally.accused_of_all += [accuses_innocent(tracer, text) for tracer in self.all]

    def close(self, tallies: dict[str, Tally]) -> Numbers:
        """Add the counts and their variances; return the variances of all kinds together."""
        together = np.zeros((len(RATES), REGISTERED), np.uint16)
        for kind, hits in self.hits.items():
            tallies[kind].counts += hits.sum(1, dtype=np.int64)
            tallies[kind].variances += variances_of(hits)
            together[:, : hits.shape[1]] += hits
        return variances_of(together)


def variances_of(hits: npt.NDArray[Any]) -> Numbers:
    """Return the variances of the sums of rows, from the spread among accounts."""
    squares = np.array([np.square(row, dtype=np.int64).sum() for row in hits])
    totals = hits.sum(1, dtype=np.int64)
    return np.asarray(squares - totals**2 / hits.shape[1], np.float64)


def accuses_innocent(tracer: cm.Tracer, text: Text) -> bool:
    """Say whether anybody is accused whom the text was not marked for."""
    return not set(tracer.trace(text.ids).accused) <= set(text.guilty)


def ring_of(key: int, accounts: bool = True) -> cm.KeyRing:
    """Return a ring of the key that consists of the number ``key``, for any token id."""
    ring = cm.KeyRing.generate()
    ring.import_secret("test", key.to_bytes(32, "little"), accounts=accounts)
    return ring


def human_texts(batch: Batch, human: dict[str, Documents]) -> Iterator[Text]:
    """Yield texts of people, and what is repeated or filled in."""
    for kind, documents in human.items():
        for row in batch.draw.choice(len(documents), EACH, replace=False):
            yield Text(f"human: {kind}", documents[row])
    every = np.concatenate(list(human.values()))
    for row in batch.draw.choice(len(every), EACH, replace=False):
        begin = batch.draw.integers(LENGTH - 16)
        phrase = every[row, begin : begin + batch.draw.integers(4, 17)]
        yield Text("one phrase repeated", np.resize(phrase, LENGTH))
    if batch.number % 2 == 0:
        rows = batch.draw.choice(len(every), LONG // LENGTH, replace=False)
        yield Text("long: human", every[rows].ravel())


def templated_texts(batch: Batch, folder: Path, tokenizer: cm.Tokenizer) -> Iterator[Text]:
    """Yield templated texts."""
    for texts in templated(folder / "code", EACH // 5, batch.number).values():
        for text in texts:
            yield Text("templated", tokenizer.encode(text)[:LENGTH])


def answers(batch: Batch, model: Model) -> Iterator[Text]:
    """Yield answers of a model, marked in every way, and what is put together from them."""
    plain, foreign = (ring_of(10**6 * (i + 1) + batch.number, i > 0) for i in range(2))
    ways: list[tuple[str, cm.KeyRing, Sequence[int | None]]] = [
        ("for another account", batch.ring, range(AUTHORS)),
        ("for an unregistered account", batch.ring, range(REGISTERED, REGISTERED + EACH)),
        ("for no account", batch.ring, [None] * EACH),
        ("under another key, with accounts", foreign, range(EACH)),
        ("under another key, without accounts", plain, [None] * EACH),
    ]
    samplers = [cm.Sampler(ring, "test") for _, ring, _ in ways for _ in range(EACH)]
    accounts = [account for *_, some in ways for account in some]

    def generate(samplers: Sequence[cm.Sampler], accounts: Sequence[int | None], more: int) -> Ids:
        return model.marked_by_many(
            samplers,
            model.start(len(samplers)),
            LENGTH,
            Settings(1.0),
            2 * batch.number + more,
            accounts,
        )

    ids = generate(samplers, accounts, 0)
    for row, account in enumerate(accounts):
        guilty = [] if account is None or row >= EACH else [account]
        yield Text(f"marked {ways[row // EACH][0]}", ids[row], guilty)
    # Every quarter of every answer is in one spliced text.
    quarters = ids[:AUTHORS].reshape(AUTHORS, 4, LENGTH // 4)
    for i in range(EACH):
        authors = (i + np.arange(4) * 6) % AUTHORS
        yield Text(
            "spliced from four accounts", quarters[authors, range(4)].ravel(), authors.tolist()
        )
    if batch.number % 4 == 0:
        count = LONG // LENGTH
        many = [author % AUTHORS for author in range(count)]
        ids = generate([samplers[0]] * count, many, 1)
        yield Text("long: answers", ids.ravel(), range(AUTHORS))


def chance(tally: Tally, which: int) -> tuple[float, float]:
    """Return the range of realised over nominal that chance keeps to in 99.9% of cases."""
    count, rate = tally.counts[which], RATES[which]
    spread = max(1.0, tally.variances[which] / (count * (1 - rate))) if count else 1.0
    pairs = tally.pairs / spread
    low, high = binom.interval(0.999, int(pairs), rate)
    return low / pairs / rate, high / pairs / rate


def print_head(*columns: str) -> None:
    """Print the head of a table."""
    print("\n| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))


def print_tables(tallies: dict[str, Tally], everything: Tally) -> None:
    """Print realised over nominal rates, accusations, and e-values."""
    rows = tallies | {"all": everything}
    print_head("text", "texts", "pairs", *(f"at {rate:g}" for rate in RATES))
    for kind, tally in rows.items():
        cells = []
        for which, rate in enumerate(RATES):
            low, high = chance(tally, which)
            ratio = tally.counts[which] / tally.pairs / rate
            is_known = tally.pairs * rate >= 1
            cells.append(f"{ratio:.3f} ({low:.3f} to {high:.3f})" if is_known else "")
        print(f"| {kind} | {tally.texts} | {tally.pairs:.3g} | " + " | ".join(cells) + " |")

    print(
        f"\nTexts for which an innocent account is accused, of {REGISTRY} searched, over those "
        "that the rate allows:"
    )
    columns = [f"gap {gap:g}, at {rate:g}" for gap in GAPS for rate in ACCUSATION_RATES]
    print_head("text", "trials", *columns)
    for kind, tally in rows.items():
        cells = [
            f"{count} / {tally.trials * rate:.3g}"
            for counts in tally.accused
            for count, rate in zip(counts, ACCUSATION_RATES, strict=True)
        ]
        print(f"| {kind} | {tally.trials} | " + " | ".join(cells) + " |")
    cells = [
        f"{count} / {everything.trials_of_all * rate:.1f} at {rate:g}"
        for count, rate in zip(everything.accused_of_all, ACCUSATION_RATES, strict=True)
    ]
    print(f"\nOf {REGISTERED} searched, {everything.trials_of_all} texts: " + ", ".join(cells))

    print_head(
        "text",
        "mean e-value",
        f"mean where p > {CUT:g}, over what it must be",
        *(f"share of {e} or more, of 1/{e}" for e in E_VALUES),
    )
    for kind, tally in rows.items():
        if kind.startswith("long"):
            continue  # where the mean comes from is beyond all sums that there are
        cells = [
            f"{tally.e_sum / tally.pairs:.4f}",
            f"{tally.e_sum_cut / tally.e_expected_cut:.4f}",
        ]
        cells += [
            f"{n / tally.pairs * e:.4f}" for n, e in zip(tally.e_counts, E_VALUES, strict=True)
        ]
        print(f"| {kind} | " + " | ".join(cells) + " |")


def plot(tallies: dict[str, Tally], everything: Tally, folder: Path) -> None:
    """Draw realised over nominal p-values, and realised over allowed accusations."""
    figure, (by_pair, by_text) = figures.subplots(1, 2, (11, 4.2))
    for i, (kind, tally) in enumerate(tallies.items()):
        style = {"color": f"C{i % 10}", "linestyle": "-" if i < 10 else "--", "linewidth": 1}
        ratios = tally.counts / tally.pairs / RATES
        by_pair.plot(RATES, ratios, marker="o", markersize=3, label=kind, **style)
    low, high = zip(*(chance(everything, which) for which in range(len(RATES))), strict=True)
    by_pair.fill_between(RATES, low, high, color="black", alpha=0.1, label="chance, all, 99.9%")
    by_pair.axhline(1, color="black", linewidth=0.8)
    by_pair.set(xscale="log", xlabel="nominal rate, one account", ylim=(0.5, 1.5))
    by_pair.set(ylabel="realised / nominal")
    by_pair.invert_xaxis()
    for gap, counts in zip(GAPS, everything.accused, strict=True):
        realised = counts / everything.trials
        label = f"{REGISTRY:,} accounts, gap {gap:g}"
        by_text.plot(ACCUSATION_RATES, realised, marker="o", markersize=3, label=label)
    by_text.plot(ACCUSATION_RATES, ACCUSATION_RATES, color="black", linewidth=0.8, label="allowed")
    by_text.set(xscale="log", yscale="log", xlabel="false accusation rate")
    by_text.set(ylabel="texts with an innocent accused")
    by_pair.legend(fontsize=6, frameon=False, ncols=2)
    by_text.legend(fontsize=8, frameon=False)
    figures.save(figure, folder / "innocence.svg")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("texts", type=Path)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("--batches", type=int, default=32)
    parser.add_argument("--plots", type=Path)
    arguments = parser.parse_args()
    model = Model(arguments.model)
    tokenizer = cm.Tokenizer.load(arguments.tokenizer)
    kinds = read(arguments.texts, tokenizer, 1500)
    languages = [kind for kind in kinds if kind.startswith("xquad")]
    human = {kind: rows for kind, rows in kinds.items() if kind not in languages}
    human["xquad"] = np.concatenate([kinds[kind] for kind in languages])

    tallies: dict[str, Tally] = {}
    variances = np.zeros(len(RATES))
    for number in track(range(arguments.batches), "batches", transient=True):
        batch = Batch(number)
        texts = [
            *human_texts(batch, human),
            *templated_texts(batch, arguments.texts, tokenizer),
            *answers(batch, model),
        ]
        for text in texts:
            tally = tallies.setdefault(text.kind, Tally())
            batch.score(text, tally)
            batch.accuse(text, tally)
        variances += batch.close(tallies)
    everything = replace(sum(tallies.values(), Tally()), variances=variances)
    print_tables(tallies, everything)
    if arguments.plots:
        plot(tallies, everything, arguments.plots)


if __name__ == "__main__":
    main()
