"""Realised against nominal error rates on text that people wrote.

    python bench/human_rates.py TEXT_FOLDER TOKENIZER [--documents 4000] [--keys 40]

TEXT_FOLDER is searched for text and source files; documents of 200 tokens are taken evenly from
its subfolders. Prints the table of docs/measurements.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.progress import track
from scipy.stats import binom

import countermark as cm

Documents = list[npt.NDArray[np.int32]]
LENGTH = 200
NOMINAL = (0.1, 0.01, 0.001)


def read_documents(folder: Path, tokenizer: cm.Tokenizer, count: int) -> dict[str, Documents]:
    """Return ``count`` documents of 200 tokens, spread evenly over the kinds (the subfolders)."""
    kinds = sorted(path for path in folder.iterdir() if path.is_dir())
    share = -(-count // len(kinds))
    return {kind.name: list(_spread(kind, tokenizer, share)) for kind in kinds}


def _spread(kind: Path, tokenizer: cm.Tokenizer, count: int) -> Iterator[npt.NDArray[np.int32]]:
    pieces: Documents = []
    for path in sorted(p for p in kind.rglob("*") if p.is_file()):
        ids = tokenizer.encode(path.read_text(encoding="utf-8", errors="ignore"))
        pieces += [ids[i : i + LENGTH] for i in range(0, len(ids) - LENGTH + 1, LENGTH)]
    # Evenly over all files, so that no author fills the sample.
    for i in np.linspace(0, len(pieces) - 1, min(count, len(pieces))).astype(int):
        yield pieces[i]


def p_values(documents: Documents, key: int, start: str | None) -> npt.NDArray[np.float64]:
    """Return log10 p of every document under the key that consists of the number ``key``."""
    ring = cm.KeyRing.generate()
    ring.import_secret("test", key.to_bytes(32, "little"))
    detections = cm.Detector(ring).detect_many(documents, start=start)  # type: ignore[arg-type]
    return np.array([d.log10_p for d in detections])


def bounds(trials: int, rate: float, confidence: float) -> tuple[float, float]:
    """Return the binomial bounds of a realised rate."""
    low, high = binom.interval(confidence, trials, rate)
    return low / trials, high / trials


def main() -> None:
    """Print one row for each kind of text and one for all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("texts", type=Path)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("--documents", type=int, default=4000)
    parser.add_argument("--keys", type=int, default=40)
    arguments = parser.parse_args()
    tokenizer = cm.Tokenizer.load(arguments.tokenizer)
    kinds = read_documents(arguments.texts, tokenizer, arguments.documents)
    kinds["all"] = [document for documents in kinds.values() for document in documents]

    print(
        "| text | documents | "
        + " | ".join(f"at {rate:g}" for rate in NOMINAL)
        + " | single keys at 0.01 |"
    )
    print("|" + "---|" * (3 + len(NOMINAL)))
    for kind, documents in kinds.items():
        by_key = np.array(
            [
                p_values(documents, key, None)
                for key in track(range(arguments.keys), kind, transient=True)
            ]
        )
        cells = []
        for rate in NOMINAL:
            low, high = bounds(by_key.size, rate, 0.999)
            ratio = float(np.mean(by_key <= np.log10(rate))) / rate
            cells.append(f"{ratio:.2f} ({low / rate:.2f} to {high / rate:.2f})")
        single = np.mean(by_key <= -2, axis=1) / 0.01
        print(
            f"| {kind} | {len(documents)} | "
            + " | ".join(cells)
            + f" | {single.min():.2f} to {single.max():.2f} |"
        )


if __name__ == "__main__":
    main()
