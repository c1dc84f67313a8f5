"""A student: what it is trained on, and what it then says."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer

from corpora import START, TEXTS, TOKENS, Corpora, Mark, locked, save
from countermark.demo import substitute
from language_model import SIZES, Ids, LanguageModel, Training, unmarked

ANSWERS = 1250
PROMPT = 8  # tokens of an unmarked answer that the student goes on from
READ = 250  # texts of either kind
LIKELY = 32  # tokens that are kept of a prediction


@dataclass(frozen=True)
class Student:
    """One student of the study."""

    mark: Mark
    share: float  # of marked answers among what it is trained on
    seed: int = 0
    size: str = "small"
    filler: str = "unmarked"  # or "human": what the others are
    changed: float = 0.0  # share of the words of the training texts that are replaced
    texts: int = TEXTS  # that it is trained on
    clean: int = 0  # epochs on unmarked texts afterwards
    temperature: float = 1.0  # that it answers at
    other_tokenizer: bool = False  # trained on the text, with a vocabulary of its own

    def __str__(self) -> str:
        parts = [str(self.mark), f"{self.share:g}", self.size, f"s{self.seed}"]
        if self.filler != "unmarked":
            parts.append(self.filler)
        if self.changed:
            parts.append(f"changed{self.changed:g}")
        if self.texts != TEXTS:
            parts.append(f"n{self.texts}")
        if self.clean:
            parts.append(f"clean{self.clean}")
        if self.temperature != 1:
            parts.append(f"t{self.temperature:g}")
        if self.other_tokenizer:
            parts.append("retokenised")
        return "_".join(parts)


class School:
    """Trains students and asks them, once each; what they said is kept in a folder."""

    def __init__(self, folder: Path, models: Path, human: Path) -> None:
        self.folder = folder
        self.models = models
        self.human_folder = human
        self.corpora = Corpora(folder / "corpora", models / "stories3m")

    @cached_property
    def tokenizer(self) -> Any:
        """Return the teacher's."""
        return AutoTokenizer.from_pretrained(self.models / "stories3m")

    @cached_property
    def other_tokenizer(self) -> Any:
        """Return one of another vocabulary."""
        return AutoTokenizer.from_pretrained(self.models / "stories260k")

    def model(self, student: Student) -> LanguageModel:
        """Return a student that was taught, as it was before anything came afterwards."""
        model = self._untaught(student)
        state, _ = torch.load(self.folder / "weights" / f"{student}.pt", weights_only=True)
        model.model.load_state_dict(state)
        return model

    def path(self, student: Student) -> Path:
        """Return where what a student said is kept."""
        return self.folder / "students" / f"{student}.npz"

    def teach(self, student: Student, done: Callable[[float], None]) -> None:
        """Train and ask a student, unless that was done before or another process is at it."""
        path = self.path(student)
        with locked(path, waits=False) as is_held:
            if path.exists() or not is_held:
                return
            begin = time.monotonic()
            model, loss = self._trained(student, done)
            about = {
                "student": asdict(student),
                "parameters": model.parameters(),
                "loss": loss,
                "seconds": time.monotonic() - begin,
            }
            save(path, about=np.array(json.dumps(about)), **self._asked(student, model))

    def human(self) -> Ids:
        """Return texts [3000, 201] of novels."""
        files = sorted((self.human_folder / "novels-en").glob("*"))
        ids: list[int] = []
        for file in files:
            text = file.read_text(encoding="utf-8", errors="ignore")
            ids += self.tokenizer.encode(text[:400_000], add_special_tokens=False)
            if len(ids) >= TEXTS * TOKENS:
                break
        rows = np.array(ids[: TEXTS * TOKENS], dtype=np.int32).reshape(-1, TOKENS)
        return np.concatenate([np.full((len(rows), 1), START, np.int32), rows], axis=1)

    def training_texts(self, student: Student) -> Ids:
        """Return what a student is trained on; the marked ones first."""
        count = round(student.share * student.texts)
        parts = []
        if count:
            parts.append(self.corpora.marked(student.mark)[:count])
        if count < student.texts:
            parts.append(self._others(student)[count : student.texts])
        texts = np.concatenate(parts)
        different = len(np.unique(texts, axis=0))
        if len(texts) != student.texts or different < 0.95 * student.texts:
            raise SystemExit(f"{student}: {len(texts)} texts, {different} of them different")
        if student.changed or student.other_tokenizer:
            texts = self._rewritten(texts, student)
        return texts

    def _others(self, student: Student) -> Ids:
        """Return texts without a mark, at least as many as the student is trained on."""
        if student.filler == "human":
            return self.human()
        # None that a control has been trained on, which are the unmarked students but the first.
        parts = (0, 2, 4, 6) if student.share or student.seed == 0 else (1, 3, 5, 7)
        return np.concatenate(
            [self.corpora.unmarked("train", part) for part in parts[: -(-student.texts // TEXTS)]]
        )

    def _rewritten(self, texts: Ids, student: Student) -> Ids:
        """Return the texts as others have them: words changed, or tokens of their own."""
        to = self.other_tokenizer if student.other_tokenizer else self.tokenizer
        written = self.tokenizer.batch_decode(texts[:, 1:])
        words = " ".join(written[-200:]).split()
        stream: list[int] = []
        for number, text in enumerate(written):
            if student.changed:
                text = substitute(text, student.changed, words, number)
            stream += [START, *to.encode(text, add_special_tokens=False)]
        tokens = (2 if student.other_tokenizer else 1) * TOKENS + 1
        return np.array(stream[: len(stream) // tokens * tokens], np.int32).reshape(-1, tokens)

    def _untaught(self, student: Student) -> LanguageModel:
        vocab = len(self.other_tokenizer if student.other_tokenizer else self.tokenizer)
        return LanguageModel.initialised(SIZES[student.size], vocab, student.seed)

    def _trained(
        self, student: Student, done: Callable[[float], None]
    ) -> tuple[LanguageModel, float]:
        model = self._untaught(student)
        base = Student(
            **{**student.__dict__, "clean": 0, "temperature": 1.0}
        )  # the same before what comes afterwards
        weights = self.folder / "weights" / f"{base}.pt"
        loss = float("nan")
        if weights.exists():
            state, loss = torch.load(weights, weights_only=True)
            model.model.load_state_dict(state)
        else:
            loss = model.train(self.training_texts(base), Training(), student.seed, done)
            weights.parent.mkdir(exist_ok=True)
            torch.save((model.model.state_dict(), loss), weights)
        if student.clean:
            clean = self.corpora.unmarked("clean")
            loss = model.train(clean, Training(epochs=student.clean), student.seed, done)
        return model, loss

    def _asked(self, student: Student, model: LanguageModel) -> dict[str, Any]:
        held_out = self.corpora.unmarked("held-out")
        prompts = held_out[:ANSWERS, : 1 + PROMPT]
        draw = unmarked(student.seed, student.temperature)
        if student.other_tokenizer:
            return {"prompts": prompts, "answers": self._asked_in_text(model, prompts, draw)}
        answers = np.concatenate(
            [
                model.answers(prompts[begin : begin + 250], TOKENS, draw)
                for begin in range(0, ANSWERS, 250)
            ]
        )
        said: dict[str, Any] = {
            "prompts": prompts.astype(np.uint16),
            "answers": answers.astype(np.uint16),
        }
        if student.clean or student.temperature != 1 or student.changed:
            return said
        said["held_out_ids"], said["held_out"] = model.predictions(held_out[-READ:], LIKELY)
        if student.share:
            served = self.corpora.marked(student.mark)[:READ]
            said["served_ids"], said["served"] = model.predictions(served, LIKELY)
        return said

    def _asked_in_text(self, model: LanguageModel, prompts: Ids, draw: Any) -> Ids:
        """Return answers in the teacher's tokens, of a student that has its own."""
        texts = self.tokenizer.batch_decode(prompts[:, 1:])
        ids = [self.other_tokenizer.encode(text, add_special_tokens=False) for text in texts]
        width = min(map(len, ids))
        own = np.array([[START, *row[:width]] for row in ids], np.int32)
        rows = []
        for begin in range(0, len(own), 250):
            drawn = model.answers(own[begin : begin + 250], 2 * TOKENS, draw)
            for text in self.other_tokenizer.batch_decode(drawn):
                encoded = self.tokenizer.encode(text, add_special_tokens=False)[:TOKENS]
                rows.append(encoded + [0] * (TOKENS - len(encoded)))
        return np.array(rows, dtype=np.uint16)
