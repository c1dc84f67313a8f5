"""The embedded story model: something to mark where no other model is at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from countermark import _core
from countermark._errors import CountermarkError
from countermark.tokenizers import Tokenizer, require_same_tokenizer

if TYPE_CHECKING:
    from countermark import _story

_DATA = Path(__file__).parent / "story"
_BATCH = 32

STORY_FINGERPRINT = "f98c49270b142ead7e24f587f6866056"
"""Names the story model's tokenizer; known without sentencepiece."""


@dataclass(frozen=True)
class Answer:
    """One response of a model."""

    ids: npt.NDArray[np.int32]
    """The tokens, without the prompt and without the end token."""
    text: str
    stats: _core.SequenceStats
    """What became of the tokens, the end token included."""


class Story:
    """A transformer of two megabytes that tells short stories in simple English.

    It exists to show marking and detection on a real model; nobody should read its stories for
    their own sake.
    """

    def __init__(self) -> None:
        """Load the model. Raises CountermarkError where its data or sentencepiece is missing."""
        try:
            from countermark import _story as native
        except ImportError as error:
            raise CountermarkError(
                f"this build of countermark has no story model: {error}", "file_failure"
            ) from error
        weights = _DATA / "story.safetensors"
        if not weights.is_file():
            raise CountermarkError(f"the story model's data is not at {weights}", "file_failure")
        self.tokenizer = story_tokenizer()
        self._native = native
        self._model = native.Model.load(weights)

    def generate(
        self,
        sampler: _core.Sampler | None,
        prompts: Sequence[str] = ("",),
        *,
        max_tokens: int = 300,
        min_tokens: int = 0,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        accounts: Sequence[int | None] | None = None,
        seed: int | None = None,
        progress: Callable[[int], None] | None = None,
        done: Callable[[Answer], None] | None = None,
    ) -> list[Answer]:
        """Answer each of ``prompts``, marked by ``sampler`` (None: unmarked).

        A prompt is no part of its response: the marking sequence begins at the first token that
        is generated. An answer ends after ``max_tokens`` (1 or more), or where the model ends
        it, which it cannot before ``min_tokens``. ``accounts`` holds one account for each
        prompt. ``seed`` makes the free draws repeatable: prompt i draws with seed + i.
        ``progress`` is told how many tokens each step made. ``done`` is told every answer, in
        order, as soon as it and those before it are complete.
        """
        if max_tokens < 1:
            raise CountermarkError(f"max_tokens must be 1 or more, got {max_tokens}")
        if sampler is None:
            sampler = unmarked_sampler()
        else:
            require_tokenizer_of_model(sampler.profile, self.tokenizer)
        if accounts is None:
            accounts = [None] * len(prompts)
        elif len(accounts) != len(prompts):
            raise CountermarkError(
                f"accounts has {len(accounts)} entries for {len(prompts)} prompts", "size_mismatch"
            )
        marking = [
            sampler.sequence(
                account=account,
                seed=None if seed is None else seed + i,
                prompt=[self._model.bos, *self.tokenizer.encode(prompts[i]).tolist()],
            )
            for i, account in enumerate(accounts)
        ]
        answers: list[Answer] = []
        for first in range(0, len(prompts), _BATCH):
            for complete in self._decode(
                sampler,
                prompts[first : first + _BATCH],
                marking[first : first + _BATCH],
                (min_tokens, max_tokens),
                {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p},
                progress,
            ):
                for sequence in marking[len(answers) : first + complete]:
                    answers.append(self._answer(sequence))
                    if done:
                        done(answers[-1])
        return answers

    def _decode(
        self,
        sampler: _core.Sampler,
        prompts: Sequence[str],
        marking: Sequence[_core.Sequence],
        limits: tuple[int, int],
        options: dict[str, Any],
        progress: Callable[[int], None] | None,
    ) -> Iterator[int]:
        """Sample, and yield now and then how many of the first answers are complete."""
        caches = [self._native.Sequence(self._model) for _ in prompts]
        logits = np.concatenate(
            [self._read(cache, prompt) for cache, prompt in zip(caches, prompts, strict=True)]
        )
        is_open = list(range(len(prompts)))
        for made in range(limits[1]):
            if made < limits[0]:
                logits[:, self._model.eos] = -np.inf
            tokens = sampler.sample_batch(logits, [marking[i] for i in is_open], **options)
            if progress:
                progress(len(is_open))
            goes_on = tokens != self._model.eos
            is_open = [i for i, on in zip(is_open, goes_on, strict=True) if on]
            if not is_open:
                break
            yield is_open[0]
            logits = self._native.step(
                self._model, [caches[i] for i in is_open], tokens[goes_on].tolist()
            )
        yield len(prompts)

    def _read(self, cache: _story.Sequence, prompt: str) -> npt.NDArray[np.float32]:
        tokens = [self._model.bos, *self.tokenizer.encode(prompt).tolist()]
        for token in tokens:
            logits: npt.NDArray[np.float32] = self._native.step(self._model, [cache], [token])
        return logits

    def _answer(self, sequence: _core.Sequence) -> Answer:
        ids = sequence.tokens
        if len(ids) and ids[-1] == self._model.eos:
            ids = ids[:-1]
        return Answer(ids, self.tokenizer.decode(ids), sequence.stats)


def story_tokenizer() -> Tokenizer:
    """Return the story model's tokenizer. Needs the package sentencepiece."""
    path = _DATA / "story.model"
    if not path.is_file():
        raise CountermarkError(f"the story model's tokenizer is not at {path}", "file_failure")
    return Tokenizer(Tokenizer.load(path), "countermark-story")


def require_tokenizer_of_model(profile: _core.Profile, tokenizer: Tokenizer) -> None:
    """Raise unless ``profile`` is for the tokenizer of the model, or for none in particular."""
    require_same_tokenizer(profile, tokenizer, "the model's is")


def unmarked_sampler() -> _core.Sampler:
    """Return a sampler that leaves every position free: ordinary sampling."""
    ring = _core.KeyRing.generate()
    ring.create_profile("unmarked", narrow_units=0, free_units=65536)
    return _core.Sampler(ring, "unmarked")
