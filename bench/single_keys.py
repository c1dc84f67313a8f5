"""Error rates of single keys, with and without a calibration, templated text included.

    python bench/single_keys.py TEXT_FOLDER TOKENIZER [--keys 20] [--plots FOLDER]

Each key is calibrated on one half of the documents and tested on the other; a file is in one half
only. Documents are cut into pieces of 100 tokens. Prints the table of docs/detection.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.progress import track
from scipy.stats import binom

import countermark as cm
import figures
from templates import templated

LENGTH = 100
RATES = (1e-2, 1e-3)
TEMPLATED = 1500  # documents of each kind

Ids = npt.NDArray[np.int32]


def read(folder: Path, tokenizer: cm.Tokenizer) -> tuple[list[Ids], list[Ids]]:
    """Return the documents of two halves: human text of every kind, and templated text."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    halves: tuple[list[Ids], list[Ids]] = ([], [])
    for i, path in enumerate(files):
        ids = tokenizer.encode(path.read_text(encoding="utf-8", errors="ignore"))
        # A novel is many documents.
        parts = [ids[begin : begin + 1000] for begin in range(0, len(ids), 1000)]
        if len(parts) > 200:
            for half in (0, 1):
                middle = len(parts) // 2
                halves[half].extend(parts[:middle] if half == 0 else parts[middle:])
        else:
            halves[i % 2].extend(parts)
    for texts in templated(folder / "code", 2 * TEMPLATED, seed=0).values():
        for half in (0, 1):
            halves[half].extend(tokenizer.encode(text) for text in texts[half::2])
    return halves


def pieces_of(documents: list[Ids]) -> list[Ids]:
    """Return all pieces of 100 tokens."""
    return [d[b : b + LENGTH] for d in documents for b in range(0, len(d) - LENGTH + 1, LENGTH)]


def rates_of(detector: cm.Detector, pieces: list[Ids]) -> list[float]:
    """Return the share of pieces with a p-value of at most each rate, over the rate."""
    log10_p = np.array([d.log10_p for d in detector.detect_many(pieces)])
    return [float(np.mean(log10_p <= np.log10(rate))) / rate for rate in RATES]


def main() -> None:
    """Print the ratios of every key."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("texts", type=Path)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("--keys", type=int, default=20)
    parser.add_argument("--plots", type=Path)
    arguments = parser.parse_args()
    tokenizer = cm.Tokenizer.load(arguments.tokenizer)
    known, unseen = read(arguments.texts, tokenizer)
    pieces = pieces_of(unseen)
    plain, calibrated, factors, common = [], [], [], 0
    for key in track(range(arguments.keys), "keys", transient=True):
        ring = cm.KeyRing.generate()
        ring.import_secret("test", key.to_bytes(32, "little"))
        calibration = cm.Calibration.build(ring, "test", known, lengths=[LENGTH])
        plain.append(rates_of(cm.Detector(ring), pieces))
        calibrated.append(rates_of(cm.Detector(ring, calibrations=[calibration]), pieces))
        factors.append(10 ** calibration.log10_inflation(LENGTH))
        common = calibration.common_ngrams

    print(
        f"{len(known)} documents to calibrate with, {common} common n-grams; {len(pieces)} pieces."
    )
    print()
    print(
        "| key | " + " | ".join(f"at {rate:g}" for rate in RATES) + " | calibrated, factor | ",
        end="",
    )
    print(" | ".join(f"at {rate:g}" for rate in RATES) + " |")
    print("|" + "---|" * (2 + 2 * len(RATES)))
    for key in range(arguments.keys):
        cells = [f"{x:.2f}" for x in plain[key]] + [f"{factors[key]:.2f}"]
        cells += [f"{x:.2f}" for x in calibrated[key]]
        print(f"| {key} | " + " | ".join(cells) + " |")
    for name, table in (("least", np.min), ("mean", np.mean), ("most", np.max)):
        cells = [f"{x:.2f}" for x in table(plain, axis=0)] + [f"{table(factors):.2f}"]
        cells += [f"{x:.2f}" for x in table(calibrated, axis=0)]
        print(f"| {name} | " + " | ".join(cells) + " |")
    chance = [
        f"{x / len(pieces) / rate:.2f}"
        for rate in RATES
        for x in binom.interval(0.95, len(pieces), rate)
    ]
    print(f"\nChance alone, 95% of keys: {chance[0]} to {chance[1]}, {chance[2]} to {chance[3]}.")
    if arguments.plots:
        plot(np.array(plain), np.array(calibrated), arguments.plots)


def plot(plain: npt.NDArray[np.float64], calibrated: npt.NDArray[np.float64], folder: Path) -> None:
    """Draw each key's ratios before and after."""
    figure, axes = figures.subplots(1, len(RATES), (8, 3.2))
    for column, (rate, one) in enumerate(zip(RATES, axes, strict=True)):
        one.plot(plain[:, column], marker="o", linestyle="", label="as it is")
        one.plot(calibrated[:, column], marker="x", linestyle="", label="calibrated")
        one.axhline(1, color="black", linewidth=0.8)
        one.axhline(1.5, color="black", linewidth=0.8, linestyle=":")
        one.set(title=f"at {rate:g}", xlabel="key", ylim=(0, None))
    axes[0].set(ylabel="realised / nominal")
    axes[0].legend(fontsize=8, frameon=False)
    figures.save(figure, folder / "single_keys.svg")


if __name__ == "__main__":
    main()
