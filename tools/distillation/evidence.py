"""What a student's answers and predictions say, by every test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

import countermark as cm
from corpora import TEXTS, Mark, save
from language_model import Ids
from student import READ, School, Student
from study import NONE, narrow

Weights = Literal["equal", "log", "reference", "most_powerful"]
WEIGHTS: tuple[Weights, ...] = ("equal", "log", "reference", "most_powerful")
TESTED = ("countermark/1", "vllm/gumbel-1")  # by DistillationTest
DECOYS, FEW_DECOYS = 499, 99  # few where a test takes seconds
NULL_KEYS = 10
SEEDS = 20
CURVE = (10, 20, 39, 78, 156, 312, 625, 1250)  # answers


@dataclass
class Said:
    """What a student said."""

    about: dict[str, Any]
    prompts: Ids
    answers: list[Ids]
    held_out: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None
    served: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None

    @classmethod
    def read(cls, school: School, student: Student) -> Said:
        """Read what is kept of it."""
        with np.load(school.path(student)) as file:
            kept = {name: file[name] for name in file}
        answers = [row[row > 0].astype(np.int32) for row in kept["answers"]]
        pairs = {
            name: (kept[f"{name}_ids"].astype(np.int64), kept[name].astype(np.float64))
            for name in ("held_out", "served")
            if name in kept
        }
        return cls(
            json.loads(str(kept["about"])),
            kept["prompts"].astype(np.int32),
            answers,
            pairs.get("held_out"),
            pairs.get("served"),
        )


class Inquiry:
    """Tests students under keys; a control is an unmarked student with other seeds."""

    def __init__(self, school: School) -> None:
        self.school = school

    def control(self, student: Student) -> Student:
        """Return the student that others are compared with: the next unmarked one that there is.

        One of its size that was trained on as many texts, if there is one; never the first, which
        knows the unmarked texts of all others.
        """
        seeds = [1 + (student.seed + i) % (SEEDS - 1) for i in range(SEEDS - 1)]
        others = [
            Student(NONE, 0.0, seed, size=size, texts=texts)
            for size, texts in ((student.size, student.texts), ("small", TEXTS))
            for seed in seeds
        ]
        taught = (s for s in others if s != student and self.school.path(s).exists())
        chosen = next(taught, None)
        if chosen is None:
            raise SystemExit("at least two unmarked students must have been taught")
        return chosen

    def examine(self, student: Student) -> Iterator[dict[str, Any]]:
        """Yield what each test says."""
        said = Said.read(self.school, student)
        chosen = self.control(student)
        control = Said.read(self.school, chosen)
        if student.share == 0:
            for width in (1, 2, 3, 4):
                for key in range(NULL_KEYS):
                    # No two seeds are tested under one key: students say much the same.
                    mark = narrow(width, 100 + NULL_KEYS * student.seed + key)
                    for weights in WEIGHTS if width == 2 else ("log", "reference"):
                        yield self._closed(mark, said, control, weights)
            return
        mark = student.mark
        if not mark.is_ours:
            yield self._as_engines_do(mark, said)
        if mark.mark not in TESTED or mark.parameters.get("purpose") == "provenance":
            return
        ledger = self._ledger(mark) if mark.is_ours else None
        for weights in WEIGHTS:
            for known in (None, ledger) if ledger else (None,):
                few = weights == "most_powerful" or known is not None
                decoys = FEW_DECOYS if few else DECOYS
                yield self._closed(mark, said, control, weights, known, decoys=decoys)
        for answers in CURVE[:-1]:
            yield self._closed(mark, said, control, "reference", answers=answers)
            yield self._closed(mark, said, control, "log", answers=answers)
        if said.held_out and control.held_out:
            held_out = self.school.corpora.unmarked("held-out")[-READ:]
            for weights in WEIGHTS:
                yield self._open(mark, held_out, said.held_out, control.held_out, weights)
            if ledger:
                yield self._open(
                    mark, held_out, said.held_out, control.held_out, "reference", ledger=ledger
                )
        if said.served and mark.is_ours:
            served = self.school.corpora.marked(mark)[:READ]
            expected = self._predictions(chosen, mark, served)
            yield self._open(mark, served, said.served, expected, "reference", served=True)

    def _ledger(self, mark: Mark) -> cm.Ledger:
        ledger = cm.Ledger(mark.ring(), "test", contexts=1_000_000)
        for row in self.school.corpora.marked(mark):
            ledger.add_response(row[1:])
        return ledger

    def _predictions(self, control: Student, mark: Mark, texts: Ids) -> Any:
        path = self.school.folder / "predictions" / f"{control}_{mark}.npz"
        if not path.exists():
            model = self.school.model(control)
            ids, probabilities = model.predictions(texts, 32)
            save(path, ids=ids, probabilities=probabilities)
        with np.load(path) as file:
            return file["ids"].astype(np.int64), file["probabilities"].astype(np.float64)

    def _closed(
        self,
        mark: Mark,
        said: Said,
        control: Said,
        weights: Weights,
        ledger: cm.Ledger | None = None,
        decoys: int = 0,
        answers: int = CURVE[-1],
    ) -> dict[str, Any]:
        test = cm.DistillationTest(mark.ring(), "test", ledger, weights=weights, decoys=decoys)
        for prompt, answer in zip(said.prompts[:answers], said.answers[:answers], strict=True):
            test.add_answer(prompt[1:], answer)
        if weights in ("reference", "most_powerful"):
            for answer in control.answers:
                test.add_reference(answer)
        return _told("closed", mark, weights, ledger, test)

    def _open(
        self,
        mark: Mark,
        texts: Ids,
        said: tuple[npt.NDArray[Any], npt.NDArray[Any]],
        expected: tuple[npt.NDArray[Any], npt.NDArray[Any]],
        weights: Weights,
        served: bool = False,
        ledger: cm.Ledger | None = None,
    ) -> dict[str, Any]:
        needs = weights in ("reference", "most_powerful")
        test = cm.DistillationTest(mark.ring(), "test", ledger, weights=weights, decoys=0)
        for i, row in enumerate(texts):
            test.add_reading(
                row[1:],
                (said[0][i], said[1][i]),
                expected=(expected[0][i], expected[1][i]) if needs else None,
                served=served,
            )
        return _told("served" if served else "open", mark, weights, ledger, test)

    def _as_engines_do(self, mark: Mark, said: Said) -> dict[str, Any]:
        """Detect the mark in all answers taken for one text, each context once."""
        text = np.concatenate(said.answers)
        found = cm.Detector(mark.ring()).detect(text, start="unknown")
        return {
            "mode": "detector",
            "mark": str(mark),
            "positions": len(text),
            "scored": found.scored,
            "log10_p": found.log10_p,
            "log10_e": found.log10_e,
        }


def _told(
    mode: str, mark: Mark, weights: Weights, ledger: cm.Ledger | None, test: cm.DistillationTest
) -> dict[str, Any]:
    result = test.result()
    return {
        "mode": mode,
        "mark": str(mark),
        "weights": weights,
        "ledger": ledger is not None,
        "positions": result.positions,
        "scored": result.scored,
        "log10_p": round(result.log10_p, 4),
        "log10_e": round(result.log10_e, 4),
        "decoys": [round(float(p), 2) for p in result.decoys],
    }
