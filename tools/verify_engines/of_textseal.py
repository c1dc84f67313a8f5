"""TextSeal's mark, with one key: all that the package has."""

from __future__ import annotations

import contextlib
import io
import math
import types
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import countermark as cm
from packages import label, module
from table import Check, Table
from texts import LARGE_VOCAB, Ids, Ours, Shape, as_tensor, logits_of, random_ids, texts_for


@dataclass(frozen=True)
class Numbers:
    """A tokenizer whose texts are token ids."""

    vocab_size: int = LARGE_VOCAB

    def encode(self, text: str, **_: Any) -> Ids:
        """Read ids."""
        return [int(token) for token in text.split()]

    def decode(self, ids: Iterable[int]) -> str:
        """Write ids."""
        return " ".join(str(token) for token in ids)

    def add_special_tokens(self) -> None:
        """Exist, for TextSeal to take this for a tokenizer of transformers."""


@dataclass
class Scripted:
    """A model whose logits depend on the position alone."""

    seed: int
    vocab: int
    config: Any = None
    device: str = "cpu"
    steps: int = 0

    def __post_init__(self) -> None:
        self.config = types.SimpleNamespace(
            vocab_size=self.vocab, pad_token_id=self.vocab, max_position_embeddings=4096
        )

    def forward(self, *_: Any, past_key_values: Any, **__: Any) -> Any:
        """Return the next position's logits."""
        row = as_tensor(logits_of(self.seed, self.steps, self.vocab))
        self.steps += 1
        return types.SimpleNamespace(logits=row.unsqueeze(0), past_key_values=past_key_values)


def config_of(key: int, ngram: int, scoring: str = "v1") -> Any:
    """Return TextSeal's configuration."""
    kind = module("textseal.common.watermark.core").WatermarkConfig
    return kind(secret_key=key, ngram=ngram, watermark_type="gumbelmax", scoring_method=scoring)


def verdict_of(config: Any, ids: Ids) -> tuple[int, float, float]:
    """Return TextSeal's n, score and p-value."""
    detector = module("textseal.posthoc.detector").build_detector(Numbers(), config)
    text = Numbers().decode(ids)
    (scores,) = detector.get_scores_by_t([text], config.scoring_method, seen_windows=set())
    return len(scores), sum(scores), float(detector.get_pvalue(sum(scores), len(scores), 1e-300))


def generate(config: Any, seed: int, shape: Shape) -> Ids:
    """Return a response that TextSeal generates."""
    kind = module("textseal.posthoc.generator").GumbelmaxGenerator
    with contextlib.redirect_stdout(io.StringIO()):  # it says that there is no end token
        generator = kind(Scripted(seed, shape.vocab), Numbers(), config)
    prompt = Numbers().decode(shape.prompt)
    (text,) = generator.generate([prompt], shape.tokens, temperature=1.0, top_p=1.0)
    return Numbers().encode(text)


KEYS = ((42, 1), (0, 2), (-5, 3), (2**62 + 12345, 10))


def verify(table: Table) -> None:
    """Compare TextSeal's mark with one key, all that the package has."""
    check = Check(table, "meta/textseal-1", label("textseal"))
    for key, ngram in KEYS:
        verify_hash(check, key, ngram)
        for scoring in ("v1", "v2"):
            verify_texts(check, config_of(key, ngram, scoring))
    verify_selection(check)
    verify_underflow(check)
    profile = cm.KeyRing.generate().import_engine_key("engine", check.mark, 42)
    theirs = module("textseal.common.watermark.core").WatermarkConfig().scoring_method
    difference = f"{profile.parameters['scoring_method']} here, {theirs} there"
    check.remark("default of scoring_method", difference)
    check.report()


def verify_hash(check: Check, key: int, ngram: int) -> None:
    """Compare the hash of tokens behind a context."""
    prf = module("textseal.common.watermark.pseudorandom").prf_uniform
    ours = Ours.of(check.mark, key, ngram=ngram)
    context = random_ids(ngram, ngram, LARGE_VOCAB)
    for token in range(0, LARGE_VOCAB, 500):
        # The token of the first whole context is not scored: one more comes before.
        score = ours.result([0, *context, token]).score
        u = prf(torch.tensor([context]), torch.tensor([token]), key)
        ours_hash, theirs = round(8191 * -math.expm1(-score)), round(8191 * float(u))
        check.same("hash of tokens behind a context", ours_hash, theirs)


def verify_texts(check: Check, config: Any) -> None:
    """Compare what detectors say of texts."""
    options = {"ngram": config.ngram, "scoring_method": config.scoring_method}
    ours = Ours.of(check.mark, config.secret_key, **options)
    for ids, is_marked in texts_for(ours, LARGE_VOCAB):
        n, score, p = verdict_of(config, ids)
        result, engine = ours.result(ids), ours.engine(ids)
        check.same("tokens scored", result.scored, n)
        check.same("tokens the engine scores", engine.scored, n)
        check.same("the engine's sum, in floats (ratio)", engine.score / score, 1.0, 1e-6)
        check.same("log10 of the engine's p-value", engine.log10_p or 0.0, math.log10(p), 1e-4)
        check.same("log10 of our p-value, not in floats", result.log10_p, math.log10(p), 0.01)
        if is_marked:
            check.found("TextSeal's p-value of what countermark marks", math.log10(p))


def verify_selection(check: Check) -> None:
    """Compare what both sides generate, behind a prompt as long as the context and a short one."""
    for what, prompt in (("", tuple(range(11, 21))), (", prompt shorter than ngram", (11,))):
        for seed, (key, ngram) in enumerate(KEYS):
            shape = Shape(200, 500, prompt)
            ours = Ours.of(check.mark, key, ngram=ngram)
            ids = generate(config_of(key, ngram), seed, shape)
            sequence = ours.sampler.sequence(seed=0, prompt=list(prompt))
            for step, token in enumerate(ids):
                selected = sequence.select(logits_of(seed, step, shape.vocab))
                check.holds(f"TextSeal's generate(){what}: the same tokens", selected == token)
                sequence.observe(token)
            check.found("our p-value of what TextSeal marks", ours.result(ids).log10_p)


def verify_underflow(check: Check) -> None:
    """Compare selections where the likeliest token has the uniform 0, and powers underflow."""
    kind = module("textseal.posthoc.generator").GumbelmaxGenerator
    prf = module("textseal.common.watermark.pseudorandom").prf_uniform
    generator = object.__new__(kind)
    generator.wm_args = config_of(42, 1)
    ours = Ours.of(check.mark, 42)
    contexts = torch.arange(300_000)
    zeros = contexts[prf(contexts[:, None], torch.zeros_like(contexts), 42) == 0].tolist()
    for i, context in enumerate(zeros):
        for mass in (0.5, 0.03, 0.02, 0.015, 0.012, 0.01, 0.009, 0.003, 0.0003):
            rest = np.exp(logits_of(i, 0, 200).astype(np.float64))
            weights = np.concatenate([[1 - mass], mass * rest / rest.sum()])
            row = np.log(weights).astype(np.float32)
            selected = ours.sampler.sequence(seed=0, prompt=[context]).select(row)
            token = generator.sample_next(as_tensor(row), torch.tensor([[context]]), 1.0, 1.0)
            check.holds("likeliest token with u = 0: the same tokens", selected == int(token))
