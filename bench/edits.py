"""What each level of detection still finds of marked answers after they were edited.

    python bench/edits.py MODEL_FOLDER --human TEXT_FOLDER/novels-en [--answers 60] [--tokens 400]
        [--plots FOLDER]

Prints the tables of docs/detection.md: for each way of sampling and each error rate, the share
of edited texts found, in per cent, by every test alone and by what a user calls. Answers are
decoded, edited and tokenised again, each under a key of its own.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.progress import track
from scipy.stats import binomtest

import countermark as cm
import edited
import figures
from answers import Model, Settings, profile
from countermark.demo import delete, substitute
from countermark.reading import detect_readings, read
from knower import Knower

SETTINGS = (Settings(1.0), Settings(0.8, 0.95), Settings(0.5))
RATES = (-3, -6)
SHARES = (0.1, 0.2, 0.3, 0.5)
DILUTIONS = (0.5, 0.25, 0.1)
LETTERS = 0.05
BRANCHES = (
    "sum",
    "goodness of fit",
    "scan",
    "level 0",
    "likelihood",
    "level 1",
    "level 2",
)

# log10 p by edit, of every answer [answers, branches]; NaN where it is not worked out.
Found = dict[str, npt.NDArray[np.float64]]


# What is made of a text, given words of other answers and a seed.
Change = Callable[[str, list[str], int], str]


@dataclass(frozen=True)
class Edit:
    """What is done to a text, and how it is read afterwards."""

    name: str
    change: Change
    normalised: bool = True
    by_model: bool = True


def edits(human: Sequence[str], tokenizer: cm.Tokenizer) -> Iterator[Edit]:
    """Yield every edit; ``human`` is what answers are diluted with, in words."""
    yield Edit("none", _of_text(str))
    for share in SHARES:
        yield Edit(f"{share:.0%} of words deleted", _of_share(delete, share))
    for share in SHARES:
        yield Edit(f"{share:.0%} of words substituted", _of_words(substitute, share))
    for share in SHARES:
        yield Edit(f"{share:.0%} of words inserted", _of_words(edited.insert, share))

    def dilute(text: str, share: float, seed: int) -> str:
        return edited.dilute(text, share, human, seed)

    for share in DILUTIONS:
        yield Edit(
            f"diluted to {share:.0%} of the words", _of_share(dilute, share), by_model=share >= 0.5
        )
    for name, hide in (
        ("homoglyphs", edited.homoglyphs),
        ("zero-width characters", edited.zero_width),
    ):
        yield Edit(name, _of_share(hide, LETTERS))
        yield Edit(f"{name}, not normalised", _of_share(hide, LETTERS), normalised=False)
    yield Edit("lower case", _of_text(str.lower))
    yield Edit("two spaces after full stops", _of_text(edited.double_spaces))
    yield Edit("wrapped at 72 columns", _of_text(lambda text: edited.rewrap(text, 72)))
    yield Edit("sentences shuffled", lambda t, _, seed: edited.shuffle_sentences(t, seed))
    yield Edit("the first half", _of_text(edited.first_half))

    def middle(text: str) -> str:
        return edited.middle(text, tokenizer.encode_with_spans(text)[1], 100)

    yield Edit("the middle 100 tokens", _of_text(middle))


def _of_text(change: Callable[[str], str]) -> Change:
    return lambda text, _, __: change(text)


def _of_share(change: Callable[[str, float, int], str], share: float) -> Change:
    return lambda text, _, seed: change(text, share, seed)


def _of_words(change: Callable[[str, float, list[str], int], str], share: float) -> Change:
    return lambda text, words, seed: change(text, share, words, seed)


def human_words(folder: Path) -> list[str]:
    """Return the words of all texts in ``folder``."""
    return [w for p in sorted(folder.glob("*.txt")) for w in p.read_text("utf-8").split()]


def examine(
    detector: cm.Detector,
    tokenizer: cm.Tokenizer,
    knower: Knower,
    settings: Settings,
    text: str,
    edit: Edit,
) -> list[float]:
    """Return log10 p of each branch.

    Tests alone and levels 1 and 2 read the normalised text, unless the edit says otherwise; level 0
    tries it as it came too, and pays.
    """
    readings = read(text, tokenizer)
    ids = readings[-1 if edit.normalised else 0].ids
    plain = detector.detect(ids)
    level_0 = detect_readings(detector, readings) if edit.normalised else plain
    tests = {test.statistic: test.log10_p for test in plain.best.tests}
    found = [
        detector.detect(ids, start="unknown").log10_p,
        tests.get("goodness_of_fit", np.nan),
        tests.get("scan", np.nan),
        level_0.log10_p,
    ]
    if not edit.by_model:
        return [*found, np.nan, np.nan, np.nan]
    sampling: dict[str, Any] = {"temperature": settings.temperature, "top_p": settings.top_p}
    level_1 = detector.detect(ids, proxy=knower.proxy(**sampling))
    level_2 = detector.replay([], ids, knower.logits, **sampling)
    return [*found, level_1.best.tests[0].log10_p, level_1.log10_p, level_2.log10_p]


def measure(
    model: Model, settings: Settings, human: Sequence[str], answers: int, tokens: int
) -> Found:
    """Generate answers from the start token, edit them in every way, and examine them."""
    rings = [profile(model, key) for key in range(answers)]
    samplers = [cm.Sampler(ring, "test") for ring in rings]
    ids = model.marked_by_many(samplers, model.start(answers), tokens, settings, seed=1)
    texts = [model.tokenizer.decode(row) for row in ids]
    words = [text.split() for text in texts]
    tokenizer = cm.Tokenizer(model.tokenizer)
    knower = Knower(model.model, model.forbidden)
    found: dict[str, list[list[float]]] = {}
    for i, ring in enumerate(track(rings, str(settings), transient=True)):
        others = [word for j, some in enumerate(words) if j != i for word in some]
        detector = cm.Detector(ring)
        for edit in edits(human, tokenizer):
            text = edit.change(texts[i], others, i)
            log10_p = examine(detector, tokenizer, knower, settings, text, edit)
            found.setdefault(edit.name, []).append(log10_p)
    return {name: np.array(rows) for name, rows in found.items()}


def interval(hits: int, trials: int) -> tuple[float, float]:
    """Return the exact (Clopper-Pearson) 95% confidence interval of a rate."""
    exact = binomtest(hits, trials).proportion_ci(0.95, method="exact")
    return exact.low, exact.high


def print_table(settings: Settings, rate: int, found: Found) -> None:
    """Print the share found at 10^rate: one row for each edit."""
    print(f"\nTemperature, top-p: {settings}. Found at 10^{rate}, % (95% confidence):\n")
    print("| edit | " + " | ".join(BRANCHES) + " |")
    print("|" + "---|" * (len(BRANCHES) + 1))
    for name, log10_p in found.items():
        cells = []
        for column in log10_p.T[: 4 if np.isnan(log10_p[:, -1]).all() else None]:
            hits = int(np.sum(column <= rate))  # a NaN is none
            low, high = interval(hits, len(column))
            cells.append(f"{100 * hits / len(column):.0f} ({100 * low:.0f} to {100 * high:.0f})")
        cells += [""] * (len(BRANCHES) - len(cells))
        print(f"| {name} | " + " | ".join(cells) + " |")


def plot(measured: dict[str, Found], folder: Path) -> None:
    """The share found at 10^-6 as more words are changed, by kind of change and settings."""
    kinds = ("deleted", "substituted", "inserted")
    figure, axes = figures.subplots(len(measured), 3, (9, 7), sharex=True, sharey=True)
    for (settings, found), row in zip(measured.items(), axes, strict=True):
        for kind, axis in zip(kinds, row, strict=True):
            names = ["none", *(f"{s:.0%} of words {kind}" for s in SHARES)]
            for branch in ("sum", "level 0", "level 1", "level 2"):
                columns = [found[name][:, BRANCHES.index(branch)] for name in names]
                rates = [float(np.mean(column <= -6)) for column in columns]
                ends = np.array([interval(int(np.sum(c <= -6)), len(c)) for c in columns]).T
                points = axis.plot([0, *SHARES], rates, marker="o", ms=3, label=branch)
                axis.fill_between(
                    [0, *SHARES], *ends, color=points[0].get_color(), alpha=0.12, lw=0
                )
            axis.set(title=f"{settings}: {kind}", ylim=(-0.02, 1.02))
            axis.grid(visible=True, alpha=0.3)
    axes[0, 0].set_ylabel("share found at 10⁻⁶")
    axes[-1, 1].set_xlabel("share of words changed")
    axes[0, 0].legend(loc="lower left", fontsize="small")
    figures.save(figure, folder / "edits.svg")


def main() -> None:
    """Print two tables for each way of sampling."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--human", type=Path, required=True, help="folder of human texts")
    parser.add_argument("--answers", type=int, default=60)
    parser.add_argument("--tokens", type=int, default=400)
    parser.add_argument("--plots", type=Path)
    arguments = parser.parse_args()
    model = Model(arguments.model)
    human = human_words(arguments.human)

    measured: dict[str, Found] = {}
    for settings in SETTINGS:
        found = measure(model, settings, human, arguments.answers, arguments.tokens)
        for rate in RATES:
            print_table(settings, rate, found)
        measured[str(settings)] = found
    if arguments.plots:
        plot(measured, arguments.plots)


if __name__ == "__main__":
    main()
