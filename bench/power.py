"""Evidence in marked answers of a real model, from token ids and from their decoded text.

    python bench/power.py MODEL_FOLDER [--keys 20] [--answers 48] [--tokens 200]

Prints the table of docs/measurements.md. "Whole" is told that the text is a whole response; the
other columns are not, and pay for both starts. Each key is a set of answers of its own: medians
vary by key, because answers under one key share their frequent narrow contexts.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import track

import countermark as cm
from answers import Model, Settings, profile

SETTINGS = (Settings(1.0), Settings(0.8, 0.95), Settings(0.5))


@dataclass
class Power:
    """log10 p of the answers under one key."""

    ids: list[float]
    whole: list[float]
    text: list[float]
    expected: list[float]
    scored: list[int]
    mean_score: list[float]
    same_ids: list[bool]


def measure(model: Model, settings: Settings, key: int, answers: int, tokens: int) -> Power:
    """Generate answers from the start token under one key and detect them both ways."""
    ring = profile(model, key)
    detector = cm.Detector(ring)
    ids, sequences = model.marked(
        cm.Sampler(ring, "test"), model.start(answers), tokens, settings, seed=key
    )
    from_ids = detector.detect_many(ids)
    whole = detector.detect_many(ids, start="response")
    texts = [model.tokenizer.decode(row) for row in ids]
    from_text = [detector.detect_text(text, model.tokenizer) for text in texts]
    return Power(
        [d.log10_p for d in from_ids],
        [d.log10_p for d in whole],
        [d.log10_p for d in from_text],
        [s.stats.expected_log10_p for s in sequences],
        [d.scored for d in from_ids],
        [d.best.score / d.scored for d in from_ids],
        [
            model.tokenizer.encode(text, add_special_tokens=False) == row.tolist()
            for text, row in zip(texts, ids, strict=True)
        ],
    )


def main() -> None:
    """Print one row for each setting."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--keys", type=int, default=20)
    parser.add_argument("--answers", type=int, default=48)
    parser.add_argument("--tokens", type=int, default=200)
    arguments = parser.parse_args()
    model = Model(arguments.model)

    print(
        "| temperature, top-p | scored | mean score | median -log10 p, ids | by key: least, most "
        "| worst tenth | whole | from text | same ids | expected |"
    )
    print("|" + "---|" * 10)
    for settings in SETTINGS:
        runs = [
            measure(model, settings, key, arguments.answers, arguments.tokens)
            for key in track(range(arguments.keys), str(settings), transient=True)
        ]
        ids = -np.array([run.ids for run in runs])
        by_key = np.median(ids, axis=1)
        cells = [
            str(settings),
            f"{np.median([run.scored for run in runs]):.0f}",
            f"{np.mean([run.mean_score for run in runs]):.2f}",
            f"{np.median(ids):.1f}",
            f"{by_key.min():.1f}, {by_key.max():.1f}",
            f"{np.quantile(ids, 0.1):.1f}",
            f"{-np.median([run.whole for run in runs]):.1f}",
            f"{-np.median([run.text for run in runs]):.1f}",
            f"{np.mean([run.same_ids for run in runs]):.0%}",
            f"{-np.median([run.expected for run in runs]):.1f}",
        ]
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
