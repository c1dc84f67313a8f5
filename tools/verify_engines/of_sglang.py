"""SGLang's marks, with one key and with two."""

from __future__ import annotations

import math
import types
from collections.abc import Sequence
from typing import Any

import torch

from packages import draw, label, module, stub
from table import Check, Table
from texts import LARGE_VOCAB, Ids, Ours, Row, Shape, as_tensor, follow, random_ids, texts_for


class SglangLoop:
    """SGLang's watermark state of one request, on a CPU."""

    def __init__(self, shape: Shape, keys: Sequence[str], window: int, **options: Any) -> None:
        core = module("sglang.srt.sampling.watermarking.core")
        self.state = core.WatermarkState(
            max_num_reqs=1,
            context_window=window,
            max_contexts_per_req=4096,
            key=keys[0],
            key_b=keys[1] if len(keys) > 1 else None,
            device="cpu",
            default_enabled=True,
            **options,
        )
        self.row = torch.tensor([0])
        self.state.init_from_prompt(self.row, [list(shape.prompt[-window:])])
        self.info = types.SimpleNamespace(
            has_watermark_candidates=True,
            max_top_k=1 << 30,
            watermark_keys=None,
            watermark_context_windows=None,
            watermark_enabled=None,
            temperatures=torch.ones(1, 1),
            top_ks=torch.tensor([1 << 30]),
            top_ps=torch.ones(1),
            min_ps=torch.zeros(1),
        )

    def step(self, logits: Row) -> tuple[int, bool]:
        """Draw a token as SGLang does."""
        row = as_tensor(logits)
        before = int(self.state.num_watermarked_contexts[0])
        self.state.force(row, self.row, self.info)
        is_marked = int(self.state.num_watermarked_contexts[0]) > before
        token = draw(row)
        self.state.append(self.row, token)
        return int(token), is_marked


KEYS = ("0123456789abcdef", "f" * 16, "0x7", "8000000000000000")


def verify_mark(table: Table, is_dual: bool) -> None:
    """Compare SGLang's mark with one key or two."""
    mark = "sglang/aaronson-dual-1" if is_dual else "sglang/aaronson-1"
    check = Check(table, mark, label("sglang"))
    stub("sglang.kernels.ops.sampling.textseal_selector", watermark_selector_num_splits=lambda _: 1)
    for i, (window, mixing) in enumerate(((4, 0.5), (1, 0.3), (2, 0.9), (7, 0.01))):
        ours, theirs = pair_of(is_dual, i, window, mixing)
        for prompt in (None, (5,), (1, 2, 3), tuple(range(9))):
            for ids, is_marked in texts_for(ours, LARGE_VOCAB, prompt or ()):
                told = verify_text(check, (ours, theirs), ids, prompt)
                if is_marked:
                    check.found("SGLang's p-value of what countermark marks", told)
    verify_edges(check, is_dual)
    verify_loops(check, is_dual)
    check.report()


def pair_of(is_dual: bool, i: int, window: int, mixing: float) -> tuple[Ours, Any]:
    """Return both sides' detectors of one key."""
    kind = module("sglang.srt.sampling.watermarking.detector").WatermarkDetector
    key, key_b = KEYS[i], KEYS[i - 1]
    if not is_dual:
        ours = Ours.of("sglang/aaronson-1", key, context_window=window)
        return ours, kind(key, context_window=window)
    options = {"context_window": window, "mixing_probability": mixing}
    ours = Ours.of("sglang/aaronson-dual-1", [key, key_b], **options)
    return ours, kind(key, key_b=key_b, **options)


def verify_text(
    check: Check, pair: tuple[Ours, Any], ids: Ids, prompt: Sequence[int] | None
) -> float:
    """Compare what detectors say of a text; return log10 of SGLang's p-value."""
    ours, theirs = pair
    told = theirs.detect_tokens(ids, prompt_token_ids=prompt or ()).combined
    result, engine = ours.result(ids, prompt), ours.engine(ids, prompt)
    log10_p = float(told.log_p_value / math.log(10))
    check.same("tokens scored", result.scored, told.num_contexts)
    check.same("tokens the engine scores", engine.scored, told.num_contexts)
    check.same("sum of scores", result.score, told.score, 1e-9)
    check.same("the engine's sum", engine.score, told.score, 1e-9)
    check.same("log10 of the engine's p-value", engine.log10_p or 0.0, log10_p, 1e-9)
    check.same("log10 of our p-value", result.log10_p, log10_p, 1e-9)
    return log10_p


def verify_edges(check: Check, is_dual: bool) -> None:
    """Compare an empty prompt, a text of more than 4096 contexts, and one context's tokens."""
    ours, theirs = pair_of(is_dual, 0, 4, 0.5)
    ids = random_ids(1, 5000, 1000)
    told, result = theirs.detect_tokens(ids).combined, ours.result(ids)
    check.same("tokens scored of 5000", result.scored, told.num_contexts)
    check.same("sum of scores of 5000", result.score, told.score, 1e-8)
    for token in range(1000):
        score = theirs.detect_tokens([3, 1, 4, 1, token]).combined.score
        our_score = ours.score_of([3, 1, 4, 1], token)
        check.same("score of every token behind a context", our_score, score, 1e-12)
    told = theirs.detect_tokens(ids[:100], prompt_token_ids=()).combined
    engine = ours.engine(ids[:100], ())
    check.same("tokens the engine scores, empty prompt", engine.scored, told.num_contexts)
    check.same("the engine's sum, empty prompt", engine.score, told.score, 1e-9)


def verify_loops(check: Check, is_dual: bool) -> None:
    """Compare what both sides select."""
    shapes = [(Shape(200, 500), 4), (Shape(200, 500, (1, 2, 3, 4, 5, 6)), 4)]
    shapes += [(Shape(150, 4, (1,)), 2), (Shape(150, 4), 3), (Shape(150, 4, single_every=3), 3)]
    for gate in (1.0, 0.25):
        for seed, (shape, window) in enumerate(shapes):
            verify_loop(check, is_dual, seed, (shape, window), gate)
    if not is_dual:
        verify_loop(check, is_dual, 0, (Shape(4300, 40), 4), 1.0)


def verify_loop(
    check: Check, is_dual: bool, seed: int, case: tuple[Shape, int], gate: float
) -> None:
    """Compare what both sides select in one response."""
    shape, window = case
    keys = list(KEYS[seed % 3 :][: 1 + is_dual])
    options = {"mixing_probability": 0.3} if is_dual else {}
    options["max_probability"] = gate
    ours = Ours.of(check.mark, keys if is_dual else keys[0], context_window=window, **options)
    loop = SglangLoop(shape, keys, window, **options)
    ids = follow(check, "SGLang's state on a CPU", ours, loop, seed, shape)
    if shape.vocab == 500:
        log10_p = ours.result(ids, shape.prompt or None).log10_p
        check.found("our p-value of what SGLang marks", log10_p)


def verify(table: Table) -> None:
    """Compare SGLang's marks."""
    verify_mark(table, False)
    verify_mark(table, True)
