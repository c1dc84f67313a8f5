"""Prints the tables of docs/distillation.md from the results, and draws its figure.

    python tools/distillation/tables.py [--results docs/distillation/results.jsonl] \\
      [--plots docs/images]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import curve_fit
from scipy.stats import binom, kstest, norm

Record = dict[str, Any]

LARGEST = 200_000  # positions: whole answers, not a part of the curve
WEIGHTS = ("equal", "log", "reference", "most_powerful")
SHARES = (1.0, 0.5, 0.25, 0.1, 0.05, 0.01)
RATES = (0.1, 0.01, 0.001)


def read(path: Path) -> list[Record]:
    """Return a record for each student."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def closed(record: Record, weights: str, ledger: bool = False) -> Record | None:
    """Return the test of all answers."""
    return _first(record, mode="closed", weights=weights, ledger=ledger, whole=True)


def _first(record: Record, whole: bool = False, **wanted: Any) -> Record | None:
    for test in record["tests"]:
        if whole and test["positions"] < LARGEST:
            continue
        if all(test.get(name) == value for name, value in wanted.items()):
            found: Record = test
            return found
    return None


def plain(record: Record) -> bool:
    """Whether nothing was done to the student but training."""
    about = record["student"]
    return (
        about["size"] == "small"
        and about["filler"] == "unmarked"
        and not about["changed"]
        and not about["clean"]
        and about["temperature"] == 1
        and not about["other_tokenizer"]
        and about["texts"] == 3000
    )


def told(tests: Iterable[Record | None], key: str = "log10_p") -> str:
    """Say -log10 p of several students."""
    return ", ".join(f"{max(0.0, -test[key]):.1f}" for test in tests if test is not None)


def head(*columns: str) -> None:
    """Print the head of a table."""
    print("\n| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))


def row(*cells: str) -> None:
    """Print a row."""
    print("| " + " | ".join(cells) + " |")


def shares(records: Sequence[Record]) -> None:
    """Print what each test says of each share of marked answers."""
    head(
        "marked",
        *(f"closed, {weights}" for weights in WEIGHTS),
        "closed, reference, ledger",
        "open, reference",
        "open, reference, ledger",
        "served",
    )
    for share in SHARES:
        some = [
            r
            for r in records
            if plain(r)
            and r["student"]["mark"]["name"] == "distillation2"
            and r["student"]["share"] == share
        ]
        if not some:
            continue
        row(
            f"{share:.0%}",
            *(told(closed(r, weights) for r in some) for weights in WEIGHTS),
            told(closed(r, "reference", True) for r in some),
            told(_first(r, mode="open", weights="reference", ledger=False) for r in some),
            told(_first(r, mode="open", weights="reference", ledger=True) for r in some),
            told(_first(r, mode="served") for r in some),
        )


def marks(records: Sequence[Record], share: float) -> None:
    """Print what is learned of each mark."""
    head(
        f"mark, {share:.0%}",
        "its detector",
        "closed, log",
        "closed, reference",
        "open, reference",
        "open, reference, ledger",
        "served",
    )
    for record in records:
        about = record["student"]
        if not plain(record) or about["share"] != share or about["seed"] != 0:
            continue
        row(
            about["mark"]["name"],
            told([_first(record, mode="detector")]),
            told([closed(record, "log")]),
            told([closed(record, "reference")]),
            told([_first(record, mode="open", weights="reference", ledger=False)]),
            told([_first(record, mode="open", weights="reference", ledger=True)]),
            told([_first(record, mode="served")]),
        )


def attacks(records: Sequence[Record]) -> None:
    """Print what is left after what a rival may do, and of students of other sizes."""
    head(
        "student",
        "key",
        "marked",
        "parameters",
        "loss",
        "closed, log",
        "closed, reference",
        "ledger",
        "served",
    )
    for record in records:
        about = record["student"]
        if plain(record) or about["share"] == 0 or about["mark"]["name"] != "distillation2":
            continue
        row(
            _what(about),
            f"{about['mark']['key']}",
            f"{about['share']:.0%}",
            f"{record['parameters'] / 1e6:.1f} M",
            f"{record['loss']:.2f}",
            told([closed(record, "log")]),
            told([closed(record, "reference")]),
            told([closed(record, "reference", True)]),
            told([_first(record, mode="served")]),
        )


def _what(about: Record) -> str:
    parts: list[tuple[bool, str]] = [
        (about["size"] != "small", f"{about['size']}"),
        (about["filler"] != "unmarked", "the others are novels"),
        (about["changed"] > 0, f"{about['changed']:.0%} of words replaced"),
        (about["clean"] > 0, f"{about['clean']} epochs of unmarked text afterwards"),
        (about["temperature"] != 1, f"answers at temperature {about['temperature']:g}"),
        (about["other_tokenizer"], "a tokenizer of its own"),
        (about["texts"] != 3000, f"{about['texts']:,} texts"),
    ]
    return ", ".join(text for is_so, text in parts if is_so)


def null(records: Sequence[Record]) -> None:
    """Print what unmarked students show under keys that they never saw."""
    some = [record for record in records if record["student"]["share"] == 0]
    head("unmarked students", "test", "p-values", *(f"at {rate:g}" for rate in RATES), "KS p")
    tests: Sequence[tuple[str, Callable[..., bool]]] = [
        (f"width 2, {weights}", lambda t, w=weights: t["weights"] == w and "n2-" in t["mark"])
        for weights in WEIGHTS
    ] + [
        (
            f"width {width}, reference",
            lambda t, w=width: t["weights"] == "reference" and f"n{w}-" in t["mark"],
        )
        for width in (1, 3, 4)
    ]
    for name, wanted in tests:
        p = np.array([10 ** t["log10_p"] for r in some for t in r["tests"] if wanted(t)])
        if not len(p):
            continue
        cells = []
        for rate in RATES:
            hits = int((p <= rate).sum())
            low, high = binom.interval(0.99, len(p), rate)
            cells.append(f"{hits} (99%: {low:.0f} to {high:.0f})")
        row(f"{len(some)}", name, f"{len(p)}", *cells, f"{kstest(p, 'uniform').pvalue:.2f}")


def decoys(records: Sequence[Record]) -> None:
    """Print whether decoy keys look uniform for every student.

    Those of one key are the same for all its students, and students are alike: their p-values are
    not independent from student to student.
    """
    head("decoys of", "test", "least KS p", "below 0.05", "largest share at 0.1")
    for weights in ("equal", "log", "reference"):
        for ledger in (False, True):
            found = [closed(record, weights, ledger) for record in records]
            each = [10 ** np.array(t["decoys"]) for t in found if t and t.get("decoys")]
            if not each:
                continue
            fits = [float(kstest(p, "uniform").pvalue) for p in each]
            row(
                f"{len(each)} students, {len(each[0])} keys each",
                weights + (", ledger" if ledger else ""),
                f"{min(fits):.3f}",
                str(sum(fit < 0.05 for fit in fits)),
                f"{max(float(np.mean(p <= 0.1)) for p in each):.2f}",
            )


def deviations(log10_p: float) -> float:
    """Return how many standard deviations a normal variable has such a tail at."""
    if log10_p > -12:
        return float(norm.isf(min(10**log10_p, 1 - 1e-9)))
    z = np.sqrt(-2 * np.log(10) * log10_p)
    for _ in range(50):
        z = np.sqrt(2 * (-np.log(10) * log10_p - np.log(z * np.sqrt(2 * np.pi))))
    return float(z)


def fit(records: Sequence[Record]) -> None:
    """Print how the evidence grows, for ``countermark distill plan``.

    Width 2 by shares and tokens; the other widths by what they show where all is marked.
    """
    widths = (1, 2, 3, 4)
    head("evidence in deviations", *(f"width {width}" for width in widths), "share^", "tokens^")
    for weights in ("log", "reference"):
        shares, tokens, found = [], [], []
        whole = {}
        for record in records:
            about = record["student"]
            if not plain(record) or not about["mark"]["name"].startswith("distillation"):
                continue
            width = about["mark"]["parameters"]["narrow_width"]
            for test in record["tests"]:
                if (test["mode"], test.get("weights"), test.get("ledger")) != (
                    "closed",
                    weights,
                    False,
                ):
                    continue
                z = deviations(test["log10_p"])
                if about["share"] == 1 and test["positions"] > LARGEST and about["seed"] == 0:
                    whole[width] = z
                if width == 2:
                    shares.append(about["share"])
                    tokens.append(test["positions"] / 250_000)
                    found.append(z)
        # A deviation of chance, and more where there is more: students differ.
        (at, by_share, by_tokens), _ = curve_fit(
            lambda x, at, by_share, by_tokens: at * x[0] ** by_share * x[1] ** by_tokens,
            (np.array(shares), np.array(tokens)),
            found,
            p0=(20, 0.6, 0.3),
            sigma=1 + 0.15 * np.abs(found),
        )
        cells = [f"{at * whole[w] / whole[2]:.1f}" if w in whole else "" for w in widths]
        row(weights, *cells, f"{by_share:.2f}", f"{by_tokens:.2f}")


def plot(records: Sequence[Record], folder: Path) -> None:
    """Draw the evidence over tokens."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.hashsalt"] = "countermark"
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, weights in ((left, "log"), (right, "reference")):
        for index, share in enumerate(SHARES):
            for record in records:
                about = record["student"]
                if not plain(record) or about["mark"]["name"] != "distillation2":
                    continue
                if about["share"] != share:
                    continue
                curve = sorted(
                    (t["positions"], -t["log10_p"])
                    for t in record["tests"]
                    if t["mode"] == "closed" and t["weights"] == weights and not t["ledger"]
                )
                axes.plot(
                    *zip(*curve, strict=True),
                    color=f"C{index}",
                    marker=".",
                    label=f"{share:.0%}" if about["seed"] == 0 else None,
                )
        axes.axhline(5, color="gray", linewidth=0.8, linestyle=":")
        axes.set(
            xscale="log", yscale="symlog", xlabel="tokens of answers", title=f"weights: {weights}"
        )
    left.set(ylabel="-log10 p")
    left.set_ylim(bottom=0)
    figure.legend(*left.get_legend_handles_labels(), title="marked", loc="outside right center")
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "distillation.svg", metadata={"Date": None})


def main() -> None:
    """Print and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path("docs/distillation/results.jsonl"))
    parser.add_argument("--plots", type=Path)
    arguments = parser.parse_args()
    records = read(arguments.results)
    print("All figures: -log10 p; several students of one kind by their keys.")
    shares(records)
    for share in (1.0, 0.25):
        marks(records, share)
    attacks(records)
    null(records)
    decoys(records)
    fit(records)
    if arguments.plots:
        plot(records, arguments.plots)


if __name__ == "__main__":
    main()
