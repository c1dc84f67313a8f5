"""Evidence in marked answers by what the checker knows, beside the statistics that others use.

    python bench/levels.py MODEL_FOLDER [--answers 48] [--plots FOLDER]

48 answers of 400 tokens from the start token, each under a key of its own (the secrets 0, 1, 2,
...), read up to 100, 200 and 400 tokens. In a cell: the median of -log10 p; for level 2 of log10 e.
Prints a table of docs/detection.md.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rich.progress import track
from scipy.stats import gamma, norm

import countermark as cm
import figures
from answers import Model, Settings, profile
from knower import Knower

SETTINGS = (Settings(1.0), Settings(0.8, 0.95), Settings(0.5))
LENGTHS = (100, 200, 400)
BITS = 30  # layers of SynthID's tournament

Numbers = npt.NDArray[np.float64]


def quantised(model: Any, bits: int, group: int = 32) -> Any:
    """Return a copy with weights of ``bits`` bits, scaled by the largest of each group."""
    smaller = copy.deepcopy(model)
    levels = 2 ** (bits - 1) - 1
    for parameter in smaller.parameters():
        if parameter.dim() == 2:
            groups = parameter.data.reshape(-1, group)
            step = groups.abs().amax(1, keepdim=True) / levels
            parameter.data = (torch.round(groups / step) * step).reshape(parameter.shape)
    return smaller


def entropy_weighted_gamma(scores: Numbers, entropies: Numbers) -> float:
    """Return log10 p of TextSeal's statistic for one key.

    Scores are weighted by the entropy, and a Gamma of the same mean and variance is the null
    (research notes on TextSeal: k = (sum w)^2 / sum w^2, theta = sum w^2 / sum w).
    """
    total, squares = entropies.sum(), (entropies**2).sum()
    if total <= 0:
        return 0.0
    statistic = (entropies * scores).sum()
    shape, scale = total**2 / squares, squares / total
    return float(gamma.logsf(statistic / scale, shape) / np.log(10))


def weighted_mean(scores: Numbers) -> float:
    """Return log10 p of SynthID's weighted mean, with the binary digits of U for its g-values.

    The layers' weights fall from 10 to 1; the mean over tokens and layers is normal under the null.
    """
    weights = np.linspace(10, 1, BITS)
    weights *= BITS / weights.sum()
    u = -np.expm1(-scores)
    digits = np.floor(u[:, None] * 2.0 ** np.arange(1, BITS + 1)) % 2
    mean = (digits * weights).mean()
    deviation = 0.5 * np.sqrt((weights**2).sum() / (len(scores) * BITS**2))
    return float(norm.logsf((mean - 0.5) / deviation) / np.log(10))


def u_alone(rows: Numbers, scores: Numbers) -> float:
    """Return log10 e of U's likelihood ratio without the token, sum_v u^(1/p_v - 1).

    ``rows`` are the distributions [tokens, vocab].
    """
    log_u = np.log1p(-np.exp(-scores))
    with np.errstate(divide="ignore", under="ignore"):
        ratios = [
            np.exp((1 / row[row > 0] - 1) * x).sum() for row, x in zip(rows, log_u, strict=True)
        ]
    return float(np.log10(ratios).sum())


def entropies_of(rows: Numbers) -> Numbers:
    """Return the entropy of each row, in nats."""
    with np.errstate(divide="ignore", invalid="ignore"):
        entropies: Numbers = -np.where(rows > 0, rows * np.log(rows), 0.0).sum(1)
    return entropies


def measure(
    model: Model, knowers: dict[str, Knower], settings: Settings, answers: int, seed: int
) -> dict[str, Numbers]:
    """Return the evidence [lengths, answers] by statistic."""
    rings = [profile(model, key) for key in range(answers)]
    samplers = [cm.Sampler(ring, "test") for ring in rings]
    ids = model.marked_by_many(samplers, model.start(answers), max(LENGTHS), settings, seed)
    evidence: dict[str, Numbers] = {}

    def keep(name: str, length: int, answer: int, value: float) -> None:
        table = evidence.setdefault(name, np.full((len(LENGTHS), answers), np.nan))
        table[LENGTHS.index(length), answer] = value

    for i in track(range(answers), str(settings), transient=True):
        detector = cm.Detector(rings[i])
        for length in LENGTHS:
            text = ids[i, :length]
            level0 = detector.detect(text)
            tests = {test.statistic: test.log10_p for test in level0.best.tests}
            keep("scored", length, i, level0.scored)
            keep("level 0", length, i, -level0.log10_p)
            keep("sum alone", length, i, -tests["sum"])
            for name, knower in knowers.items():
                level1 = detector.detect(text, proxy=knower.proxy(temperature=settings.temperature))
                keep(f"level 1, {name}", length, i, -level1.log10_p)
                if name == "the model":
                    keep("level 1, log10 e", length, i, level1.log10_e)
            mismatched = detector.detect(text, proxy=knowers["the model"].proxy())
            keep("level 1, the model at temperature 1", length, i, -mismatched.log10_p)
            level2 = detector.replay(
                [],
                text,
                knowers["the model"].logits,
                temperature=settings.temperature,
                top_p=settings.top_p,
            )
            keep("level 2", length, i, level2.log10_e)
            assert level2.entropy_bits is not None
            keep("entropy", length, i, level2.entropy_bits * np.log10(2))
            scores = detector.detect(text, start="response").token_scores
            known = ~np.isnan(scores)
            proxy = knowers["the model"].proxy(temperature=settings.temperature)
            rows = np.concatenate(list(proxy(text))).astype(np.float64)[known]
            keep("U alone, log10 e", length, i, u_alone(rows, scores[known]))
            weighted = entropy_weighted_gamma(scores[known], entropies_of(rows))
            keep("entropy-weighted Gamma", length, i, -weighted)
            keep("weighted mean", length, i, -weighted_mean(scores[known]))
    return evidence


COLUMNS = (
    "scored",
    "level 0",
    "level 1, the model",
    "level 1, log10 e",
    "U alone, log10 e",
    "level 1, the model at temperature 1",
    "level 1, 4 bits",
    "level 1, 3 bits",
    "level 2",
    "entropy",
    "sum alone",
    "entropy-weighted Gamma",
    "weighted mean",
)


def main() -> None:
    """Print one row for each setting and length."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--answers", type=int, default=48)
    parser.add_argument("--plots", type=Path)
    arguments = parser.parse_args()
    model = Model(arguments.model)
    knowers = {
        "the model": Knower(model.model, model.forbidden),
        "4 bits": Knower(quantised(model.model, 4), model.forbidden),
        "3 bits": Knower(quantised(model.model, 3), model.forbidden),
    }
    print("| temperature, top-p | tokens | " + " | ".join(COLUMNS) + " |")
    print("|" + "---|" * (2 + len(COLUMNS)))
    all_evidence = {}
    for number, settings in enumerate(SETTINGS):
        evidence = measure(model, knowers, settings, arguments.answers, seed=number)
        all_evidence[str(settings)] = evidence
        for row, length in enumerate(LENGTHS):
            medians = [np.median(evidence[name][row]) for name in COLUMNS]
            cells = [f"{medians[0]:.0f}", *(f"{median:.1f}" for median in medians[1:])]
            worst = np.quantile(evidence["level 0"][row], 0.1)
            cells[1] += f" ({worst:.1f})"
            print(f"| {settings} | {length} | " + " | ".join(cells) + " |")
    if arguments.plots:
        plot(all_evidence, arguments.plots)


def plot(evidence: dict[str, dict[str, Numbers]], folder: Path) -> None:
    """Draw the medians against the length."""
    shown = (
        "level 2",
        "level 1, the model",
        "level 1, 4 bits",
        "entropy-weighted Gamma",
        "level 0",
        "weighted mean",
    )
    figure, all_axes = figures.subplots(1, len(evidence), (11, 3.6))
    for axes, (title, table) in zip(all_axes, evidence.items(), strict=True):
        for name in shown:
            axes.plot(LENGTHS, np.median(table[name], axis=1), marker="o", markersize=3, label=name)
        axes.axhline(6, color="black", linewidth=0.6, linestyle=":")
        axes.set(title=title, xlabel="tokens", yscale="log", ylim=(0.5, 300))
    all_axes[0].set(ylabel="median of -log10 p (level 2: log10 e)")
    all_axes[-1].legend(fontsize=7, frameon=False)
    figures.save(figure, folder / "levels.svg")


if __name__ == "__main__":
    main()
