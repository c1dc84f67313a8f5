"""vLLM's marks, with one key and with two."""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from scipy import integrate, special, stats

import countermark as cm
from packages import label, module
from table import Check, Table
from texts import (
    LARGE_VOCAB,
    WORDS,
    Floats,
    Ids,
    Ours,
    Row,
    Shape,
    as_tensor,
    follow,
    logits_of,
    random_ids,
    texts_for,
)


class VllmLoop:
    """vLLM's own sampler of one request, on a CPU."""

    def __init__(
        self, watermarker: Any, prompt: Sequence[int], scope: str, history: int | None
    ) -> None:
        kind = module("vllm.v1.watermarking.gpu_sampler").GPUWatermarkSampler
        self.sampler = object.__new__(kind)
        self.ids = torch.zeros((1, 4096), dtype=torch.int32)
        self.ids[0, : len(prompt)] = torch.tensor(prompt, dtype=torch.int32)
        self.length = torch.tensor([len(prompt)], dtype=torch.int32)
        one = types.SimpleNamespace
        self.sampler.watermarker = watermarker
        self.sampler.deduplicate_contexts = scope
        self.sampler.deduplicate_contexts_max_history = history
        self.sampler.watermarking = one(np=np.array([True]), gpu=torch.tensor([True]))
        self.sampler.use_fp64_gumbel = False
        self.sampler.sampling_states = one(
            temperature=one(np=np.ones(1), gpu=torch.ones(1)),
            seeds=one(gpu=torch.zeros(1)),
            any_greedy=lambda _: False,
        )
        self.sampler.req_states = one(
            all_token_ids=one(gpu=self.ids),
            prompt_len=one(gpu=self.length.clone()),
            total_len=one(gpu=self.length),
        )

    def step(self, logits: Row) -> tuple[int, bool]:
        """Draw a token as vLLM does."""
        row = torch.tensor([0])
        is_repeated = False
        if self.sampler.deduplicate_contexts != "none":
            contexts = self.sampler._get_contexts(row)
            is_repeated = bool(self.sampler._get_repeated_contexts(row, contexts)[0])
        arguments = (row, np.array([0]), self.length, None, None, False, False)
        sampled, _ = self.sampler._sample_random(as_tensor(logits), *arguments)
        self.ids[0, int(self.length)] = int(sampled)
        self.length += 1
        return int(sampled), not is_repeated


def scores_of(detector: Any, ids: Ids) -> Floats:
    """Return vLLM's scores of the tokens it scores."""
    scores = detector._score_tokens(*detector._prepare_inputs(ids))
    return np.asarray(scores, dtype=np.float64)


def verify_texts(check: Check, detector_of: Callable[[int, int], Any], is_dual: bool) -> None:
    """Compare what detectors say of texts."""
    parameters = {"alpha": 0.25} if is_dual else {}
    for key, width in ((42, 4), (0, 1), (WORDS - 1, 2), (2**63 + 11, 5), (123456789, 16)):
        ours = Ours.of(check.mark, key, context_width=width, **parameters)
        theirs = detector_of(key, width)
        for ids, is_marked in texts_for(ours, LARGE_VOCAB):
            detection, engine, told = ours.detect(ids), ours.engine(ids), theirs.detect(ids)
            check.same("tokens scored", detection.scored, told.num_scored_tokens)
            check.same("tokens the engine scores", engine.scored, told.num_scored_tokens)
            check.same("sum of scores", detection.results[0].score, told.score, 1e-9)
            check.same("the engine's sum", engine.score, told.score, 1e-9)
            their_p = math.log10(told.p_value)
            check.same("log10 of the engine's p-value", engine.log10_p or 0.0, their_p, 1e-6)
            if is_marked:
                check.found("vLLM's p-value of what countermark marks", their_p)
            if not is_dual:
                scores = detection.token_scores
                scores = scores[~np.isnan(scores)]
                check.all_same("score of every token", scores, scores_of(theirs, ids), 1e-12)
                our_p = detection.results[0].log10_p
                check.same("log10 of our p-value", our_p, their_p, 1e-9)


def shapes() -> Iterable[tuple[Shape, dict[str, Any]]]:
    """Return responses with every way to treat repeats."""
    yield Shape(200, 500), {}
    yield Shape(200, 500, (7, 8, 9, 7, 8, 9)), {"context_width": 2}
    few, prompt = 4, (0, 1, 2, 3, 3, 2, 1, 0)
    for scope in ("single_turn", "all", "none"):
        yield Shape(150, few, prompt), {"context_width": 2, "deduplicate_contexts": scope}
        limited = {"deduplicate_contexts": scope, "deduplicate_contexts_max_history": 7}
        yield Shape(150, few, prompt), {"context_width": 2, **limited}
    unlimited = {"deduplicate_contexts_max_history": None}
    yield Shape(150, few, prompt), {"context_width": 3, **unlimited}


def loop_of(watermarker: Any, shape: Shape, parameters: dict[str, Any]) -> VllmLoop:
    """Begin a response in vLLM."""
    return VllmLoop(
        watermarker,
        shape.prompt,
        parameters.get("deduplicate_contexts", "single_turn"),
        parameters.get("deduplicate_contexts_max_history", 8192),
    )


def verify_gumbel(table: Table) -> None:
    """Compare vLLM's mark with one key."""
    check = Check(table, "vllm/gumbel-1", label("vllm"))
    gumbel = module("vllm.v1.watermarking.gumbel")
    verify_texts(check, gumbel.GumbelWatermarkDetector, False)
    for seed, (shape, parameters) in enumerate(shapes()):
        ours = Ours.of(check.mark, 42 + seed, **parameters)
        watermarker = gumbel.GumbelWatermarker(42 + seed, parameters.get("context_width", 4))
        loop = loop_of(watermarker, shape, parameters)
        scope = parameters.get("deduplicate_contexts", "default")
        ids = follow(check, f"vLLM's sampler on a CPU, scope {scope}", ours, loop, seed, shape)
        if seed == 0:
            check.found("our p-value of what vLLM marks", ours.result(ids).log10_p)
    verify_defaults(check)
    check.report()


def verify_defaults(check: Check) -> None:
    """Compare the defaults of vLLM's configuration, and what becomes of one that is imported."""
    kind = module("vllm.config.watermarking").WatermarkConfig
    names = ("context_width", "deduplicate_contexts", "deduplicate_contexts_max_history", "alpha")
    for algorithm in ("gumbel", "dual_key_gumbel"):
        config = {"key": 1, "algorithm": algorithm}
        profile = cm.KeyRing.generate().import_engine_key("engine", config=config)
        for name in names:
            if name in profile.parameters:
                is_same = profile.parameters[name] == getattr(kind(**config), name)
                check.holds("defaults of the configuration", is_same)


def verify_dual(table: Table) -> None:
    """Compare vLLM's mark with two keys."""
    check = Check(table, "vllm/dual-gumbel-1", label("vllm"))
    gumbel = module("vllm.v1.watermarking.gumbel")

    def detector(key: int, width: int) -> Any:
        return gumbel.DualKeyGumbelWatermarkDetector(key, width, alpha=0.25)

    verify_texts(check, detector, True)
    verify_dual_tail(check, 0.25)
    shape = Shape(200, 500)
    for alpha, name in ((0.0, "A"), (1.0, "B")):
        ours = Ours.of(check.mark, 42, alpha=alpha)
        watermarker = gumbel.DualKeyGumbelWatermarker(42, alpha=alpha)
        follow(
            check, f"vLLM's sampler, key {name}", ours, loop_of(watermarker, shape, {}), 1, shape
        )
    verify_dual_coin(check, gumbel)
    check.report()


def verify_dual_tail(check: Check, alpha: float) -> None:
    """Compare our p-value with the law of the engine's score, integrated numerically."""
    ours = Ours.of(check.mark, 42, alpha=alpha)
    for tokens in (1, 2, 40):
        for ids in (random_ids(tokens, tokens, 1000), ours.mark(tokens, 1000, tokens)):
            result = ours.result(ids)
            p = tail_of_pair(result.scored, (1 - alpha, alpha), result.score)
            check.same("log10 of our p-value, by integration", result.log10_p, math.log10(p), 1e-5)


def verify_dual_coin(check: Check, gumbel: Any) -> None:
    """Compare how often key B draws, and that every token is either key's."""
    shape, alpha = Shape(300, 500), 0.4
    both = [Ours.of(check.mark, 42, alpha=share) for share in (0.0, 1.0)]
    ours = Ours.of(check.mark, 42, alpha=alpha)
    loop = loop_of(gumbel.DualKeyGumbelWatermarker(42, alpha=alpha), shape, {})
    theirs = [loop.step(logits_of(5, i, shape.vocab))[0] for i in range(shape.tokens)]
    for ids in (ours.mark(shape.tokens, shape.vocab, 5), theirs):
        of_a, of_b = ([*choices(one, ids, 5, shape.vocab)] for one in both)
        drawn_by_b = [t == b for t, a, b in zip(ids, of_a, of_b, strict=True) if a != b]
        for token, *pair in zip(ids, of_a, of_b, strict=True):
            check.holds("every token is one key's or the other's", token in pair)
        four_deviations = 4 * math.sqrt(alpha * (1 - alpha) / len(drawn_by_b))
        share = sum(drawn_by_b) / len(drawn_by_b)
        check.same("share of key B against alpha", share, alpha, four_deviations)
    check.found("our p-value of what vLLM marks", ours.result(theirs).log10_p)


def choices(ours: Ours, ids: Ids, seed: int, vocab: int) -> Iterable[int]:
    """Return what countermark selects at every position of a text."""
    sequence = ours.sampler.sequence(seed=0)
    for step, token in enumerate(ids):
        yield sequence.select(logits_of(seed, step, vocab))
        sequence.observe(token)


def tail_of_pair(n: int, weights: tuple[float, float], score: float) -> float:
    """Return P(a G + b H >= score), G and H Gamma(n, 1), by integration over G."""
    a, b = weights
    x = np.linspace(0.0, score / a, 400_001)
    inner = stats.gamma.pdf(x, n) * special.gammaincc(n, (score - a * x) / b)
    return float(integrate.trapezoid(inner, x) + special.gammaincc(n, score / a))


def verify(table: Table) -> None:
    """Compare vLLM's marks."""
    verify_gumbel(table)
    verify_dual(table)
