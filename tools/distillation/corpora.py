"""What the teacher answered: texts [n, 201], each a start token and an answer, marked or not."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import countermark as cm
from language_model import Ids, LanguageModel, marked, unmarked

TEXTS = 3000
TOKENS = 200
AT_ONCE = 250
ACCOUNTS = 100
START = 1


@contextmanager
def locked(path: Path, waits: bool = True) -> Iterator[bool]:
    """Hold the lock of a file that is about to be made; it goes with the process.

    Yields whether it is held: without ``waits`` another process may have it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{path}.lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True


def save(path: Path, **arrays: Any) -> None:
    """Write arrays so that the file is whole or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.stem}.{os.getpid()}.part.npz")
    np.savez_compressed(part, **arrays)
    part.rename(path)


@dataclass(frozen=True)
class Mark:
    """How answers are marked: a mark, its parameters, and the number of its key."""

    name: str
    mark: str = "countermark/1"
    parameters: dict[str, Any] = field(default_factory=dict, hash=False)
    words: int = 1
    key: int = 0
    prompt: int = 0  # tokens of an unmarked text that answers go on from

    def __str__(self) -> str:
        return f"{self.name}-{self.key}" + (f"-p{self.prompt}" if self.prompt else "")

    @property
    def has_accounts(self) -> bool:
        """Whether answers carry accounts."""
        return bool(self.parameters.get("accounts"))

    @property
    def is_ours(self) -> bool:
        """Whether it is none of the engines'."""
        return self.mark == "countermark/1"

    def ring(self) -> cm.KeyRing:
        """Return a ring with the profile "test"."""
        ring = cm.KeyRing.generate()
        if self.is_ours:
            ring.import_secret("test", self.key.to_bytes(32, "little"), **self.parameters)
        else:
            words = np.random.default_rng(self.key).integers(0, 2**63, self.words).tolist()
            ring.import_engine_key("test", self.mark, words, **self.parameters)
        return ring


def _starts() -> Ids:
    return np.full((AT_ONCE, 1), START, dtype=np.int32)


class Corpora:
    """The teacher's answers, made when first asked for and kept in a folder."""

    def __init__(self, folder: Path, teacher: Path) -> None:
        self.folder = folder
        self.teacher = teacher
        self._model: LanguageModel | None = None

    def unmarked(self, name: str, part: int = 0) -> Ids:
        """Return texts that nobody marked; each name and part has others."""
        seed = int.from_bytes(name[:4].encode(), "little") % 2**31 + 10_000 * part
        return self._get(
            f"unmarked-{name}-{part}", lambda model, begin: self._plain(model, seed + begin)
        )

    def marked(self, mark: Mark) -> Ids:
        """Return marked texts, each behind its prompt if there is one."""
        sampler = cm.Sampler(mark.ring(), "test")

        def make(model: LanguageModel, begin: int) -> Ids:
            accounts = [(begin + i) % ACCOUNTS for i in range(AT_ONCE)]
            prompts = _starts()
            if mark.prompt:
                prompts = self.unmarked("clean")[begin : begin + AT_ONCE, : 1 + mark.prompt]
            draw = marked(sampler, prompts, begin, accounts if mark.has_accounts else None)
            return self._answers(model, prompts, draw)

        return self._get(f"marked-{mark}", make)

    def _plain(self, model: LanguageModel, seed: int) -> Ids:
        return self._answers(model, _starts(), unmarked(seed))

    def _answers(self, model: LanguageModel, prompts: Ids, draw: Any) -> Ids:
        answers = model.answers(prompts, 1 + TOKENS - prompts.shape[1], draw)
        return np.concatenate([prompts, answers], axis=1)

    def _get(self, name: str, make: Any) -> Ids:
        path = self.folder / f"{name}.npz"
        with locked(path):
            if not path.exists():
                if self._model is None:
                    self._model, _ = LanguageModel.read(self.teacher)
                parts = [make(self._model, begin) for begin in range(0, TEXTS, AT_ONCE)]
                save(path, texts=np.concatenate(parts).astype(np.uint16))
        with np.load(path) as file:
            texts: Ids = file["texts"].astype(np.int32)
        return texts
