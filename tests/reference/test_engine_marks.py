"""The references of the engines' marks against their vectors and against the library itself."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import mpmath  # type: ignore[import-untyped,unused-ignore]
import numpy as np
import numpy.typing as npt
import pytest
import scipy.stats  # type: ignore[import-untyped,unused-ignore]

import countermark as cm
import countermark_1
import green_lists as gl
import meta_textseal as ts
import sglang_aaronson as sg
import synthid as sy
import vllm_gumbel as vg

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
LN10 = math.log(10)

Logits = npt.NDArray[np.float32]


def vectors(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text("ascii"))


def number(item: Any, name: str) -> float:
    """A field by its hexadecimal digits, where it has them."""
    return float.fromhex(item[f"{name}_hex"]) if f"{name}_hex" in item else float(item[name])


def near(got: float, want: float, rel: float = 1e-9) -> bool:
    return math.isclose(got, want, rel_tol=rel, abs_tol=0)


def near_log(got: float, want: float) -> bool:
    """For logarithms of p-values: near 1 the p-value itself is what counts."""
    return math.isclose(got, want, rel_tol=1e-9, abs_tol=1e-12)


def within_two_ulps(got: float, want: float) -> bool:
    return abs(got - want) <= 2 * math.ulp(want)


def fixture_row(fixture: Any, position: int) -> list[float]:
    """The logits that the vectors' formula gives; every one is exact."""
    a, b, c = fixture["a"], fixture["b"], fixture["c"]
    return [
        ((t * a + position * b + c) % 127 - 60) / 16
        + (fixture["bias"] if t == fixture["dominant"] else 0)
        for t in range(fixture["vocab"])
    ]


def argmax(values: Sequence[float]) -> int:
    return max(range(len(values)), key=lambda t: (values[t], -t))


def softmax(logits: Sequence[float], temperature: float = 1.0) -> list[float]:
    largest = max(logits)
    weights = [math.exp((x - largest) / temperature) for x in logits]
    total = math.fsum(weights)
    return [w / total for w in weights]


# Tails by other means than the references'


def log10_pair_tail(n: int, total: float, one: float, other: float) -> float:
    """log10 of the tail of one * G + other * H, by partial fractions of the moment function."""
    large, small = max(one, other), min(one, other)
    if small == 0:
        return countermark_1.log10_p(n, total / large)
    if small == large:
        return countermark_1.log10_p(2 * n, total / large)
    lost = 2 * n * (1 - math.log10(1 - small / large)) + total / large
    with mpmath.workdps(60 + int(lost)):
        p = mpmath.mpf(0)
        for mine, its in ((one, other), (other, one)):
            rho, x = mpmath.mpf(its) / mpmath.mpf(mine), mpmath.mpf(total) / mpmath.mpf(mine)
            term = q = mpmath.exp(-x)  # q = Q(j, x)
            for j in range(1, n + 1):
                i = n - j
                p += (-rho) ** i * math.comb(n + i - 1, i) / (1 - rho) ** (n + i) * q
                term *= x / j
                q += term
        return float(mpmath.log10(p))


@pytest.mark.parametrize("n", [1, 2, 7, 40])
@pytest.mark.parametrize("alpha", [0.0, 0.05, 0.1, 0.35, 0.5, 0.8, 1.0])
def test_dual_tail_by_two_means(n: int, alpha: float) -> None:
    for total in (0.3 * n, n, 2.5 * n, 9.0 * n):
        want = log10_pair_tail(n, total, 1 - alpha, alpha)
        assert near_log(vg.log10_dual_p(n, total, alpha), want)


def test_dual_tail_at_halves_is_a_gamma_tail() -> None:
    assert near(vg.log10_dual_p(20, 31.0, 0.5), vg.log10_gamma_tail(40, 62.0))
    assert near(vg.log10_gamma_tail(40, 62.0), countermark_1.log10_p(40, 62.0))


def test_lattice_tail_exactly() -> None:
    keys, p = (3, 1, 4, 1, 5), sy.Parameters(sampling_table_size=16)
    for mark in sy_marks():
        null = [Fraction(x) for x in sy.null_of_steps(mark, keys, p).tolist()]
        assert sum(null) == 1
        whole = [Fraction(1)]
        for _ in range(4):
            longer = [Fraction(0)] * (len(whole) + len(null) - 1)
            for i, x in enumerate(whole):
                for j, y in enumerate(null):
                    longer[i + j] += x * y
            whole = longer
        for total in range(1, len(whole)):
            want = sum(whole[total:], Fraction(0))
            got = sy.log10_lattice_p(sy.null_of_steps(mark, keys, p), 4, total)
            assert want == 0 or math.isclose(10**got, want, rel_tol=1e-12)
            if want == 0:
                break


def test_nulls_of_weights_by_counting() -> None:
    keys, p = (654, 400, 836), sy.Parameters(sampling_table_size=64, sampling_table_seed=9)
    states = Counter(sy.weight(sy.g_values("hf/synthid-1", keys, p, h)) for h in range(64, 128))
    null = sy.null_of_weights("hf/synthid-1", keys, p)
    assert {w: n / 64 for w, n in states.items()} == {
        w: x for w, x in enumerate(null.tolist()) if x
    }
    fair = Counter(sy.weight((b & 1, b >> 1 & 1, b >> 2)) for b in range(8))
    null = sy.null_of_weights("deepmind/synthid-2", keys, p)
    assert {w: n / 8 for w, n in fair.items()} == {w: x for w, x in enumerate(null.tolist()) if x}


def test_binomial_tail() -> None:
    for n, hits, share in ((1, 1, (1, 4)), (40, 21, (3, 7)), (150, 149, (1, 2))):
        want = scipy.stats.binom.logsf(hits - 1, n, share[0] / share[1]) / LN10
        assert near_log(gl.log10_binomial_p(n, hits, share), want)


# vllm-gumbel-1.json, vllm-gumbel-0.json


@pytest.mark.parametrize("mark", ["vllm/gumbel-1", "vllm/gumbel-0"])
def test_vllm_words(mark: vg.Mark) -> None:
    doc = vectors(mark.replace("/", "-"))
    for item in doc["prf"]:
        word = vg.token_word(mark, int(item["key"]), item["context"], item["token"])
        assert word == item["word"]
    for item in [*doc["prf"], *doc.get("uniform_edges", [])]:
        u = vg.uniform(item["word"])
        assert u == number(item, "uniform")
        assert within_two_ulps(vg.score(u), number(item, "score"))
    for item in doc.get("steps", []):
        logits = [-math.inf if x is None else x for x in item["logits"]]
        assert vg.select(mark, int(item["key"]), item["context"], logits) == item["token"]


def vllm_parameters(item: Any, alpha: float = 0.1) -> vg.Parameters:
    return vg.Parameters(item["context_width"], item["dedup"], item.get("max_history", 8192), alpha)


def vllm_replay(mark: vg.Mark, item: Any, keys: Sequence[int]) -> tuple[list[int], list[int]]:
    """Tokens, and positions that are not marked; `keys` has one for each position."""
    p, response, ordinary = vllm_parameters(item), list[int](), []
    for i, key in enumerate(keys):
        logits = fixture_row(item["fixture"], i)
        if vg.is_marked(response, p, item.get("prompt", ())):
            context = vg.context_at(response, i, p.context_width)
            response.append(vg.select(mark, key, context, logits))
        else:
            ordinary.append(i)
            response.append(argmax(logits))
    return response, ordinary


def check_vllm_detect(mark: vg.Mark, item: Any, want: Any, p: vg.Parameters) -> None:
    """`want` is what the engine says: with one key that is ours."""
    once = want["dedup"] if "dedup" in want else item["dedup"] not in ("none", False)
    ours = vg.detect(mark, int(item["key"]), item["tokens"], p, once=once)
    engine = vg.engine(mark, int(item["key"]), item["tokens"], p, once=once)
    assert ours.scored == engine.scored == want["n"]
    assert near(ours.sum, number(want, "score"), 1e-13) or ours.sum == want["score"] == 0
    assert engine.log10_p is not None
    assert near_log(engine.log10_p * LN10, number(want, "log_p"))
    if want.get("token_scores") is not None:
        pairs = zip(ours.scores, want["token_scores"], strict=True)
        assert all(within_two_ulps(got, score) for got, score in pairs)


@pytest.mark.parametrize("mark", ["vllm/gumbel-1", "vllm/gumbel-0"])
def test_vllm_sequences_and_detections(mark: vg.Mark) -> None:
    doc = vectors(mark.replace("/", "-"))
    for item in doc["sequences"]:
        tokens, ordinary = vllm_replay(mark, item, [int(item["key"])] * len(item["tokens"]))
        assert tokens == item["tokens"]
        assert ordinary == item.get("unwatermarked_positions", [])
        check_vllm_detect(mark, item, item["detect"], vllm_parameters(item))
    for item in doc.get("detections", []):
        check_vllm_detect(mark, item, item["detect"], vg.Parameters(item["context_width"]))


def test_vllm_dual() -> None:
    mark: vg.Mark = "vllm/dual-gumbel-1"
    doc = vectors("vllm-dual-gumbel-1")
    for item in doc["derive"]:
        for label in ("key_a", "key_b"):
            assert vg.derive(int(item["key"]), label) == int(item[label])
    for item in doc["sequences"]:
        ab = [vg.derive(int(item["key"]), "key_a"), vg.derive(int(item["key"]), "key_b")]
        tokens, ordinary = vllm_replay(mark, item, [ab[b] for b in item["key_b_used"]])
        assert (tokens, ordinary) == (item["tokens"], item["unwatermarked_positions"])
        for want in item["detect"]:
            check_vllm_dual_sums(ab, item, want)
            check_vllm_detect(mark, item, want, vllm_parameters(item, want["alpha"]))
    for item in doc["detections"]:
        p = vg.Parameters(item["context_width"], alpha=item["alpha"])
        check_vllm_detect(mark, {**item, "dedup": True}, item["detect"], p)


def check_vllm_dual_sums(ab: Sequence[int], item: Any, want: Any) -> None:
    for key, name in zip(ab, ("sum_a", "sum_b"), strict=True):
        p = vg.Parameters(item["context_width"])
        assert near(vg.detect("vllm/gumbel-1", key, item["tokens"], p).sum, number(want, name))


# sglang-aaronson.json


def sglang_keys(item: Any) -> sg.Keys:
    return tuple(int(item[name], 16) for name in ("key_hex", "key_b_hex") if item[name])


def test_sglang_hashes_and_selection() -> None:
    doc = vectors("sglang-aaronson")
    for item in doc["prf"]:
        keys, context = sglang_keys(item), item["context"]
        h = sg.token_hash(keys[0], context, item["token"])
        assert (sg.mm(context), h) == (item["context_hash"], item["token_hash"])
        assert sg.uniform(h)[0] == number(item, "uniform")
        assert within_two_ulps(sg.score(h), number(item, "score"))
        for share, by_a in item["key_a_selected"].items():
            assert sg.draws_a(keys, context, float(share)) == by_a
    for item in doc["select"]:
        key = int(item["key_hex"], 16)
        assert sg.select(key, item["context"], item["probs_float32"]) == item["token"]


def test_sglang_detections() -> None:
    for item in vectors("sglang-aaronson")["detections"]:
        keys, tokens, prompt = sglang_keys(item), item["completion"], item["prompt"]
        p = sg.Parameters(item["context_window"], 1.0, item["mixing_probability"])
        found = {"combined": sg.detect(keys, tokens, p, prompt)}
        for key, name in zip(keys, ("key_a_all", "key_b_all"), strict=False):
            found[name] = sg.detect_by(key, tokens, p, prompt)
        assert found.keys() == item["detect"].keys()
        for name, want in item["detect"].items():
            assert found[name].scored == want["n"]
            assert near(found[name].sum, number(want, "score"), 1e-13)
            assert near_log(found[name].log10_p * LN10, number(want, "log_p"))


# meta-textseal.json: what the page is silent on (green lists, SynthID, weights) is left out


def test_textseal_hashes_and_selection() -> None:
    doc = vectors("meta-textseal")
    for item in doc["prf"]:
        h = ts.token_hash(item["key"], item["context"], item["token"])
        assert h == item["h13"]
        assert ts.uniform(h) == number(item, "uniform")
        assert ts.engine_score(h) == item["score_float32"]
        assert math.isclose(ts.score(h), item["score_float32"], rel_tol=1e-6, abs_tol=1e-7)
    for item in doc["select"]:
        for revision in (1, 2):
            arguments = item["key"], item["context"], item["probs_float32"]
            assert ts.select(revision, *arguments) == item["token"]


class Textseal(NamedTuple):
    """One of the vectors' detections."""

    keys: ts.Keys
    ngram: int
    method: ts.Method | None
    tokens: list[int]
    want: Any


def textseal_detections() -> Iterator[Textseal]:
    doc = vectors("meta-textseal")
    for item in doc["detections"]:
        method = None if item["dedup"] == "none" else item["dedup"]
        pair = (item["key"], item["dual"]["key_b"])
        assert pair[1] == pair[0] + ts.KEY_B_AFTER_A
        for keys, want in ((pair[:1], item["gumbelmax"]), (pair, item["dual"])):
            yield Textseal(keys, item["ngram"], method, item["tokens"], want)
    for item in doc["watermarked"]:
        keys = (item["key"], item["key"] + ts.KEY_B_AFTER_A)[: 1 + item["dual"]]
        yield Textseal(keys, item["ngram"], "v2", item["tokens"], item["detect_v2"])


def test_textseal_detections() -> None:
    for keys, ngram, method, tokens, want in textseal_detections():
        p = ts.Parameters(ngram)
        positions = ts.scored_positions(tokens, ngram, method)
        ours = ts.detect_at(keys, tokens, p, positions)
        engine = ts.engine_at(keys, tokens, p, positions)
        assert ours.scored == engine.scored == want["n"]
        assert near(ours.sum, number(want, "score"), 1e-6)
        assert near(engine.score, number(want, "score"), 1e-13)
        assert engine.log10_p is not None
        assert near_log(engine.log10_p * LN10, number(want, "log_p"))


def test_textseal_replays_what_one_key_marked() -> None:
    """The vectors tell no probabilities; the tokens' scores show the mark all the same."""
    for item in vectors("meta-textseal")["watermarked"]:
        keys = (item["key"], item["key"] + ts.KEY_B_AFTER_A)
        by_a = item["key_a_used"] or [1] * (len(item["tokens"]) - item["prompt_len"])
        scores = []
        for i, a in enumerate(by_a, item["prompt_len"]):
            context = ts.context_at(2, item["tokens"][:i], item["ngram"])
            h = ts.token_hash(keys[0] if a else keys[1], context, item["tokens"][i])
            scores.append(ts.score(h))
        assert math.fsum(scores) > 3 * len(scores)


# hf-synthid-1.json, deepmind-synthid-2.json


def sy_marks() -> tuple[sy.Mark, sy.Mark]:
    return "hf/synthid-1", "deepmind/synthid-2"


def digits(bits: sy.Bits) -> str:
    return "".join(map(str, bits))


@pytest.mark.parametrize("mark", sy_marks())
def test_synthid_hashes(mark: sy.Mark) -> None:
    doc = vectors(mark.replace("/", "-"))
    keys, p = tuple(doc["keys"]), sy.Parameters(doc["ngram_len"], doc["context_history_size"])
    if mark == "hf/synthid-1":
        table = sy.table(doc["table_size"], doc["table_seed"])
        assert digits(tuple(table[:128].tolist())) == doc["table_first128"]
        packed = np.packbits(table.astype(np.uint8), bitorder="little").tobytes()
        sha256 = hashlib.sha256(packed).hexdigest()
        assert sha256 == doc["table_sha256_lsb_first_full_bytes"]
    else:
        assert sy.initial(mark, keys) == int(doc["hash_iv"])
    for item in doc["g_values"]:
        ngram = item["ngram"]
        assert sy.hash_of(mark, keys, ngram[:-1]) == int(item["context_hash"])
        assert digits(sy.g_values(mark, keys, p, sy.hash_of(mark, keys, ngram))) == item["g"]


@pytest.mark.parametrize("mark", sy_marks())
def test_synthid_generation_and_detection(mark: sy.Mark) -> None:
    doc = vectors(mark.replace("/", "-"))
    keys, p = tuple(doc["keys"]), sy.Parameters(doc["ngram_len"], doc["context_history_size"])
    response, marked = list[int](), []
    for i in range(len(doc["generation"]["tokens"])):
        probabilities = softmax(fixture_row(doc["fixture"], i))
        marked.append(int(sy.is_marked(mark, keys, p, response)))
        if marked[-1]:
            context = sy.context_at(response, i, p.width)
            probabilities = sy.update(mark, keys, p, context, probabilities)
        response.append(argmax(probabilities))
    assert response == doc["generation"]["tokens"]
    assert marked == doc["generation"]["watermarked"]

    want, tokens = doc["detection"], doc["detection"]["tokens"]
    positions = sy.engine_positions(mark, keys, p, tokens)
    assert [int(i in positions) for i in range(p.width, len(tokens))] == want["mask"]
    bits = [sy.bits_at(mark, keys, p, tokens, i) for i in range(p.width, len(tokens))]
    assert list(map(digits, bits)) == want["g"]
    engine = sy.engine(mark, keys, tokens, p)
    assert engine.scored == sum(want["mask"])
    assert near(engine.score, want["weighted_mean_score"], 1e-13)
    kept = [b for b, seen in zip(bits, want["mask"], strict=True) if seen]
    assert near(sum(map(sum, kept)) / (len(kept) * len(keys)), want["mean_score"], 1e-13)


# hf-kgw.json, sbw.json


def kgw_mark(item: Any) -> gl.Mark:
    return "hf/kgw-selfhash-1" if item["scheme"] == "selfhash" else "hf/kgw-lefthash-1"


def test_kgw_lists_and_bias() -> None:
    doc = vectors("hf-kgw")
    key, ratio = doc["hashing_key"], doc["greenlist_ratio"]
    assert gl.table(key)[:8].tolist() == doc["fixed_table_first8"]
    for item in doc["greenlists"]:
        mark, sequence = kgw_mark(item), item["sequence"]
        p = gl.Parameters(item["vocab"], ratio, 2.0, item["context_width"])
        # The left hash does not take the token drawn, and the sequence has none.
        before = sequence[:-1] if gl.is_selfhash(mark) else sequence
        seed = gl.permutation_seed(mark, gl.seed_of(mark, key, p, before, sequence[-1]))
        assert seed == int(item["manual_seed"])
        green = gl.green_in_order(item["vocab"], ratio, seed)
        assert list(green[:16]) == item["greenlist_first16_in_order"]
        assert len(green) == item["greenlist_size"]
        text = ",".join(map(str, sorted(green)))
        assert hashlib.sha256(text.encode()).hexdigest() == item["greenlist_sorted_sha256"]
    for item in doc["biased"]:
        p = gl.Parameters(item["vocab"], ratio, 2.0, item["context_width"])
        scores = item["scores"]
        got = gl.biased(kgw_mark(item), key, p, item["context"], scores)
        assert [t for t in range(len(got)) if got[t] == scores[t] + 2] == item["biased_ids"]


def test_kgw_detections() -> None:
    doc = vectors("hf-kgw")
    for item in doc["detections"]:
        p = gl.Parameters(item["vocab"], doc["greenlist_ratio"], 2.0, item["context_width"])
        n, hits = gl.engine_hits(
            kgw_mark(item), doc["hashing_key"], item["tokens"], p, once=item["unique_ngrams"]
        )
        want, z = item["detect"], gl.z_score(n, hits, p.ratio)
        assert (n, hits) == (want["n"], want["hits"])
        assert near(z, number(want, "z"), 1e-13)
        assert near(10 ** gl.log10_normal_p(z), number(want, "p_value_normal"))
        assert near(gl.old_transformers_p(z), number(want, "p_value_hf"))


def test_sbw_rows() -> None:
    left: gl.Mark = "sbw/lefthash-1"
    own: gl.Mark = "sbw/selfhash-1"
    for row in vectors("sbw")["rows"]:
        key, tokens = int(row["key"]), row["context5"]
        before, token = tokens[:-1], tokens[-1]
        for where, generator in (("gpu", "philox"), ("cpu", "randperm")):
            p, q = (gl.of_sbw(mark, generator, 300) for mark in (left, own))  # type: ignore[arg-type]
            assert gl.seed_of(left, key, p, tokens, 0) == int(row[f"{where}_seed_additive_1"])
            seed = gl.seed_of(own, key, q, before, token)
            assert seed == int(row[f"{where}_seed_anchored_minhash_4"])
            if generator == "philox":
                assert gl.philox_word(seed, token) == row["gpu_word_pos_token"]
                assert gl.is_green(own, q, seed, token) == row["gpu_selfhash_green_int"]
        if "small_context5_vocab300" in row:
            *before, token = row["small_context5_vocab300"]
            seed = gl.seed_of(own, key, q, before, token)
            assert gl.is_green(own, q, seed, token) == row["cpu_selfhash_green_vocab300"]


# The library: detection


class Case(NamedTuple):
    """A mark with its key and parameters, and what its reference finds in a text."""

    mark: str
    key: int | list[int]
    parameters: dict[str, Any]
    detect: Callable[[list[int]], Any]
    engine: Callable[[list[int]], vg.EngineNumber]
    #: -ln of a token's p-value by its score; None where that takes XXH3.
    token_score: Callable[[float], float] | None = None
    prompt: list[int] | None = None

    def __str__(self) -> str:
        return " ".join([self.mark, *(f"{k}={v}" for k, v in self.parameters.items())])


def ring_of(mark: str, key: int | list[int], parameters: dict[str, Any]) -> cm.KeyRing:
    ring = cm.KeyRing.generate()
    ring.import_engine_key("e", mark, key, **parameters)
    return ring


def sequence_of(
    mark: str, key: int | list[int], parameters: dict[str, Any], prompt: Sequence[int] = ()
) -> cm.Sequence:
    return cm.Sampler(ring_of(mark, key, parameters), "e").sequence(seed=1, prompt=list(prompt))


def itself(score: float) -> float:
    return score


def pair_score(one: float, other: float) -> Callable[[float], float]:
    return lambda s: -LN10 * log10_pair_tail(1, s, one, other)


def vllm_case(mark: vg.Mark, key: int, **parameters: Any) -> Case:
    p = vg.Parameters(**parameters)
    is_dual = mark == "vllm/dual-gumbel-1"
    return Case(
        mark,
        key,
        parameters,
        lambda tokens: vg.detect(mark, key, tokens, p),
        lambda tokens: vg.engine(mark, key, tokens, p),
        pair_score(1 - p.alpha, p.alpha) if is_dual else itself,
    )


def sglang_case(keys: sg.Keys, prompt: list[int] | None = None, **parameters: Any) -> Case:
    p = sg.Parameters(**parameters)
    return Case(
        "sglang/aaronson-1" if len(keys) == 1 else "sglang/aaronson-dual-1",
        list(keys),
        parameters,
        lambda tokens: sg.detect(keys, tokens, p, prompt),
        lambda tokens: sg.engine(keys, tokens, p, prompt),
        itself,
        prompt,
    )


def textseal_case(revision: ts.Revision, keys: ts.Keys, **parameters: Any) -> Case:
    methods: dict[ts.Revision, ts.Method] = {1: "v1", 2: "v2"}
    p = ts.Parameters(**{"scoring_method": methods[revision], **parameters})
    ts.require_keys(revision, keys)
    return Case(
        f"meta/textseal-{revision}",
        list(keys),
        parameters,
        lambda tokens: ts.detect(keys, tokens, p),
        lambda tokens: ts.engine(keys, tokens, p),
        itself if len(keys) == 1 else pair_score(p.mixing_alpha, 1 - p.mixing_alpha),
    )


def synthid_case(mark: sy.Mark, keys: sy.Keys, **parameters: Any) -> Case:
    p = sy.Parameters(**parameters)
    return Case(
        mark,
        list(keys),
        parameters,
        lambda tokens: sy.detect(mark, keys, tokens, p),
        lambda tokens: sy.engine(mark, keys, tokens, p),
        lambda s: -LN10 * sy.log10_lattice_p(sy.null_of_steps(mark, keys, p), 1, int(s)),
    )


def green_case(mark: gl.Mark, key: int, p: gl.Parameters) -> Case:
    gl.require_key(mark, key)
    parameters: dict[str, Any] = {}
    if p.generator == "randperm":
        parameters["vocab_size"] = p.vocab_size
    if gl.is_sbw(mark):
        parameters |= {"gamma": p.ratio, "delta": p.bias, "generator": p.generator}
    else:
        parameters |= {"greenlist_ratio": p.ratio, "bias": p.bias}
        parameters["context_width"] = p.context_width
    return Case(
        mark,
        key,
        parameters,
        lambda tokens: gl.detect(mark, key, tokens, p),
        lambda tokens: gl.engine(mark, key, tokens, p),
    )


KEYS_30 = tuple(range(100, 3100, 100))
EDGE = 2**64 - 1
TEXTSEAL_KEYS: list[tuple[ts.Revision, ts.Keys]] = [
    (1, (EDGE,)),
    (2, (EDGE,)),
    (2, (123, 2**63 + 1)),
]

CASES = [
    *(
        vllm_case(mark, 2**63 + 5, context_width=width)
        for mark in ("vllm/gumbel-1", "vllm/gumbel-0")
        for width in (1, 2, 4, 5, 17, 64)
    ),
    vllm_case("vllm/gumbel-1", 42, context_width=2, deduplicate_contexts="none"),
    vllm_case("vllm/gumbel-1", 42, context_width=2, deduplicate_contexts_max_history=3),
    *(
        vllm_case("vllm/dual-gumbel-1", EDGE, context_width=2, alpha=alpha)
        for alpha in (0.0, 0.03, 0.1, 0.4, 0.5, 0.7, 1.0)
    ),
    *(
        sglang_case(keys, prompt, context_window=window)
        for keys in ((EDGE,), (123, 2**40 + 7))
        for prompt in (None, [], [3], [1, 1, 0, 2, 3, 1, 4, 0, 0, 2])
        for window in (1, 2, 5)
    ),
    *(sglang_case((1, 2), None, context_window=2, mixing_probability=m) for m in (0.0, 0.3, 1.0)),
    *(
        textseal_case(revision, keys, ngram=ngram)
        for revision, keys in TEXTSEAL_KEYS
        for ngram in (1, 2, 10)
    ),
    textseal_case(1, (5,), ngram=2, scoring_method="v2"),
    *(textseal_case(2, (5, 6), ngram=1, mixing_alpha=alpha) for alpha in (0.0, 0.2, 0.7, 1.0)),
    *(textseal_case(2, (5, 6), ngram=2, scoring_method=method) for method in ("v1", "v2")),
    *(
        synthid_case(mark, keys, ngram_len=ngram_len, context_history_size=history)
        for mark in sy_marks()
        for keys in ((5,), (654, 400), (EDGE, 2**63, 3, 9, 77), KEYS_30)
        for ngram_len, history in ((2, 1024), (3, 4), (6, 1))
    ),
    *(
        synthid_case("hf/synthid-1", KEYS_30, ngram_len=3, sampling_table_size=size, **more)
        for size, more in ((2, {}), (64, {"sampling_table_seed": 2**32 - 1}), (4096, {}))
    ),
    *(
        green_case(mark, key, gl.Parameters(vocab, ratio, 2.0, width))
        for mark in ("hf/kgw-lefthash-1", "hf/kgw-selfhash-1")
        for key in (1, 15485863, 2**40, 2**63 - 1)
        for vocab, ratio, width in ((8, 0.5, 1), (50, 0.29, 2), (331, 0.25, 4))
    ),
    *(
        green_case(mark, key, gl.of_sbw(mark, generator, 50, gamma))
        for mark in ("sbw/lefthash-1", "sbw/selfhash-1")
        for key in (15485863, 2**40, EDGE)
        for generator in ("philox", "randperm")
        for gamma in (0.25, 0.5)
    ),
]


def text(seed: int, length: int, vocab: int) -> list[int]:
    return [int(t) for t in np.random.default_rng(seed).integers(0, vocab, length)]


def check_detection(case: Case, tokens: list[int]) -> None:
    detector = cm.Detector(ring_of(case.mark, case.key, case.parameters))
    found = detector.detect(tokens, start="unknown", prompt=case.prompt)
    got, want = found.results[0], case.detect(tokens)
    assert got.scored == want.scored
    assert got.score == want.sum or near(got.score, want.sum, 1e-12)
    assert near_log(got.log10_p, want.log10_p)
    assert np.flatnonzero(~np.isnan(found.token_scores)).tolist() == want.positions
    check_token_scores(case, found.token_scores[want.positions].tolist(), want)
    assert got.engine is not None
    check_engine(case, got.engine, case.engine(tokens))


def check_token_scores(case: Case, got: list[float], want: Any) -> None:
    if case.token_score is not None:
        scores = want.steps if isinstance(want, sy.Steps) else want.scores
        for y, s in zip(got, scores, strict=True):
            assert math.isclose(y, case.token_score(s), rel_tol=1e-9, abs_tol=1e-12)
    else:  # g V and g + (1 - g) V: which side of g tells the colour
        p = case.parameters
        g = p["gamma"] if "gamma" in p else p["greenlist_ratio"]
        if p.get("generator") != "philox":
            g = math.floor(g * p["vocab_size"]) / p["vocab_size"]
        for y, is_green in zip(got, want.green, strict=True):
            assert (math.exp(-y) < g) == is_green


def check_engine(case: Case, got: cm.EngineResult, want: vg.EngineNumber) -> None:
    rel = 1e-6 if case.mark.startswith("meta/") else 1e-12  # a binary32 logarithm of each kind
    assert got.scored == want.scored
    assert got.score == want.score or near(got.score, want.score, rel)
    assert (got.log10_p is None) == (want.log10_p is None)
    if got.log10_p is not None and want.log10_p is not None:
        tolerance = 1e3 * rel
        assert math.isclose(got.log10_p, want.log10_p, rel_tol=tolerance, abs_tol=1e-12)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_library_detects_as_the_references(case: Case) -> None:
    for seed, length, vocab in ((1, 120, 5), (2, 90, 40)):
        check_detection(case, text(seed, length, vocab))
    check_detection(case, [1])


@pytest.mark.parametrize("mark", ["hf/kgw-lefthash-1", "hf/kgw-selfhash-1"])
def test_keys_of_transformers_have_63_bits(mark: gl.Mark) -> None:
    with pytest.raises(ValueError, match="key"):
        gl.require_key(mark, 2**63)
    with pytest.raises(cm.CountermarkError, match="2\\^63-1"):
        ring_of(mark, 2**63, {"vocab_size": 9})


def test_textseal_1_has_one_key() -> None:
    with pytest.raises(ValueError, match="one key"):
        ts.require_keys(1, (1, 2))
    with pytest.raises(cm.CountermarkError, match="1 x 64 bits"):
        ring_of("meta/textseal-1", [1, 2], {})


MARKED = [
    vllm_case("vllm/gumbel-1", 5),
    vllm_case("vllm/dual-gumbel-1", 5, alpha=0.2),
    sglang_case((5, 6)),
    textseal_case(2, (5, 6), mixing_alpha=0.3),
    synthid_case("hf/synthid-1", KEYS_30),
    synthid_case("deepmind/synthid-2", KEYS_30),
    green_case("hf/kgw-selfhash-1", 7, gl.Parameters(200, 0.25, 6.0, 3)),
    green_case("sbw/lefthash-1", 7, gl.of_sbw("sbw/lefthash-1")),
]


@pytest.mark.parametrize("case", MARKED, ids=str)
def test_marked_text(case: Case) -> None:
    sequence, rng = sequence_of(case.mark, case.key, case.parameters), np.random.default_rng(3)
    for _ in range(100):
        sequence.sample(rng.normal(0, 0.5, 200).astype(np.float32))
    tokens = [int(t) for t in sequence.tokens]
    assert case.detect(tokens).log10_p < -5
    check_detection(case, tokens)


NOT_SGLANG = [case for case in MARKED if not case.mark.startswith("sglang")]


@pytest.mark.parametrize("case", NOT_SGLANG, ids=str)
def test_prompt_and_start_are_not_looked_at(case: Case) -> None:
    detector, tokens = cm.Detector(ring_of(case.mark, case.key, case.parameters)), text(1, 60, 6)
    want = detector.detect(tokens, start="unknown").log10_p
    assert detector.detect(tokens, start="unknown", prompt=[1, 2, 3, 4, 5, 0]).log10_p == want
    assert detector.detect(tokens, start="response", prompt=[]).log10_p == want


@pytest.mark.parametrize("keys", [(5,), (5, 99)], ids=str)
def test_sglang_engine_takes_an_empty_prompt_for_none(keys: sg.Keys) -> None:
    case, tokens = sglang_case(keys, [], context_window=4), text(1, 90, 40)
    ring = ring_of(case.mark, case.key, case.parameters)
    found = cm.Detector(ring).detect(tokens, start="unknown", prompt=[]).results[0]
    assert found.engine is not None
    assert found.scored == found.engine.scored + 3  # token 0 has no context
    check_engine(case, found.engine, sg.engine(keys, tokens, sg.Parameters(4), None))


def test_sglang_scores_4096_contexts() -> None:
    tokens, p = text(3, 4300, 3000), sg.Parameters(2)
    want = sg.detect((5,), tokens, p)
    ring = ring_of("sglang/aaronson-1", 5, {"context_window": 2})
    got = cm.Detector(ring).detect(tokens, start="unknown").results[0]
    assert got.scored == want.scored == sg.MOST_CONTEXTS
    assert near(got.score, want.sum, 1e-12)
    assert near(got.log10_p, want.log10_p)


def test_ids_of_31_bits() -> None:
    ids = (2**31 - 1, 2**31 - 2, 0, 1)
    tokens = [ids[i] for i in text(4, 60, 4)]
    for case in CASES:
        if case.mark.startswith("sbw/selfhash") or case.parameters.get("context_width") == 4:
            check_detection(case, tokens)


# The library: embedding


def rows(seed: int, count: int, vocab: int) -> list[Logits]:
    rng = np.random.default_rng(seed)
    return [rng.normal(0, 2, vocab).astype(np.float32) for _ in range(count)]


def scaled(row: Logits, temperature: float) -> list[float]:
    return [float(x) / temperature for x in row]


VLLM_SAMPLING: list[dict[str, Any]] = [
    {},
    {"context_width": 1},
    {"context_width": 2, "deduplicate_contexts": "none"},
    {"context_width": 2, "deduplicate_contexts": "all"},
    {"context_width": 1, "deduplicate_contexts_max_history": 3},
    {
        "context_width": 2,
        "deduplicate_contexts": "all",
        "deduplicate_contexts_max_history": None,
    },
]


@pytest.mark.parametrize("mark", ["vllm/gumbel-1", "vllm/gumbel-0", "vllm/dual-gumbel-1"])
@pytest.mark.parametrize("parameters", VLLM_SAMPLING, ids=str)
@pytest.mark.parametrize("prompt", [[1, 2, 3, 1, 2], [4], []], ids=str)
def test_library_samples_as_vllm(
    mark: vg.Mark, parameters: dict[str, Any], prompt: list[int]
) -> None:
    key, p = 77, vg.Parameters(**parameters)
    sequence, response = sequence_of(mark, key, parameters, prompt), list[int]()
    keys = [key]
    if mark == "vllm/dual-gumbel-1":
        keys = [vg.derive(key, "key_a"), vg.derive(key, "key_b")]
    marked = 0
    for i, row in enumerate(rows(1, 100, 8)):
        token = sequence.sample(row, temperature=0.8)
        if vg.is_marked(response, p, prompt):
            context = vg.context_at(response, i, p.context_width)
            assert token in [vg.select(mark, k, context, scaled(row, 0.8)) for k in keys]
            marked += 1
        response.append(token)
    assert sequence.stats.marked == marked > 0


def test_vllm_joins_prompt_and_response_to_look_for_repeats() -> None:
    parameters: dict[str, Any] = {"context_width": 2, "deduplicate_contexts": "all"}
    p, row = vg.Parameters(**parameters), np.zeros(8, np.float32)
    for prompt, response, marked in (
        ([5, 6], [7, 1, 6, 7], False),  # 6 7 was the context of token 1, over the seam
        ([5, 6], [7, 1, 5, 6], False),  # 5 6 was that of token 0
        ([5, 6], [7, 1, 6, 1], True),
        ([], [7, 1, 6, 7], True),
    ):
        assert vg.is_marked(response, p, prompt) == marked
        sequence = sequence_of("vllm/gumbel-1", 77, parameters, prompt)
        for token in response:
            sequence.observe(token)
        sequence.sample(row)
        assert sequence.stats.marked == marked


def test_vllm_coin() -> None:
    parameters = {"alpha": 0.3, "deduplicate_contexts": "none"}
    sequence = sequence_of("vllm/dual-gumbel-1", 9, parameters)
    key_a, key_b = vg.derive(9, "key_a"), vg.derive(9, "key_b")
    response, chosen = list[int](), []
    for i, row in enumerate(rows(2, 400, 8)):
        response.append(sequence.sample(row))
        context = vg.context_at(response, i, 4)
        a, b = (
            vg.select("vllm/dual-gumbel-1", k, context, scaled(row, 1.0)) for k in (key_a, key_b)
        )
        chosen += [response[-1] == b] if a != b else []
    deviation = math.sqrt(0.3 * 0.7 * len(chosen))
    assert abs(sum(chosen) - 0.3 * len(chosen)) < 5 * deviation


@pytest.mark.parametrize("keys", [(5,), (5, 99)], ids=str)
@pytest.mark.parametrize("prompt", [[], [3, 1, 2, 2, 2, 1, 0]], ids=str)
@pytest.mark.parametrize(
    "parameters",
    [{}, {"context_window": 1}, {"context_window": 2, "max_probability": 0.6}],
    ids=str,
)
def test_library_samples_as_sglang(
    keys: sg.Keys, prompt: list[int], parameters: dict[str, Any]
) -> None:
    mark = "sglang/aaronson-1" if len(keys) == 1 else "sglang/aaronson-dual-1"
    sequence = sequence_of(mark, list(keys), parameters, prompt)
    request, marked = sg.Request(keys, sg.Parameters(**parameters), list(prompt)), 0
    for row in rows(3, 120, 8):
        token, want = (
            sequence.sample(row, temperature=0.8),
            request.select(softmax(row.tolist(), 0.8)),
        )
        assert want in (None, token)
        request.observe(token, was_marked=want is not None)
        marked += want is not None
    assert sequence.stats.marked == marked > 0


def test_sglang_remembers_hashes_and_marked_positions_alone() -> None:
    seen: dict[int, tuple[int, int]] = {}
    pairs = ((a, b) for a in range(400) for b in range(400))
    one, other = next(
        (seen[h], pair) for pair in pairs if seen.setdefault(h := sg.mm(pair), pair) != pair
    )
    sequence = sequence_of("sglang/aaronson-1", 5, {"context_window": 2}, one)
    flat = np.zeros(512, np.float32)
    sequence.sample(flat)
    for token in other:
        sequence.observe(token)
    sequence.sample(flat)
    assert sequence.stats.marked == 1

    sequence = sequence_of("sglang/aaronson-1", 5, {"context_window": 1}, [1])
    assert sequence.sample(np.array([0, 9, 0, 0], np.float32), temperature=0) == 1
    sequence.sample(np.array([0, 1, 0, 0], np.float32))
    assert sequence.stats.marked == 1


def test_sglang_marks_4096_contexts() -> None:
    sequence = sequence_of("sglang/aaronson-1", 5, {}, [1, 2])
    for _ in range(4400):
        sequence.sample(np.zeros(16, np.float32))
    assert sequence.stats.marked == sg.MOST_CONTEXTS


def test_sglang_looks_at_the_largest_probability_after_truncation() -> None:
    row = np.log(np.array([0.5, 0.3, 0.2], dtype=np.float32))
    for top_k, marked in ((0, 1), (2, 0)):
        sequence = sequence_of("sglang/aaronson-1", 5, {"max_probability": 0.6}, [1])
        sequence.sample(row, top_k=top_k)
        assert sequence.stats.marked == marked


@pytest.mark.parametrize(("revision", "keys"), TEXTSEAL_KEYS, ids=str)
@pytest.mark.parametrize("ngram", [1, 3, 10])
@pytest.mark.parametrize("prompt", [[], [4, 3], [4, 3, 2]], ids=str)
def test_library_samples_as_textseal(
    revision: ts.Revision, keys: ts.Keys, ngram: int, prompt: list[int]
) -> None:
    before = list(prompt)
    sequence = sequence_of(f"meta/textseal-{revision}", list(keys), {"ngram": ngram}, before)
    for row in rows(4, 120, 8):
        token = sequence.sample(row, temperature=0.8)
        context = ts.context_at(revision, before, ngram)
        assert token in [ts.select(revision, k, context, softmax(row.tolist(), 0.8)) for k in keys]
        before.append(token)
    assert sequence.stats.marked == 120


@pytest.mark.parametrize("length", [0, 1, 4, 5, 6])
def test_textseal_1_takes_zeros_where_a_context_is_not_whole(length: int) -> None:
    prompt, flat = [9, 8, 7, 6, 5, 4][:length], np.zeros(2000, np.float32)
    one, two = ts.context_at(1, prompt, 5), ts.context_at(2, prompt, 5)
    assert two == (*[0] * 5, *prompt)[-5:]
    assert one == (two if length >= 5 else (0,) * 5)
    by_one, by_two = (
        sequence_of(f"meta/textseal-{revision}", 5, {"ngram": 5}, prompt).select(flat)
        for revision in (1, 2)
    )
    even = [1 / 2000] * 2000
    assert by_one == ts.select(1, 5, one, even)
    assert by_two == ts.select(2, 5, two, even)
    assert (by_one == by_two) == (length in (0, 5, 6))


def test_textseal_1_gives_equal_powers_to_the_likeliest() -> None:
    key, context = 42, (7,)
    ids = [t for t in range(1000) if ts.token_hash(key, context, t) < 4000][:200]
    sequence = sequence_of("meta/textseal-1", key, {}, context)
    for heavy in ([], [5], [150, 20]):
        weights = [1.1 if i in heavy else 1.0 for i in range(200)]
        shares = [0.0] * 1000
        for token, weight in zip(ids, weights, strict=True):
            shares[token] = weight / math.fsum(weights)
        assert {ts.power(0.49, p) for p in shares if p > 0} == {0.0}
        want = ids[min(heavy, default=0)]
        assert ts.select(1, key, context, shares) == want
        assert sequence.select_candidates(ids, weights) == want


@pytest.mark.parametrize("revision", [1, 2])
def test_textseal_gives_equals_to_the_lowest_id(revision: ts.Revision) -> None:
    hashes = [ts.token_hash(42, (7,), t) for t in range(20000)]
    assert hashes.count(max(hashes)) > 1
    sequence = sequence_of(f"meta/textseal-{revision}", 42, {}, [7])
    assert sequence.select(np.zeros(20000, np.float32)) == hashes.index(max(hashes))


def context_of_a_zero(key: int) -> int:
    """A token after which token 0 has the hash 0 and token 1 a large one."""
    return next(
        c
        for c in range(10**6)
        if ts.token_hash(key, (c,), 0) == 0 and ts.token_hash(key, (c,), 1) > 4000
    )


def with_exponent(key: int, context: int, exponent: float) -> list[float]:
    """Probabilities of tokens 0 and 1 with -ln(u) / p of token 1 as given."""
    p = -math.log(ts.token_hash(key, (context,), 1) / ts.MODULUS) / exponent
    return [1 - p, p]


@pytest.mark.parametrize(
    ("revision", "exponent", "token"),
    [
        (2, 60.0, 1),
        (2, 110.0, 0),
        (1, 60.0, 1),
        (1, 90.0, 1),
        (1, 103.6, 1),  # binary32 rounds to 0 from 103.97 on
        (1, 104.1, 0),
        (1, 110.0, 0),
    ],
)
def test_textseal_where_u_is_0(revision: ts.Revision, exponent: float, token: int) -> None:
    key = 42
    context = context_of_a_zero(key)
    probabilities = with_exponent(key, context, exponent)
    assert ts.select(revision, key, (context,), probabilities) == token
    sequence = sequence_of(f"meta/textseal-{revision}", key, {}, [context])
    assert sequence.select_candidates([0, 1], probabilities) == token


@pytest.mark.parametrize("most", [1.0, 0.9])
def test_sglang_remembers_a_context_of_one_candidate(most: float) -> None:
    parameters = {"context_window": 1, "max_probability": most}
    sequence = sequence_of("sglang/aaronson-1", 5, parameters, [1])
    request = sg.Request((5,), sg.Parameters(1, most), [1])
    was_marked = request.select([0, 1, 0, 0]) == 1
    assert was_marked == (most == 1)
    request.observe(1, was_marked=was_marked)
    assert sequence.sample(np.array([0, 9, 0, 0], np.float32), top_p=0.5) == 1
    assert sequence.stats.greedy == 1  # so the library counts where there is one candidate

    row = np.array([0, 1, 0, 0], np.float32)
    want = request.select(softmax(row.tolist()))
    assert (want is None) == was_marked
    assert want in (None, sequence.sample(row))
    assert (sequence.stats.marked, sequence.stats.free) == ((0, 1) if was_marked else (1, 0))


# The library: where the mark only shapes an ordinary draw


def check_frequencies(
    sequence: cm.Sequence, row: Logits, want: Sequence[float], **sampling: Any
) -> None:
    draws = 2500
    counts = Counter(sequence.fork(i).select(row, **sampling) for i in range(draws))
    for token, p in enumerate(want):
        assert abs(counts[token] - draws * p) <= 5 * math.sqrt(draws * p * (1 - p)) + 1e-6


@pytest.mark.parametrize("mark", sy_marks())
@pytest.mark.parametrize("keys", [(4,), (654, 400, 836, 123, 340)], ids=str)
@pytest.mark.parametrize("response", [[], [1], [3, 4, 5, 6, 7], [3, 4, 5, 6, 3, 4]], ids=str)
def test_library_draws_as_synthid(mark: sy.Mark, keys: sy.Keys, response: list[int]) -> None:
    p, row = sy.Parameters(3), rows(5, 1, 10)[0]
    sequence = sequence_of(mark, list(keys), {"ngram_len": 3}, [9, 9])
    for token in response:
        sequence.observe(token)
    want = softmax(five_largest(row.tolist()), 0.7)
    if sy.is_marked(mark, keys, p, response):
        want = sy.update(mark, keys, p, sy.context_at(response, len(response), p.width), want)
    check_frequencies(sequence, row, want, temperature=0.7, top_k=5)


@pytest.mark.parametrize("mark", sy_marks())
@pytest.mark.parametrize("response", [[], [1], [1, 2]], ids=str)
def test_library_skips_first_positions(mark: sy.Mark, response: list[int]) -> None:
    keys = (4, 5)
    p, row = sy.Parameters(3, skip_first_ngram_calls=True), rows(6, 1, 10)[0]
    sequence = sequence_of(mark, [4, 5], {"ngram_len": 3, "skip_first_ngram_calls": True})
    for token in response:
        sequence.observe(token)
    want = softmax(row.tolist())
    assert sy.is_marked(mark, keys, p, response) == (len(response) == 2)
    if sy.is_marked(mark, keys, p, response):
        want = sy.update(mark, keys, p, response, want)
    check_frequencies(sequence, row, want)


KEYS_3 = (654, 400, 836)
#: Contexts of three tokens with the hash 0, under these keys.
OF_HASH_0: dict[sy.Mark, list[int]] = {
    "hf/synthid-1": [14, 2129251809, 2100320249],
    "deepmind/synthid-2": [3, 647056381, 2075217642],
}


@pytest.mark.parametrize("mark", sy_marks())
@pytest.mark.parametrize(("before", "history"), [(0, 1024), (0, 4), (0, 3), (5, 9), (5, 8)])
def test_library_leaves_a_context_of_hash_0(mark: sy.Mark, before: int, history: int) -> None:
    response, row = [*range(before), *OF_HASH_0[mark]], rows(7, 1, 10)[0]
    p = sy.Parameters(4, history)
    assert sy.hash_of(mark, KEYS_3, response[before:]) == 0
    sequence = sequence_of(mark, list(KEYS_3), {"ngram_len": 4, "context_history_size": history})
    for token in response:
        sequence.observe(token)
    want = softmax(row.tolist())
    assert sy.is_marked(mark, KEYS_3, p, response) == (history <= before + 3)
    if history <= before + 3:
        want = sy.update(mark, KEYS_3, p, sy.context_at(response, before + 3, p.width), want)
    check_frequencies(sequence, row, want)


@pytest.mark.parametrize("mark", sy_marks())
def test_engine_leaves_a_context_of_hash_0(mark: sy.Mark) -> None:
    for history in (1, 2, 3):
        case = synthid_case(mark, KEYS_3, ngram_len=4, context_history_size=history)
        for before in range(4):
            tokens = [*range(before), *OF_HASH_0[mark], 1, 2, 3]
            positions = sy.engine_positions(mark, KEYS_3, sy.Parameters(4, history), tokens)
            assert (before + 3 in positions) == (before >= history)
            check_detection(case, tokens)


@pytest.mark.parametrize("mark", sy_marks())
@pytest.mark.parametrize("keys", [(4,), KEYS_3], ids=str)
@pytest.mark.parametrize("skips", [False, True])
def test_library_takes_the_largest_as_synthid(mark: sy.Mark, keys: sy.Keys, skips: bool) -> None:
    """Truncation is left out at temperature 0."""
    parameters = {"ngram_len": 3, "context_history_size": 6, "skip_first_ngram_calls": skips}
    p, response, marked = sy.Parameters(3, 6, skip_first_ngram_calls=skips), list[int](), 0
    sequence, changed = sequence_of(mark, list(keys), parameters, [9, 9]), 0
    for row in rows(10, 120, 4):
        shares = softmax(row.tolist())
        want = sy.greedy(mark, keys, p, response, shares)
        marked += mark == "hf/synthid-1" and sy.is_marked(mark, keys, p, response)
        changed += want != argmax(shares)
        assert sequence.sample(row, temperature=0, top_k=1, top_p=0.5) == want
        response.append(want)
    assert sequence.stats.marked == marked
    assert (changed > 3) == (30 < marked < 110) == (mark == "hf/synthid-1")


VOCAB = 60
GREEN: list[tuple[gl.Mark, gl.Parameters]] = [
    *(
        (mark, gl.Parameters(VOCAB, 0.25, 1.5, width))
        for mark in ("hf/kgw-lefthash-1", "hf/kgw-selfhash-1")
        for width in (1, 3)
    ),
    *(
        (mark, gl.of_sbw(mark, generator, VOCAB))
        for mark in ("sbw/lefthash-1", "sbw/selfhash-1")
        for generator in ("philox", "randperm")
    ),
]


@pytest.mark.parametrize(("mark", "p"), GREEN, ids=str)
def test_library_takes_the_largest_with_bias(mark: gl.Mark, p: gl.Parameters) -> None:
    case = green_case(mark, 15485863, p)
    for length in range(7):
        for seed in range(4):
            before, row = text(seed, length, VOCAB), rows(seed, 1, VOCAB)[0]
            prompt, response = before[: length // 2], before[length // 2 :]
            sequence = sequence_of(mark, case.key, case.parameters, prompt)
            for token in response:
                sequence.observe(token)
            want = argmax(gl.biased(mark, 15485863, p, before, row.tolist()))
            assert sequence.select(row, temperature=0) == want


@pytest.mark.parametrize("mark", ["hf/kgw-selfhash-1", "sbw/selfhash-1"])
@pytest.mark.parametrize("rank", [1, 39, 40, 41, 42])
def test_how_many_of_the_likeliest_the_self_hash_looks_at(mark: gl.Mark, rank: int) -> None:
    key, vocab, before = 15485863, 64, [3, 1, 4, 1, 5]
    p = gl.Parameters(vocab, 0.1, 60.0, 4)
    green = [
        t for t in range(vocab) if gl.is_green(mark, p, gl.seed_of(mark, key, p, before, t), t)
    ]
    assert 1 < len(green) < vocab - 42
    order = [t for t in range(vocab) if t not in green]
    order = [*order[: rank - 1], green[0], *order[rank - 1 :], *green[1:]]
    row = np.zeros(vocab, np.float32)
    row[order] = -np.arange(vocab)
    is_looked_at = rank <= (gl.LIKELIEST_OF_SBW if gl.is_sbw(mark) else gl.LIKELIEST)
    want = green[0] if is_looked_at else order[0]
    assert argmax(gl.biased(mark, key, p, before, row.tolist())) == want
    case = green_case(mark, key, p)
    sequence = sequence_of(mark, key, case.parameters, before)
    assert sequence.select(row, temperature=0) == want


@pytest.mark.parametrize(("mark", "p"), GREEN, ids=str)
def test_library_draws_with_bias(mark: gl.Mark, p: gl.Parameters) -> None:
    case, before, row = green_case(mark, 15485863, p), text(9, 6, VOCAB), rows(9, 1, VOCAB)[0]
    sequence = sequence_of(mark, case.key, case.parameters, before)
    if gl.is_sbw(mark):
        shaped = gl.biased(mark, 15485863, p, before, row.tolist())
        want = softmax(five_largest([x / 0.5 for x in shaped]))
    else:
        want = softmax(gl.biased(mark, 15485863, p, before, five_largest(scaled(row, 0.5))))
    check_frequencies(sequence, row, want, temperature=0.5, top_k=5)


def five_largest(logits: Sequence[float]) -> list[float]:
    least = sorted(logits, reverse=True)[4]
    return [x if x >= least else -math.inf for x in logits]
