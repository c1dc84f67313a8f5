"""Answers of a real model, marked and unmarked, for the measurements in this folder."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)

import countermark as cm

Ids = npt.NDArray[np.int32]
Draw = Callable[[torch.Tensor], Ids]


@dataclass
class Settings:
    """How answers are sampled."""

    temperature: float
    top_p: float = 1.0

    def __str__(self) -> str:
        return f"{self.temperature:g}" + (f", {self.top_p:g}" if self.top_p < 1 else ", 1")


class Model:
    """A transformers model and its tokenizer, read from a folder."""

    def __init__(self, folder: Path) -> None:
        # A model this small loses more to threads than it gains, many times over on a busy machine.
        torch.set_num_threads(1)
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder)
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        # Every answer shall have its full length, so nothing may end it.
        self.forbidden = sorted(set(self.tokenizer.all_special_ids))
        # transformers 5.24 renamed the argument.
        renamed = "cache" in inspect.signature(self.model.forward).parameters
        self.cache_name = "cache" if renamed else "past_key_values"

    @torch.inference_mode()
    def _run(self, prompts: Sequence[Sequence[int]], tokens: int, draw: Draw) -> Ids:
        """Draw ``tokens`` tokens after each of ``prompts``, which have one length."""
        inputs = torch.tensor(prompts)
        cache = None
        drawn = []
        for _ in range(tokens):
            output = self.model(inputs, use_cache=True, **{self.cache_name: cache})
            cache = output.past_key_values
            logits = output.logits[:, -1].float()
            logits[:, self.forbidden] = -torch.inf
            drawn.append(draw(logits))
            inputs = torch.from_numpy(drawn[-1].astype(np.int64))[:, None]
        return np.stack(drawn, axis=1)

    def start(self, count: int) -> list[list[int]]:
        """Return ``count`` prompts of nothing but the start token."""
        return [[self.tokenizer.bos_token_id]] * count

    def prompt(self, text: str, count: int) -> list[list[int]]:
        """Return ``text`` as a prompt, ``count`` times."""
        ids = self.tokenizer.encode(text, add_special_tokens=False)
        return [[self.tokenizer.bos_token_id, *ids]] * count

    def marked(
        self,
        sampler: cm.Sampler,
        prompts: Sequence[Sequence[int]],
        tokens: int,
        settings: Settings,
        seed: int,
    ) -> tuple[Ids, list[cm.Sequence]]:
        """Return answers [prompts, tokens] drawn by ``sampler``, and their sequences."""
        sequences = [sampler.sequence(seed=seed * 65536 + i) for i in range(len(prompts))]
        return self._run(prompts, tokens, _marking(sampler, sequences, settings)), sequences

    def marked_by_many(
        self,
        samplers: Sequence[cm.Sampler],
        prompts: Sequence[Sequence[int]],
        tokens: int,
        settings: Settings,
        seed: int,
        accounts: Sequence[int | None] | None = None,
    ) -> Ids:
        """Return answers [prompts, tokens], each drawn by a sampler of its own, for an account."""
        sequences = [
            s.sequence(account=account, seed=seed * 65536 + i)
            for i, (s, account) in enumerate(
                zip(samplers, accounts or [None] * len(samplers), strict=True)
            )
        ]
        return self._run(prompts, tokens, _marking(samplers[0], sequences, settings))

    def unmarked(
        self, prompts: Sequence[Sequence[int]], tokens: int, settings: Settings, seed: int
    ) -> Ids:
        """Return answers drawn by torch, truncated by transformers: none of our code."""
        generator = torch.Generator().manual_seed(seed)
        warpers = LogitsProcessorList([TemperatureLogitsWarper(settings.temperature)])
        if settings.top_p < 1:
            warpers.append(TopPLogitsWarper(settings.top_p))

        def draw(logits: torch.Tensor) -> Ids:
            weights = torch.softmax(warpers(None, logits).double(), dim=-1)
            ids = torch.multinomial(weights, 1, generator=generator)[:, 0]
            return ids.numpy().astype(np.int32)

        return self._run(prompts, tokens, draw)


def _marking(sampler: cm.Sampler, sequences: Sequence[cm.Sequence], settings: Settings) -> Draw:
    """Return what draws each row by its sequence, whichever sampler that is of."""

    def draw(logits: torch.Tensor) -> Ids:
        return sampler.sample_batch(
            logits, sequences, temperature=settings.temperature, top_p=settings.top_p
        )

    return draw


def profile(model: Model, key: int, **parameters: Any) -> cm.KeyRing:
    """Return a ring with the profile "test" of the key that consists of the number ``key``."""
    ring = cm.KeyRing.generate()
    ring.import_secret("test", key.to_bytes(32, "little"), tokenizer=model.tokenizer, **parameters)
    return ring
