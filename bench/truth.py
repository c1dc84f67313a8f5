"""Realised against nominal error rates of every statistic, over 10^8 pairs of key and document.

    python bench/truth.py TEXT_FOLDER TOKENIZER build/bench/bench/countermark_null_rates

TEXT_FOLDER is searched for text and source files, one kind for each subfolder and for each language
of XQuAD; documents have 200 tokens. The likelihood and the replay take their probabilities from a
bigram model of the same texts: any model will do that does not know the key. Prints the tables of
docs/detection.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import binom

import countermark as cm
import figures

LENGTH = 200
RATES = 10.0 ** -np.arange(1, 7)
WIDTH = 8
WHAT = ("level0", "likelihood", "replay")

Documents = npt.NDArray[np.int32]


def read(folder: Path, tokenizer: cm.Tokenizer, most: int) -> dict[str, Documents]:
    """Return at most ``most`` documents [n, 200] of each kind, spread evenly over its files."""
    kinds: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        kind = path.relative_to(folder).parts[0]
        kinds[path.stem if kind == "xquad" else kind].append(path)
    documents = {}
    for kind, paths in kinds.items():
        pieces = []
        for path in paths:
            ids = tokenizer.encode(path.read_text(encoding="utf-8", errors="ignore"))
            whole = len(ids) // LENGTH
            pieces.append(ids[: whole * LENGTH].reshape(whole, LENGTH))
        rows = np.concatenate(pieces)
        chosen = np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int)
        documents[kind] = rows[chosen]
    return documents


def bigram_candidates(
    documents: Documents,
) -> tuple[npt.NDArray[np.float64], Documents, npt.NDArray[np.float64]]:
    """Return each token's probability [n, 200], and eight candidates with weights, with it."""
    after: dict[int, Counter[int]] = defaultdict(Counter)
    for row in documents.tolist():
        for before, token in pairwise(row):
            after[before][token] += 1
    frequent = [token for token, _ in Counter(documents.ravel().tolist()).most_common(WIDTH)]
    probabilities = np.empty(documents.shape)
    ids = np.zeros((*documents.shape, WIDTH), dtype=np.int32)
    weights = np.zeros((*documents.shape, WIDTH))
    for i, row in enumerate(documents.tolist()):
        for t, token in enumerate(row):
            seen = after[row[t - 1]] if t else Counter()
            counts = dict(seen.most_common(WIDTH - 1))
            for other in frequent:
                if len(counts) < WIDTH - 1:
                    counts.setdefault(other, 0)
            counts.setdefault(token, seen[token])
            share = np.array([count + 0.5 for count in counts.values()])
            ids[i, t, : len(counts)] = list(counts)
            weights[i, t, : len(counts)] = share / share.sum()
            probabilities[i, t] = weights[i, t, list(counts).index(token)]
    return probabilities, ids, weights


def run(program: Path, what: str, documents: Documents, keys: int, *more: Any) -> dict[str, Any]:
    """Run the C++ program over documents; return its counts [documents, rates] by statistic."""
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for i, array in enumerate((documents, *more)):
            files.append(Path(folder) / f"{i}")
            array.tofile(files[-1])
        command = [str(program), what, str(files[0]), str(LENGTH), str(keys), *map(str, files[1:])]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    counts: dict[str, Any] = json.loads(output)
    del counts["keys"]
    return {name: np.array(table, dtype=np.int64) for name, table in counts.items()}


def ratios(counts: npt.NDArray[np.int64], pairs: int) -> list[str]:
    """Return realised over nominal at each rate, with chance's 99.9% range where it is wide."""
    cells = []
    for rate, count in zip(RATES, counts, strict=True):
        low, high = np.array(binom.interval(0.999, pairs, rate)) / pairs / rate
        ratio = count / pairs / rate
        wide = high - low > 0.02
        cells.append(f"{ratio:.3f}" + (f" ({low:.2f} to {high:.2f})" if wide else ""))
    return cells


def main() -> None:
    """Print a table by statistic, and one by kind of text for all of level 0."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("texts", type=Path)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("program", type=Path)
    parser.add_argument("--pairs", type=float, default=1e8)
    parser.add_argument("--what", nargs="+", default=list(WHAT), choices=WHAT)
    parser.add_argument("--documents", type=int, default=1500, help="of each kind at most")
    parser.add_argument("--modelled", type=int, default=8, help="of each kind, with a model")
    parser.add_argument("--plots", type=Path)
    arguments = parser.parse_args()
    tokenizer = cm.Tokenizer.load(arguments.tokenizer)
    kinds = read(arguments.texts, tokenizer, arguments.documents)
    documents = np.concatenate(list(kinds.values()))
    few = np.concatenate(
        [rows[:: max(1, len(rows) // arguments.modelled)] for rows in kinds.values()]
    )

    def keys_for(rows: Documents) -> int:
        return int(np.ceil(arguments.pairs / len(rows)))

    keys = keys_for(documents)
    probabilities, ids, weights = bigram_candidates(few)
    more = {"level0": (), "likelihood": (probabilities,), "replay": (ids, weights)}
    tables: dict[str, npt.NDArray[np.int64]] = {}
    for what in arguments.what:
        rows = documents if what == "level0" else few
        tables |= run(arguments.program, what, rows, keys_for(rows), *more[what])

    print("| statistic | pairs | " + " | ".join(f"at {rate:g}" for rate in RATES) + " |")
    print("|" + "---|" * (2 + len(RATES)))
    realised = {}
    for name, counts in tables.items():
        pairs = len(counts) * keys_for(documents if len(counts) == len(documents) else few)
        total = counts.sum(0)
        realised[name] = total / pairs
        print(f"| {name} | {pairs:.2g} | " + " | ".join(ratios(total, pairs)) + " |")
    if arguments.plots:
        modelled = {name: realised.pop(name) for name in WHAT if name in realised}
        for file, rates_of in (("truth.svg", realised), ("truth_modelled.svg", modelled)):
            if rates_of:
                plot(rates_of, arguments.plots / file)
    if "level0" not in arguments.what:
        return
    print()
    print("| text | documents | " + " | ".join(f"at {rate:g}" for rate in RATES) + " |")
    print("|" + "---|" * (2 + len(RATES)))
    begin = 0
    for kind, rows in kinds.items():
        counts = tables["all of level 0"][begin : begin + len(rows)].sum(0)
        begin += len(rows)
        print(f"| {kind} | {len(rows)} | " + " | ".join(ratios(counts, len(rows) * keys)) + " |")


def plot(realised: dict[str, npt.NDArray[np.float64]], path: Path) -> None:
    """Draw realised over nominal rates."""
    figure, axes = figures.subplots(1, 1, (7, 4))
    for name, rates in realised.items():
        axes.plot(RATES, rates / RATES, marker="o", markersize=3, linewidth=1, label=name)
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set(xscale="log", xlabel="nominal rate", ylabel="realised / nominal", ylim=(0, 1.3))
    axes.invert_xaxis()
    axes.legend(fontsize=8, frameon=False)
    figures.save(figure, path)


if __name__ == "__main__":
    main()
