"""How much sixteen answers to one prompt differ, marked and unmarked.

    python bench/diversity.py MODEL_FOLDER [--keys 4]

Prints the table of docs/measurements.md: the share of 4-grams that two answers have in common,
and the number of different beginnings of 40 and of 60 tokens among 16. The start token alone is
the hardest prompt: every story wants to begin alike.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from rich.progress import track

import countermark as cm
from answers import Ids, Model, Settings, profile

ANSWERS = 16
TOKENS = 100
SETTINGS = (Settings(1.0), Settings(0.8, 0.95))
PREFIXES = (0, 8, 16, 24, 32)
START = ""
PROMPTS = (
    "Once upon a time, there was a little girl named Lily.",
    "One day, a boy named Tim found a red ball in the park.",
    "The old cat sat by the window and looked at the rain.",
)


def shared_4grams(answers: Ids) -> float:
    """Return the share of 4-grams common to two answers, averaged over all pairs."""
    grams = [{tuple(row[i : i + 4]) for i in range(len(row) - 3)} for row in answers.tolist()]
    return float(np.mean([2 * len(a & b) / (len(a) + len(b)) for a, b in combinations(grams, 2)]))


def beginnings(answers: Ids, length: int) -> int:
    """Return the number of different first ``length`` tokens."""
    return len({tuple(row[:length]) for row in answers.tolist()})


def summarise(groups: list[Ids]) -> tuple[float, float, float]:
    """Return the mean of both measures over groups of answers to one prompt."""
    return (
        float(np.mean([shared_4grams(g) for g in groups])),
        float(np.mean([beginnings(g, 40) for g in groups])),
        float(np.mean([beginnings(g, 60) for g in groups])),
    )


def marked(
    model: Model, settings: Settings, texts: Sequence[str], free_prefix: int, keys: int
) -> list[Ids]:
    """Return a group of answers for each prompt and key."""
    groups = []
    for key in range(keys):
        sampler = cm.Sampler(profile(model, key, free_prefix=free_prefix), "test")
        for i, prompt in enumerate(texts):
            prompts = model.prompt(prompt, ANSWERS)
            groups.append(model.marked(sampler, prompts, TOKENS, settings, seed=key * 8 + i)[0])
    return groups


def unmarked(model: Model, settings: Settings, texts: Sequence[str], rounds: int) -> list[Ids]:
    """Return as many groups without a mark."""
    return [
        model.unmarked(model.prompt(prompt, ANSWERS), TOKENS, settings, seed=r * 8 + i)
        for r in range(rounds)
        for i, prompt in enumerate(texts)
    ]


def main() -> None:
    """Print one row for each prefix."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--keys", type=int, default=4)
    arguments = parser.parse_args()
    model = Model(arguments.model)

    cells = [(settings, texts) for settings in SETTINGS for texts in (PROMPTS, (START,))]
    rows: list[list[str]] = [["unmarked"], *([str(p)] for p in PREFIXES)]
    for settings, texts in track(cells, "measuring", transient=True):
        rounds = arguments.keys * len(PROMPTS) // len(texts)
        groups = [unmarked(model, settings, texts, rounds)]
        groups += [marked(model, settings, texts, prefix, rounds) for prefix in PREFIXES]
        for row, group in zip(rows, groups, strict=True):
            shared, first_40, first_60 = summarise(group)
            row.append(f"{shared:.3f} / {first_40:.1f} / {first_60:.1f}")
    names = [f"{s}: {'story prompts' if t is PROMPTS else 'start token'}" for s, t in cells]
    print("| free prefix | " + " | ".join(names) + " |")
    print("|" + "---|" * (1 + len(cells)))
    for row in rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
