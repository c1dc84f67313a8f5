"""SynthID's marks: the package's, and that of a later checkout."""

from __future__ import annotations

import importlib
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import stats

import countermark as cm
from packages import draw, label, module
from table import Check, Table
from texts import (
    LARGE_VOCAB,
    WORDS,
    Floats,
    Ids,
    Ours,
    Row,
    as_tensor,
    logits_of,
    random_ids,
    texts_for,
)

DEPTHS = {1: [7], 9: [654, 400, 836, 123, 340, 443, 597, 160, 57]}
MULTIPLIER = 6364136223846793005


def keys_of(depth: int) -> list[int]:
    """Return keys of so many layers."""
    if depth in DEPTHS:
        return DEPTHS[depth]
    numbers = np.random.default_rng(depth).integers(-(2**63), 2**63 - 1, depth)
    return [int(number) for number in numbers]


def processor_of(keys: Ids, is_table: bool, **options: Any) -> Any:
    """Return the engine's processor."""
    table = {"sampling_table_size": 65536, "sampling_table_seed": 0} if is_table else {}
    fixed = {"temperature": 1.0, "top_k": 2, "apply_top_k": False, "context_history_size": 1024}
    return module("synthid_text.logits_processing").SynthIDLogitsProcessor(
        keys=keys, device=torch.device("cpu"), **{**fixed, **table, **options}
    )


def weights_of(depth: int) -> npt.NDArray[np.int64]:
    """Return the weights of layers as whole numbers."""
    if depth == 1:
        return np.ones(1, dtype=np.int64)
    return 10 * (depth - 1) - 9 * np.arange(depth)


def null_of(processor: Any, is_table: bool) -> Floats:
    """Return the distribution of one token's weight."""
    keys = processor.keys
    weights = weights_of(len(keys))
    if not is_table:
        null = np.ones(1)
        for weight in weights:
            null = np.convolve(null, np.bincount([0, int(weight)], minlength=int(weight) + 1) / 2)
        return null
    states = torch.arange(processor.sampling_table.shape[0])
    layers = ((states[:, None] + keys[None, :]) * MULTIPLIER + 1).unsqueeze(0)
    bits = processor.sample_g_values(layers)[0].numpy()
    return np.bincount(bits @ weights) / len(states)


def log10_p_of(processor: Any, ids: Ids, is_table: bool) -> float:
    """Return the p-value that docs/spec/synthid.md defines, from the engine's own g-values."""
    null = null_of(processor, is_table)
    support = np.arange(len(null))
    deviation = math.sqrt(null @ support**2 - (null @ support) ** 2)
    step = max(1, math.floor(deviation / 16 + 0.5))
    steps = np.bincount(support // step, weights=null)
    bits = processor.compute_g_values(torch.tensor([ids]))[0].numpy()
    width = processor.ngram_len - 1
    contexts, states, total, law = set(), set(), 0, np.ones(1)
    for i, token_bits in enumerate(bits):
        ngram = tuple(ids[i : i + width + 1])
        state = state_of(processor, ngram, is_table)
        if ngram[:-1] in contexts:
            continue
        contexts.add(ngram[:-1])
        if state in states:
            continue
        states.add(state)
        total += int(token_bits @ weights_of(len(processor.keys))) // step
        law = np.convolve(law, steps)
    return math.log10(float(law[total:].sum()))


def state_of(processor: Any, ngram: tuple[int, ...], is_table: bool) -> int:
    """Return all that an n-gram's g-values depend on."""
    state = 1 if is_table else processor.hash_iv
    for token in ngram:
        state = ((state + token) * MULTIPLIER + 1) % WORDS
    return state % processor.sampling_table.shape[0] if is_table else state


def verify_mark(table: Table, mark: str, version: str) -> None:
    """Compare a version of SynthID."""
    check = Check(table, mark, version)
    is_table = mark == "hf/synthid-1"
    verify_layers(check, is_table)
    for depth, ngram_len, history in ((1, 5, 1024), (9, 5, 1024), (30, 5, 20), (30, 3, 1024)):
        verify_texts(check, keys_of(depth), ngram_len, history)
    draws = Draws(check)
    draws.follow(1, 12, ngram_len=2, context_history_size=1024)
    draws.follow(2, 12, ngram_len=3, context_history_size=7)
    draws.follow(3, 12, ngram_len=4, context_history_size=1024, skip_first_ngram_calls=True)
    draws.follow(4, 400, ngram_len=5, context_history_size=1024)
    check.report()
    draws.report()


def verify_layers(check: Check, is_table: bool) -> None:
    """Compare g-values, of one layer at a time, for tokens behind a context."""
    for width, key in enumerate([*keys_of(30)[:5], *keys_of(9)[:3]], start=1):
        ours = Ours.of(check.mark, [key], ngram_len=width + 1)
        processor = processor_of([key], is_table, ngram_len=width + 1)
        context = random_ids(width, width, LARGE_VOCAB)
        texts = [[*context, token] for token in range(0, LARGE_VOCAB, 400)]
        bits = processor.compute_g_values(torch.tensor(texts)).flatten().tolist()
        scores = [ours.engine(text).score for text in texts]
        check.all_same("g-values of tokens behind a context", scores, bits)


def verify_texts(check: Check, keys: Ids, ngram_len: int, history: int) -> None:
    """Compare means, positions and p-values of texts."""
    mean = module("synthid_text.detector_mean").weighted_mean_score
    is_table = check.mark == "hf/synthid-1"
    options = {"ngram_len": ngram_len, "context_history_size": history}
    ours = Ours.of(check.mark, keys, **options)
    processor = processor_of(keys, is_table, **options)
    for ids, is_marked in texts_for(ours, LARGE_VOCAB):
        bits = processor.compute_g_values(torch.tensor([ids])).numpy().astype(np.float64)
        mask = processor.compute_context_repetition_mask(torch.tensor([ids])).numpy()
        score = float(mean(bits, mask)[0])
        engine, log10_p = ours.engine(ids), ours.result(ids).log10_p
        check.same("tokens the engine scores", engine.scored, mask.sum())
        check.same("weighted mean", engine.score, score, 1e-12)
        theirs = log10_p_of(processor, ids, is_table)
        check.same("log10 of our p-value, from the engine's g-values", log10_p, theirs, 1e-9)
        if is_marked and len(keys) > 1:
            z = (score - 0.5) * math.sqrt(mask.sum()) / deviation_of_mean(len(keys))
            bound = -0.5 * z * abs(z) / math.log(10)
            check.found("weighted mean of what countermark marks (normal bound)", bound)


def deviation_of_mean(depth: int) -> float:
    """Return the standard deviation of one token's weighted mean."""
    weights = weights_of(depth).astype(np.float64)
    return float(0.5 * np.sqrt((weights**2).sum()) / weights.sum())


@dataclass
class Draws:
    """Compares the distributions that tokens are drawn from, along responses."""

    check: Check
    square: float = 0.0
    freedom: int = 0
    count: int = 0

    def follow(self, seed: int, vocab: int, **parameters: Any) -> None:
        """Let the engine write a response, and draw every token of it many times."""
        keys = keys_of(9)
        ours = Ours.of(self.check.mark, keys, **parameters)
        processor = processor_of(keys, self.check.mark == "hf/synthid-1", **parameters)
        sequence, ids = ours.sampler.sequence(seed=seed, prompt=[3, 4]), [3, 4]
        for step in range(150):
            logits = logits_of(seed, step, vocab)
            after, _, before = processor.watermarked_call(torch.tensor([ids]), as_tensor(logits))
            probe = sequence.fork(seed=0)
            probe.sample(logits)
            is_ours = probe.stats.marked > sequence.stats.marked
            is_marked = not torch.equal(after, before)
            self.check.same("which positions are marked", is_ours, is_marked)
            self.compare(sequence, logits, torch.softmax(after.double(), -1)[0].numpy())
            ids.append(int(draw(after)))
            sequence.select(logits)
            sequence.observe(ids[-1])
        if vocab == 400:
            self.check.found("our p-value of what the engine marks", ours.result(ids[2:]).log10_p)

    def compare(self, sequence: cm.Sequence, logits: Row, probabilities: Floats) -> None:
        """Draw one token many times."""
        drawn = [sequence.fork(seed=i).select(logits) for i in range(200)]
        for token in drawn:
            self.check.holds("draws are possible in the engine", bool(probabilities[token] > 1e-7))
        counts = np.bincount(drawn, minlength=len(probabilities))
        square, freedom = chi_square(counts, probabilities)
        self.square, self.freedom = self.square + square, self.freedom + freedom
        self.count += len(drawn)

    def report(self) -> None:
        """Print the row of the draws."""
        p = float(stats.chi2.sf(self.square, self.freedom))
        what = "draws against the engine's probabilities"
        self.check.row(what, self.count, f"chi-square p = {p:.2g}", p > 1e-4)


def chi_square(counts: npt.NDArray[np.int64], probabilities: Floats) -> tuple[float, int]:
    """Return the statistic and its degrees of freedom, over cells of at least five."""
    expected = probabilities / probabilities.sum() * counts.sum()
    large = expected >= 5
    observed = np.append(counts[large], counts[~large].sum())
    expected = np.append(expected[large], expected[~large].sum())
    if expected[-1] < 5:
        observed, expected = observed[:-1], expected[:-1]
    square = ((observed - expected) ** 2 / expected).sum()
    return float(square), max(len(observed) - 1, 0)


def verify_package(table: Table) -> None:
    """Compare the version of SynthID that is released."""
    verify_mark(table, "hf/synthid-1", label("synthid-text"))


def verify_tree(table: Table, tree: Path) -> None:
    """Compare a checkout of synthid-text in place of the package."""
    for name in [name for name in sys.modules if name.startswith("synthid_text")]:
        del sys.modules[name]
    sys.path.insert(0, str(tree / "src"))
    importlib.invalidate_caches()
    verify_mark(table, "deepmind/synthid-2", "synthid-text, a checkout")
