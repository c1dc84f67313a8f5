"""Language models of the study: a teacher that is read, students that are trained."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

import countermark as cm

Ids = npt.NDArray[np.int32]
Draw = Callable[[torch.Tensor], Ids]

# A model this small loses more to threads than it gains: run several studies instead.
torch.set_num_threads(1)


@dataclass(frozen=True)
class Size:
    """How large a student is."""

    hidden: int
    layers: int
    heads: int


SIZES = {"tiny": Size(64, 2, 2), "small": Size(128, 4, 4), "large": Size(256, 6, 8)}


@dataclass(frozen=True)
class Training:
    """How a student is trained."""

    epochs: int = 3
    rate: float = 2e-3
    rows: int = 16  # texts in one step


class LanguageModel:
    """A causal language model without its tokenizer."""

    def __init__(self, model: Any) -> None:
        self.model = model
        # transformers 5.24 renamed the argument.
        renamed = "cache" in inspect.signature(model.forward).parameters
        self.cache_name = "cache" if renamed else "past_key_values"

    @classmethod
    def read(cls, folder: Path) -> tuple[LanguageModel, Any]:
        """Return a model and its tokenizer."""
        return cls(AutoModelForCausalLM.from_pretrained(folder)), AutoTokenizer.from_pretrained(
            folder
        )

    @classmethod
    def initialised(cls, size: Size, vocab: int, seed: int) -> LanguageModel:
        """Return a student that has learned nothing."""
        torch.manual_seed(seed)
        config = LlamaConfig(
            vocab_size=vocab,
            hidden_size=size.hidden,
            intermediate_size=size.hidden * 8 // 3 // 16 * 16,
            num_hidden_layers=size.layers,
            num_attention_heads=size.heads,
            num_key_value_heads=size.heads,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=0,
        )
        return cls(LlamaForCausalLM(config))

    def parameters(self) -> int:
        """Return how many numbers are learned."""
        return sum(p.numel() for p in self.model.parameters())

    def train(
        self, texts: Ids, training: Training, seed: int, done: Callable[[float], None]
    ) -> float:
        """Train on texts [n, tokens], all of one length; return the last epoch's mean loss."""
        order = np.random.default_rng(seed)
        optimiser = torch.optim.AdamW(
            self.model.parameters(), lr=training.rate, betas=(0.9, 0.95), weight_decay=0.1
        )
        steps = training.epochs * (len(texts) // training.rows)
        warm = min(50, steps // 10 + 1)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser,
            lambda step: min(
                (step + 1) / warm, 0.1 + 0.45 * (1 + math.cos(math.pi * min(1.0, step / steps)))
            ),
        )
        self.model.train()
        step = 0
        loss_sum = 0.0
        for _ in range(training.epochs):
            rows = order.permutation(len(texts))
            loss_sum = 0.0
            for begin in range(0, len(texts) - training.rows + 1, training.rows):
                batch = torch.from_numpy(
                    texts[rows[begin : begin + training.rows]].astype(np.int64)
                )
                with torch.autocast("cpu", torch.bfloat16):
                    logits = self.model(batch[:, :-1], use_cache=False).logits.float()
                loss: Any = torch.nn.functional.cross_entropy(
                    logits.flatten(0, 1), batch[:, 1:].flatten()
                )
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
                optimiser.step()
                schedule.step()
                step += 1
                loss_sum += loss.item()
                done(step / steps)
        self.model.eval()
        return loss_sum / (len(texts) // training.rows)

    @torch.inference_mode()
    def answers(self, prompts: Ids, tokens: int, draw: Draw) -> Ids:
        """Return answers [n, tokens] to prompts [n, m]; special tokens (0 to 2) are never drawn."""
        self.model.eval()
        inputs = torch.from_numpy(prompts.astype(np.int64))
        cache = None
        drawn = []
        for _ in range(tokens):
            output = self.model(inputs, use_cache=True, **{self.cache_name: cache})
            cache = output.past_key_values
            logits = output.logits[:, -1].float()
            logits[:, :3] = -torch.inf
            drawn.append(draw(logits))
            inputs = torch.from_numpy(drawn[-1].astype(np.int64))[:, None]
        return np.stack(drawn, axis=1)

    @torch.inference_mode()
    def predictions(
        self, texts: Ids, most: int
    ) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.float16]]:
        """Return of each token of texts [n, m] (but the first) the likeliest ids, and how likely.

        Both [n, m - 1, most].
        """
        ids, probabilities = [], []
        for begin in range(0, len(texts), 16):
            batch = torch.from_numpy(texts[begin : begin + 16].astype(np.int64))
            logits = self.model(batch[:, :-1], use_cache=False).logits.float()
            logits[..., :3] = -torch.inf
            top = torch.softmax(logits, -1).topk(most, -1)
            ids.append(top.indices.numpy().astype(np.uint16))
            probabilities.append(top.values.numpy().astype(np.float16))
        return np.concatenate(ids), np.concatenate(probabilities)


def unmarked(seed: int, temperature: float = 1.0) -> Draw:
    """Return what draws by the inverse of the distribution function: none of our code."""
    random = np.random.default_rng(seed)

    def draw(logits: torch.Tensor) -> Ids:
        sums = torch.softmax(logits.double() / temperature, dim=-1).cumsum(-1)
        points = torch.from_numpy(random.random((len(logits), 1))) * sums[:, -1:]
        return torch.searchsorted(sums, points, right=True)[:, 0].numpy().astype(np.int32)

    return draw


def marked(sampler: cm.Sampler, prompts: Ids, seed: int, accounts: Sequence[int] | None) -> Draw:
    """Return what draws responses to prompts [n, m] by ``sampler``."""
    sequences = [
        sampler.sequence(None if accounts is None else accounts[i], seed + i, prompt=prompt)
        for i, prompt in enumerate(prompts)
    ]

    def draw(logits: torch.Tensor) -> Ids:
        return sampler.sample_batch(logits, sequences)

    return draw
