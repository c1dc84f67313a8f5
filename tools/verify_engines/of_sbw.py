"""sbw's marks, and the processor of vllm-sbw."""

from __future__ import annotations

import math
import types
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from scipy import stats

from packages import label, module
from table import Check, Table
from texts import Ids, Ours, Row, as_tensor, logits_of, random_ids, texts_for

#: The scheme's name in sbw, by its name here and generator.
SCHEMES = {
    ("sbw/lefthash-1", "philox"): "gpu-simple_1",
    ("sbw/lefthash-1", "randperm"): "lefthash",
    ("sbw/selfhash-1", "philox"): "gpu-fused-selfhash-fullvocab",
    ("sbw/selfhash-1", "randperm"): "selfhash",
}


@dataclass(frozen=True)
class Case:
    """A key with its parameters."""

    mark: str
    generator: str
    key: int = 15485863
    vocab: int = 500
    gamma: float = 0.5
    delta: float = 2.0

    @property
    def scheme(self) -> str:
        """The name of it in sbw."""
        return SCHEMES[self.mark, self.generator]

    def ours(self) -> Ours:
        """Return countermark's side."""
        size = {"vocab_size": self.vocab} if self.generator == "randperm" else {}
        options = {"gamma": self.gamma, "delta": self.delta, "generator": self.generator}
        return Ours.of(self.mark, self.key, **options, **size)

    def detector(self) -> Any:
        """Return sbw's detector."""
        return module("sbw.detector").WatermarkDetector(
            device=torch.device("cpu"),
            tokenizer=types.SimpleNamespace(bos_token_id=-1),
            vocab=list(range(self.vocab)),
            gamma=self.gamma,
            seeding_scheme=self.scheme,
            hash_key=self.key,
            normalizers=[],
        )


class SbwLoop:
    """vllm-sbw's logits processor of one request, on a CPU, at temperature 0."""

    def __init__(self, case: Case, prompt: Sequence[int]) -> None:
        processors = module("vllm_sbw.logits_processor")
        processors.AutoTokenizer = types.SimpleNamespace(
            from_pretrained=lambda _: range(case.vocab)  # len() is all that is asked of it
        )
        model = types.SimpleNamespace(model_config=types.SimpleNamespace(model=""))
        self.processor = processors.SBWLogitsProcessor(model, torch.device("cpu"), False)
        self.output: Ids = []
        extra = {
            "gamma": case.gamma,
            "delta": case.delta,
            "seeding_scheme": case.scheme,
            "hash_key": case.key,
        }
        added = [(0, types.SimpleNamespace(extra_args=extra), list(prompt), self.output)]
        update = types.SimpleNamespace(removed=[], added=added, moved=[])
        self.processor.update_state(update)

    def step(self, logits: Row) -> tuple[int, bool]:
        """Take the likeliest token."""
        token = int(self.processor.apply(as_tensor(logits)).argmax())
        self.output.append(token)
        return token, True


def verify_mark(table: Table, mark: str, generator: str) -> None:
    """Compare one scheme of sbw."""
    check = Check(table, mark, f"{label('sbw')} ({generator})")
    cases = [
        Case(mark, generator),
        Case(mark, generator, key=2**50 + 977, delta=4.0),
        Case(mark, generator, key=2**63 - 25),
    ]
    for case in cases:
        verify_greens(check, case)
        verify_texts(check, case, "")
        verify_selection(check, case)
    uneven = Case(mark, generator, vocab=501, gamma=0.3)
    verify_texts(check, uneven, ", gamma * vocab_size not whole")
    # Few green tokens, so that it matters which of the likeliest are looked at.
    verify_selection(check, Case(mark, generator, gamma=0.02, delta=50.0), ", few green")
    check.report()


def verify_greens(check: Check, case: Case) -> None:
    """Compare whether tokens are green behind contexts."""
    ours, theirs = case.ours(), case.detector()
    is_self = theirs.watermark.self_salt
    width = theirs.watermark.context_width - is_self
    for seed in range(3):
        context = random_ids(seed, width, case.vocab)
        for token in range(0, case.vocab, 3):
            prefix = (*context, token) if is_self else tuple(context)
            score = ours.result([*context, token]).score
            is_green = theirs._is_token_green(prefix, token)
            check.same("whether tokens are green", score, is_green)


def log10_p_of(detector: Any, ids: Ids, share: float) -> float:
    """Return the p-value that docs/spec/green-lists.md defines, from the engine's own seeds."""
    mark = detector.watermark
    width = mark.context_width - mark.self_salt
    seen, hits = set(), 0
    for i in range(width, len(ids)):
        prefix = tuple(ids[i - width : i + mark.self_salt])
        seed = int(mark._compute_seeds(torch.tensor([prefix]))[0])
        if seed != 0 and (seed, ids[i]) not in seen:
            seen.add((seed, ids[i]))
            hits += detector._is_token_green(prefix, ids[i])
    return float(stats.binom.logsf(hits - 1, len(seen), share) / math.log(10))


def verify_texts(check: Check, case: Case, what: str) -> None:
    """Compare what detectors say of texts."""
    ours, theirs = case.ours(), case.detector()
    share = math.floor(case.gamma * (2**31 - 1)) / 2**31
    if case.generator == "randperm":
        share = math.floor(case.gamma * case.vocab) / case.vocab
    for ids, is_marked in texts_for(ours, case.vocab):
        told = theirs.detect(tokenized_text=torch.tensor(ids), return_prediction=False)
        engine = ours.engine(ids)
        p = float(stats.norm.logsf(told["z_score"]) / math.log(10))
        check.same(f"n-grams the engine scores{what}", engine.scored, told["num_tokens_scored"])
        check.same(f"green ones{what}", engine.score, told["num_green_tokens"])
        check.same(f"log10 of the engine's p-value{what}", engine.log10_p or 0.0, p, 1e-6)
        exact = log10_p_of(theirs, ids, share)
        name = f"log10 of our p-value, from the engine's seeds{what}"
        check.same(name, ours.result(ids).log10_p, exact, 1e-9)
        if is_marked and case.gamma == 0.5:
            check.found("sbw's p-value of what countermark marks", p, -6)


def verify_selection(check: Check, case: Case, what: str = "") -> None:
    """Compare the likeliest tokens after the bias, behind prompts and without."""
    for seed, prompt in enumerate(((), (5,), (9, 8, 7, 6, 5, 4))):
        ours, loop = case.ours(), SbwLoop(case, prompt)
        sequence = ours.sampler.sequence(seed=0, prompt=list(prompt))
        for step in range(200):
            logits = logits_of(seed, step, case.vocab)
            selected = sequence.select(logits, temperature=0.0)
            token, _ = loop.step(logits)
            sequence.observe(token)
            check.holds(f"vllm-sbw's processor{what}: the same tokens", selected == token)
        check.found("our p-value of what vllm-sbw marks", ours.result(loop.output).log10_p, -6)


def verify(table: Table) -> None:
    """Compare sbw's marks."""
    for mark, generator in SCHEMES:
        verify_mark(table, mark, generator)
