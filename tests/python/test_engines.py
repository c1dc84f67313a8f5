"""Other engines' marks from Python: keys, configurations, the engines' own golden numbers."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import countermark as cm
from conftest import SHARED, TOKENIZER, row
from countermark import engines

KEYS: dict[str, Any] = {
    "vllm/gumbel-1": 42,
    "vllm/dual-gumbel-1": 42,
    "sglang/aaronson-1": "0123456789abcdef",
    "sglang/aaronson-dual-1": ["0123456789abcdef", "0xff"],
    "hf/synthid-1": list(range(1, 31)),
    "deepmind/synthid-2": list(range(1, 31)),
    "hf/kgw-lefthash-1": 15485863,
    "meta/textseal-2": [42, -7],
    "sbw/selfhash-1": 15485863,
}
PARAMETERS = {"hf/kgw-lefthash-1": {"vocab_size": 1000}}


def ring_of(mark: str, key: Any = None, **parameters: Any) -> cm.KeyRing:
    """Return a ring with the profile "e"."""
    ring = cm.KeyRing.generate()
    given = {**PARAMETERS.get(mark, {}), **parameters}
    ring.import_engine_key("e", mark, KEYS[mark] if key is None else key, **given)
    return ring


def answer(ring: cm.KeyRing, tokens: int = 200, prompt: Any = (5, 6, 7, 8)) -> cm.Sequence:
    """Return a sequence of so many tokens."""
    sequence = cm.Sampler(ring, "e").sequence(seed=1, prompt=prompt)
    for step in range(tokens):
        sequence.sample(row(step))
    return sequence


@pytest.mark.parametrize("mark", KEYS)
def test_what_is_marked_is_found_and_saved_and_identified(mark: str, tmp_path: Path) -> None:
    ring = ring_of(mark)
    tokens = answer(ring).tokens
    ring.save(tmp_path / "ring")
    found = cm.Detector(cm.KeyRing.open(tmp_path / "ring")).detect(tokens)
    assert found.verdict == "marked"
    engine = found.best.engine
    assert engine is not None
    assert engine.remark
    assert (engine.log10_p is None) == ("synthid" in mark)
    assert json.loads(found.to_json())["results"][0]["engine"]["scored"] == engine.scored
    fits = cm.identify([tokens], KEYS[mark], vocab_size=1000)
    assert fits[0].fits
    assert mark in [fit.mark for fit in fits[:3]]
    assert not cm.identify([np.arange(200)], KEYS[mark])[0].fits


def test_a_profile_of_an_engine_has_no_commitment_and_says_what_it_is() -> None:
    profile = ring_of("vllm/gumbel-1").profile("e")
    assert profile.commitment is None
    assert re.fullmatch("[0-9a-f]{16}", profile.key_id)
    assert profile.parameters["context_width"] == 4
    assert profile.parameters["padding"] == -1
    assert profile.warning is None
    assert cm.Profile.from_json(profile.to_json()) == profile
    # Its key is 42; the id is drawn at random, and may hold these digits by chance.
    assert "42" not in repr(profile).replace(profile.key_id, "")
    weak = ring_of("meta/textseal-2").profile("e").warning
    assert weak is not None
    assert "reading old text" in weak


def test_placements_are_refused_for_an_engines_mark() -> None:
    sampler = cm.Sampler(ring_of("vllm/gumbel-1"), "e")
    with pytest.raises(cm.CountermarkError, match='row 0: profile "e" has the mark vllm/gumbel-1'):
        sampler.placements([sampler.sequence()])


def test_a_prompt_lets_the_first_tokens_be_scored() -> None:
    ring = ring_of("sglang/aaronson-1")
    tokens = answer(ring, 50).tokens
    detector = cm.Detector(ring)
    assert detector.detect(tokens, start="unknown").scored == 46
    assert detector.detect(tokens, start="unknown", prompt=[5, 6, 7, 8]).scored == 50
    assert detector.detect(tokens, start="unknown", prompt=[]).scored == 49


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ([], "got none"),
        (2**64, "key 0 must be in"),
        (-(2**63) - 1, "key 0 must be in"),
        (1.5, "must be a number, got float"),
        (True, "must be a number, got bool"),
        ("xyz", "1 to 16 hexadecimal digits"),
        ("1" * 17, "1 to 16 hexadecimal digits"),
        ([1, "-2"], "key 1 is a string"),
        ([1, 2], "is 1 x 64 bits, got 128"),
        (b"abc", "got bytes"),
    ],
)
def test_a_key_that_is_none_is_refused_without_being_told(key: Any, says: str) -> None:
    ring = cm.KeyRing.generate()
    with pytest.raises((cm.CountermarkError, TypeError), match=says) as error:
        ring.import_engine_key("e", "vllm/gumbel-1", key)
    assert "xyz" not in str(error.value)
    assert not ring.profiles


def test_keys_are_numbers_of_64_bits_however_they_are_written() -> None:
    assert engines.words_of(-1) == [2**64 - 1]
    assert engines.words_of("0xFF") == engines.words_of("ff") == engines.words_of([255]) == [255]
    assert engines.words_of(np.int64(7)) == [7]


CONFIGS: list[tuple[Any, str, list[int], dict[str, Any]]] = [
    (
        {"algorithm": "gumbel", "key": 42, "context_width": 3, "prf": "philox"},
        "vllm/gumbel-1",
        [42],
        {"context_width": 3},
    ),
    (
        {
            "algorithm": "dual_key_gumbel",
            "key": 42,
            "alpha": 0.2,
            "deduplicate_contexts": "all",
            "deduplicate_contexts_max_history": None,
        },
        "vllm/dual-gumbel-1",
        [42],
        {
            "alpha": 0.2,
            "deduplicate_contexts": "all",
            "deduplicate_contexts_max_history": None,
        },
    ),
    (
        {"key": "0xabc", "context_window": 2, "default_enabled": True},
        "sglang/aaronson-1",
        [0xABC],
        {"context_window": 2},
    ),
    (
        {"key": "1", "key_b": "2", "mixing_probability": 0.25},
        "sglang/aaronson-dual-1",
        [1, 2],
        {"mixing_probability": 0.25},
    ),
    (
        {"watermarking_config": {"ngram_len": 4, "keys": [1, 2, 3], "context_history_size": 9}},
        "hf/synthid-1",
        [1, 2, 3],
        {"ngram_len": 4, "context_history_size": 9},
    ),
    (
        {"greenlist_ratio": 0.5, "seeding_scheme": "selfhash", "bias": 1.0, "vocab_size": 99},
        "hf/kgw-selfhash-1",
        [15485863],
        {"greenlist_ratio": 0.5, "bias": 1.0, "vocab_size": 99},
    ),
    (
        {"secret_key": 42, "ngram": 2, "watermark_type": "gumbelmax", "scoring_method": "v1"},
        "meta/textseal-2",
        [42],
        {"ngram": 2, "scoring_method": "v1"},
    ),
    (
        {"secret_key": 42, "watermark_type": "textseal"},
        "meta/textseal-2",
        [42, 12387],
        {"mixing_alpha": 0.5},
    ),
]


@pytest.mark.parametrize(("config", "mark", "words", "parameters"), CONFIGS)
def test_an_engines_configuration_says_mark_key_and_parameters(
    config: Any, mark: str, words: list[int], parameters: dict[str, Any], tmp_path: Path
) -> None:
    found = engines.read_config(config)
    assert (found.mark, found.words) == (mark, words)
    assert "words" not in repr(found)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    for given in (config, path, str(path), SimpleNamespace(to_dict=lambda: config)):
        profile = cm.KeyRing.generate().import_engine_key("e", config=given)
        assert profile.mark == mark
        assert {name: profile.parameters[name] for name in parameters} == parameters


def test_the_vocabulary_is_read_from_the_models_configuration_beside_it(tmp_path: Path) -> None:
    (tmp_path / "generation_config.json").write_text(
        json.dumps({"watermarking_config": {"greenlist_ratio": 0.25, "hashing_key": 7}})
    )
    (tmp_path / "config.json").write_text(json.dumps({"vocab_size": 321}))
    profile = cm.KeyRing.generate().import_engine_key("e", config=tmp_path)
    assert profile.mark == "hf/kgw-lefthash-1"
    assert profile.parameters["vocab_size"] == 321
    other = cm.KeyRing.generate().import_engine_key("e", config=tmp_path, vocab_size=5)
    assert other.parameters["vocab_size"] == 5


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"hidden_size": 5}, "of no engine that is known here .fields: hidden_size"),
        ({"algorithm": "gumbel", "key": 42, "prf": "hmac"}, "prf must be"),
        ({"algorithm": "sbw", "key": 42}, "algorithm must be"),
        ({"secret_key": 1, "watermark_type": "dipmark"}, "dipmark"),
        ({"seeding_scheme": "minhash"}, "lefthash"),
        ({"greenlist_ratio": 0.25}, "needs the parameter vocab_size"),
        (3, "config must be a path"),
    ],
)
def test_a_configuration_that_cannot_be_read_says_why(config: Any, says: str) -> None:
    with pytest.raises(cm.CountermarkError, match=says):
        cm.KeyRing.generate().import_engine_key("e", config=config)


def test_broken_files_and_contradictions_are_refused(tmp_path: Path) -> None:
    ring = cm.KeyRing.generate()
    with pytest.raises(cm.CountermarkError, match="cannot read"):
        ring.import_engine_key("e", config=tmp_path / "none.json")
    (tmp_path / "broken.json").write_text('{"key": 424242')
    with pytest.raises(cm.CountermarkError, match="not valid JSON") as error:
        ring.import_engine_key("e", config=tmp_path / "broken.json")
    assert "424242" not in str(error.value)
    with pytest.raises(cm.CountermarkError, match="give config or key, not both"):
        ring.import_engine_key("e", key=1, config={"key": 1})
    with pytest.raises(cm.CountermarkError, match="give mark and key, or config"):
        ring.import_engine_key("e", "vllm/gumbel-1")
    with pytest.raises(cm.CountermarkError, match="not of hf/synthid-1"):
        ring.import_engine_key("e", "hf/synthid-1", config={"key": 1})


def test_keys_and_parameters_that_are_none_are_refused_and_not_told() -> None:
    ring = cm.KeyRing.generate()
    config = {"secret_key": "deadbeefcafe0123", "mixing_alpha": 0.5}
    assert engines.read_config(config).words == [0xDEADBEEFCAFE0123, 0xDEADBEEFCAFE0123 + 12345]
    assert engines.read_config({"secret_key": 2**64 - 1, "mixing_alpha": 0.5}).words[1] == 12344
    assert len(engines.read_config({**config, "watermark_type": "gumbelmax"}).words) == 1
    with pytest.raises(cm.CountermarkError, match="vLLM's key must be a number") as error:
        ring.import_engine_key("e", config={"algorithm": "gumbel", "key": "deadbeef"})
    assert "deadbeef" not in str(error.value)
    with pytest.raises(cm.CountermarkError, match="finite numbers"):
        ring.import_engine_key("e", "vllm/dual-gumbel-1", 42, alpha=float("nan"))
    with pytest.raises(cm.CountermarkError, match="no parameter widht"):
        ring.import_engine_key("e", "vllm/gumbel-1", 42, widht=3)
    assert not ring.profiles


def test_identify_takes_prompts_and_refuses_what_does_not_match() -> None:
    ring = ring_of("sglang/aaronson-1")
    texts = [answer(ring, 40, [i, 6, 7, 8]).tokens for i in range(3)]
    prompts = [[i, 6, 7, 8] for i in range(3)]
    key = KEYS["sglang/aaronson-1"]
    with_prompts, without = cm.identify(texts, key, prompts)[0], cm.identify(texts, key)[0]
    assert with_prompts.mark == without.mark == "sglang/aaronson-1"
    assert with_prompts.scored > without.scored
    with pytest.raises(cm.CountermarkError, match="3 texts, and 1 prompts"):
        cm.identify(texts, key, prompts[:1])


def official(file: str) -> list[dict[str, Any]]:
    """Return an engine's own golden cases, which lie beside the checkout."""
    path = SHARED / "vectors" / file
    if not path.is_file():
        pytest.skip("needs the shared material beside the checkout")
    cases: list[dict[str, Any]] = json.loads(path.read_text())["official_goldens"]
    assert cases
    return cases


@pytest.mark.parametrize("file", ["vllm_gumbel_v1.json", "vllm_dual_key_gumbel_v1.json"])
def test_vllms_own_golden_detections(file: str) -> None:
    for case in official(file):
        if not case["detection_dedup"]:
            continue  # a text whose repeats are scored again has no p-value here
        is_dual = case["key_a"] is not None
        extra = {"alpha": case["detection_alpha"]} if is_dual else {}
        ring = ring_of(
            "vllm/dual-gumbel-1" if is_dual else "vllm/gumbel-1",
            int(case["detection_key"]),
            context_width=case["context_width"],
            **extra,
        )
        found = cm.Detector(ring).detect(case["tokens"], start="unknown")
        engine = found.best.engine
        assert engine is not None
        assert engine.scored == found.scored == case["num_scored_tokens"]
        assert found.best.score == pytest.approx(case["score"], rel=1e-12)
        assert engine.log10_p == pytest.approx(math.log10(case["p_value"]), rel=1e-9)
        if not is_dual:
            assert found.log10_p == pytest.approx(math.log10(case["p_value"]), rel=1e-9)


def test_vllms_own_golden_tokens_are_selected_here() -> None:
    for case in official("vllm_gumbel_v1.json"):
        ring = ring_of(
            "vllm/gumbel-1",
            int(case["key"]),
            context_width=case["context_width"],
            deduplicate_contexts=case["generation_dedup"],
            deduplicate_contexts_max_history=case["max_history"],
        )
        sequence = cm.Sampler(ring, "e").sequence(prompt=case["prompt"])
        ids = np.arange(case["vocab"])
        free = 0
        for position, token in enumerate(case["tokens"]):
            steps = (ids * 37 + position * 17) % 131 - 56.0
            if case["dominant"] is not None:
                steps[case["dominant"]] += case["bias"]
            selected = sequence.select((steps / 16).astype(np.float32))
            before = sequence.stats.free
            sequence.observe(selected)
            is_free = sequence.stats.free > before
            free += is_free
            assert is_free or selected == token
            sequence.rollback(1)
            sequence.observe(token)
        assert free == case["dedup_skips"]


def test_the_tokenizer_of_an_engines_profile_is_kept_to() -> None:
    ring = cm.KeyRing.generate()
    ring.import_engine_key("e", "vllm/gumbel-1", 42, tokenizer=TOKENIZER)
    with pytest.raises(cm.CountermarkError, match="token 1 of the text is 1000"):
        cm.Detector(ring).detect([1, 1000])
    with pytest.raises(cm.CountermarkError, match=r"prompt\[0\] is 5000"):
        cm.Sampler(ring, "e").sequence(prompt=[5000])
