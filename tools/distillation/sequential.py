"""How often a sequential test errs when one stops as soon as it alarms, and what it saves.

    python tools/distillation/sequential.py MODELS_FOLDER TEXT_FOLDER [--runs 10000]

Prints the tables of docs/distillation.md. Under the null each run has a key of its own and the
answers of an unmarked student; under the others a student is asked until p is at most 10^-6.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.progress import track

import countermark as cm
from evidence import Inquiry, Said, Weights
from student import School, Student
from study import NONE, narrow

NULL_ANSWERS = 122  # six looks
RATES = (0.1, 0.05, 0.01, 0.001)
STOP_AT = -6.0
SHARES = (1.0, 0.5, 0.25, 0.1)
COMPARED: tuple[Weights, ...] = ("log", "reference")


def run(
    ring: cm.KeyRing,
    said: Said,
    weights: Weights,
    control: Said | None,
    answers: int,
    stop_at: float | None = None,
) -> cm.DistillationTest:
    """Add answers in their order, until the evidence suffices."""
    test = cm.DistillationTest(ring, "test", weights=weights, sequential=True, decoys=0)
    if weights == "reference" and control:
        for answer in control.answers:
            test.add_reference(answer)
    looks = 0
    # What is known changes with a look alone.
    for prompt, answer in zip(said.prompts[:answers], said.answers[:answers], strict=True):
        test.add_answer(prompt[1:], answer)
        if stop_at is not None and test.positions >= test.positions_at(looks):
            looks += 1
            if test.result().log10_p <= stop_at:
                break
    return test


def null(said: Said, runs: int) -> None:
    """Print how often there was an alarm at any look."""
    p, e = [], []
    for key in track(range(runs), "null", transient=True):
        looks = run(narrow(2, 10**6 + key).ring(), said, "log", None, NULL_ANSWERS).result().looks
        # The least at any look, which is where one would stop.
        p.append(min(look.log10_p - np.log10(look.share) for look in looks))
        sums = np.cumsum([look.share * 10**look.log10_e for look in looks])
        e.append(np.log10(sums.max()))
    print("\n| alarms allowed | p at or below it, at any look | 1 / e at or below it |")
    print("|---|---|---|")
    for rate in RATES:
        shares = [np.mean(np.array(values) <= np.log10(rate)) for values in (p, -np.array(e))]
        print(f"| {rate:g} | " + " | ".join(f"{share:.4f}" for share in shares) + " |")


def saved(inquiry: Inquiry) -> None:
    """Print after how many positions a student is told."""
    print("\n| marked | " + " | ".join(f"{weights}: stops at" for weights in COMPARED) + " |")
    print("|" + "---|" * (1 + len(COMPARED)))
    for share in SHARES:
        student = Student(narrow(), share)
        if not inquiry.school.path(student).exists():
            continue
        said = Said.read(inquiry.school, student)
        control = Said.read(inquiry.school, inquiry.control(student))
        cells: Sequence[str] = [
            _stop(run(narrow().ring(), said, weights, control, len(said.answers), STOP_AT))
            for weights in COMPARED
        ]
        print(f"| {share:.0%} | " + " | ".join(cells) + " |")


def _stop(test: cm.DistillationTest) -> str:
    result = test.result()
    if result.log10_p > STOP_AT:
        return f"not within {result.positions:,} (p = 10^{result.log10_p:.1f})"
    return f"{result.positions:,}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", type=Path)
    parser.add_argument("texts", type=Path)
    parser.add_argument("--work", type=Path, default=Path("build/distillation"))
    parser.add_argument("--runs", type=int, default=10_000)
    arguments = parser.parse_args()
    inquiry = Inquiry(School(arguments.work, arguments.models, arguments.texts))
    saved(inquiry)
    null(Said.read(inquiry.school, Student(NONE, 0.0)), arguments.runs)


if __name__ == "__main__":
    main()
