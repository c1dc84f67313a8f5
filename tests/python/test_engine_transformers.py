"""The marks of transformers: what its generate() marks is detected, and the other way around.

Torch is seeded. What varies from machine to machine is the last place of torch's floats, which may
change a token and so the text after it: the bounds on texts are far from what comes out.
"""

from __future__ import annotations

import json
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import countermark as cm
from conftest import SHARED, row

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from transformers import (  # noqa: E402
    GenerationConfig,
    LogitsProcessorList,
    SynthIDTextWatermarkingConfig,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    WatermarkDetector,
    WatermarkingConfig,
)

TOKENS = 200
BOS, EOS = 1, 2
SYNTHID_KEYS = [654, 400, 836, 123, 340, 443, 597, 160, 57, 29, 590, 639]

CONFIGS = {
    "lefthash": WatermarkingConfig(bias=4.0, hashing_key=123456789),
    "selfhash": WatermarkingConfig(
        bias=4.0, hashing_key=987654321, seeding_scheme="selfhash", context_width=4
    ),
    "synthid": SynthIDTextWatermarkingConfig(ngram_len=5, keys=SYNTHID_KEYS),
}
GREEN_LISTS = ["lefthash", "selfhash"]


@pytest.fixture(scope="module")
def model() -> Iterator[Any]:
    folder = SHARED / "models" / "stories3m"
    if not folder.is_dir():
        pytest.skip(f"there is no model at {folder}")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the model is small: threads wait for each other
    yield transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    torch.set_num_threads(threads)


def ring_of(config: Any, vocab: int) -> cm.KeyRing:
    """Import a configuration as "engine"."""
    ring = cm.KeyRing.generate()
    size: dict[str, Any] = {}
    if isinstance(config, WatermarkingConfig):
        size["vocab_size"] = vocab
    ring.import_engine_key("engine", config=config, **size)
    return ring


def detect(ring: cm.KeyRing, ids: Sequence[int]) -> cm.ProfileResult:
    return cm.Detector(ring).detect(ids, start="unknown").results[0]


def engine_of(ring: cm.KeyRing, ids: Sequence[int]) -> cm.EngineResult:
    engine = detect(ring, ids).engine
    assert engine is not None
    return engine


def generate(model: Any, config: Any, do_sample: bool = True) -> list[int]:
    """Return what generate() answers, without the prompt."""
    torch.manual_seed(1)
    prompt = torch.tensor([[BOS]])
    output = model.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        watermarking_config=config,
        do_sample=do_sample,
        max_new_tokens=TOKENS,
        suppress_tokens=[EOS],
    )
    return [int(token) for token in output[0, 1:]]


def mark(model: Any, ring: cm.KeyRing, temperature: float = 1.0) -> list[int]:
    """Return what countermark samples from the model."""
    sequence = cm.Sampler(ring, "engine").sequence(seed=1, prompt=[BOS])
    ids = [BOS]
    with torch.no_grad():
        for _ in range(TOKENS):
            logits = model(torch.tensor([ids]), use_cache=False).logits[0, -1].numpy().copy()
            logits[EOS] = -np.inf
            ids.append(sequence.sample(logits, temperature=temperature))
    return ids[1:]


def shape_of(vocab: int) -> Any:
    """Stand in for a model's configuration."""
    return types.SimpleNamespace(vocab_size=vocab, bos_token_id=-1, is_encoder_decoder=False)


def processor_of(config: Any, vocab: int) -> Any:
    return config.construct_processor(vocab, "cpu")


# --- both directions ---


@pytest.mark.parametrize("name", CONFIGS)
def test_what_generate_marks_is_detected(model: Any, name: str) -> None:
    ids = generate(model, CONFIGS[name])
    assert len(ids) == TOKENS
    assert detect(ring_of(CONFIGS[name], model.config.vocab_size), ids).log10_p < -10
    for other in CONFIGS:
        if other != name:
            assert detect(ring_of(CONFIGS[other], model.config.vocab_size), ids).log10_p > -4


@pytest.mark.parametrize("name", GREEN_LISTS)
def test_what_countermark_marks_is_found_by_transformers(model: Any, name: str) -> None:
    ring = ring_of(CONFIGS[name], model.config.vocab_size)
    ids = mark(model, ring)
    found = WatermarkDetector(model.config, "cpu", CONFIGS[name])(
        torch.tensor([ids]), return_dict=True
    )
    assert found.z_score[0] > 7
    assert detect(ring, ids).log10_p < -10
    engine = engine_of(ring, ids)
    assert engine.scored == found.num_tokens_scored[0]
    assert engine.score == found.num_green_tokens[0]
    assert engine.log10_p == pytest.approx(np.log10(found.p_value[0]), rel=1e-9)


def test_what_countermark_marks_has_high_g_values(model: Any) -> None:
    ring = ring_of(CONFIGS["synthid"], model.config.vocab_size)
    ids = torch.tensor([mark(model, ring)])
    processor = processor_of(CONFIGS["synthid"], model.config.vocab_size)
    is_new = processor.compute_context_repetition_mask(ids)[0].numpy()
    bits = processor.compute_g_values(ids)[0].numpy()[is_new]
    weights = np.linspace(10, 1, len(SYNTHID_KEYS))
    means = bits @ weights / weights.sum()
    deviation = 0.5 * np.sqrt((weights**2).sum()) / weights.sum() / np.sqrt(len(means))
    assert means.mean() > 0.5 + 6 * deviation
    engine = engine_of(ring, ids[0].tolist())
    assert engine.scored == len(means)
    assert engine.score == pytest.approx(means.mean(), rel=1e-12)
    assert detect(ring, ids[0].tolist()).log10_p < -10


def test_synthid_marks_where_nothing_is_drawn(model: Any) -> None:
    ring = ring_of(CONFIGS["synthid"], model.config.vocab_size)
    ids = generate(model, CONFIGS["synthid"], do_sample=False)
    assert ids != generate(model, None, do_sample=False)
    assert detect(ring, ids).log10_p < -4  # there is little to choose from
    assert mark(model, ring, temperature=0.0) == ids


# --- element by element ---


def green_tokens(processor: Any, config: Any, context: list[int]) -> list[int]:
    """Return the tokens that transformers takes for green behind a context."""
    if config.seeding_scheme == "lefthash":
        return sorted(processor._get_greenlist_ids(torch.tensor(context)).tolist())
    windows = (torch.tensor([*context, token]) for token in range(processor.vocab_size))
    return [int(w[-1]) for w in windows if w[-1] in processor._get_greenlist_ids(w)]


def our_green_tokens(ring: cm.KeyRing, vocab: int, context: list[int]) -> list[int]:
    detector = cm.Detector(ring)
    texts = [[*context, token] for token in range(vocab)]
    scores = [detection.results[0] for detection in detector.detect_many(texts, 1, "unknown")]
    assert all(score.scored == 1 for score in scores)
    return [token for token, score in enumerate(scores) if score.score == 1.0]


@pytest.mark.parametrize("key", [15485863, 2**40 + 7])
@pytest.mark.parametrize(
    ("scheme", "width"), [("lefthash", 1), ("lefthash", 3), ("selfhash", 1), ("selfhash", 4)]
)
def test_green_lists_are_the_same(scheme: str, width: int, key: int) -> None:
    vocab, ratio = 501, 0.3
    config = WatermarkingConfig(ratio, 2.0, key, scheme, width)
    ring, processor = ring_of(config, vocab), processor_of(config, vocab)
    for seed in range(2):
        length = width - (scheme == "selfhash")
        context = [int(token) for token in np.random.default_rng(seed).integers(0, vocab, length)]
        theirs = green_tokens(processor, config, context)
        assert our_green_tokens(ring, vocab, context) == theirs


@pytest.mark.parametrize("key", [2**60 + 987654321, 2**63 - 1])
def test_green_lists_of_large_keys_are_the_same(key: int) -> None:
    # transformers multiplies key and token as numbers without limit.
    vocab = 501
    config = WatermarkingConfig(hashing_key=key)
    ring, processor = ring_of(config, vocab), processor_of(config, vocab)
    for token in (1, 3, 500):
        theirs = green_tokens(processor, config, [token])
        assert our_green_tokens(ring, vocab, [token]) == theirs


@pytest.mark.parametrize("key", [-1, -(2**63), 2**63, 2**64 - 1])
@pytest.mark.parametrize("scheme", GREEN_LISTS)
def test_keys_of_green_lists_that_are_no_words_are_refused(scheme: str, key: int) -> None:
    # transformers mixes whole numbers and words, which differ from here on.
    sources: list[dict[str, Any]] = [
        {"mark": f"hf/kgw-{scheme}-1", "key": key},
        {"config": WatermarkingConfig(hashing_key=key, seeding_scheme=scheme)},
    ]
    for source in sources:
        with pytest.raises(cm.CountermarkError, match="hashing_key") as caught:
            cm.KeyRing.generate().import_engine_key("engine", vocab_size=501, **source)
        assert caught.value.code == "invalid_key"


@pytest.mark.parametrize("key", [*SYNTHID_KEYS[:3], 2**63 - 1, -12345])
@pytest.mark.parametrize("ngram_len", [2, 5])
def test_g_values_are_the_same(ngram_len: int, key: int) -> None:
    config = SynthIDTextWatermarkingConfig(ngram_len, [key], sampling_table_seed=3)
    ring, processor = ring_of(config, 0), processor_of(config, 0)
    context = [5, 70000, 3, 123456][: ngram_len - 1]
    texts = [[*context, token] for token in range(500)]
    theirs = processor.compute_g_values(torch.tensor(texts)).flatten().tolist()
    assert [engine_of(ring, text).score for text in texts] == theirs


@pytest.mark.parametrize("vocab", [1000, 997])  # a quarter of 997 is no whole number
@pytest.mark.parametrize("ratio", [0.25, 0.3])
@pytest.mark.parametrize("scheme", GREEN_LISTS)
def test_transformers_numbers_are_told(scheme: str, ratio: float, vocab: int) -> None:
    config = WatermarkingConfig(greenlist_ratio=ratio, seeding_scheme=scheme, context_width=2)
    ring, detector = ring_of(config, vocab), WatermarkDetector(shape_of(vocab), "cpu", config)
    for seed, most in ((0, vocab), (1, 6)):  # the second repeats n-grams
        ids = np.random.default_rng(seed).integers(0, most, 200).tolist()
        found = detector(torch.tensor([ids]), return_dict=True)
        engine = engine_of(ring, ids)
        assert (engine.scored, engine.score) == (
            found.num_tokens_scored[0],
            found.num_green_tokens[0],
        )
        assert engine.log10_p == pytest.approx(np.log10(found.p_value[0]), rel=1e-6)


# --- selection ---


@pytest.mark.parametrize("key", [15485863, 2**40 + 7])
@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("scheme", GREEN_LISTS)
def test_the_likeliest_tokens_after_the_bias_are_the_same(
    scheme: str, width: int, key: int
) -> None:
    vocab = 300
    config = WatermarkingConfig(0.25, 3.0, key, scheme, width)
    processor = processor_of(config, vocab)
    prompt = [7, 8, 9]
    sequence = cm.Sampler(ring_of(config, vocab), "engine").sequence(seed=0, prompt=prompt)
    ids = list(prompt)
    for step in range(60):
        logits = row(step, vocab)
        scores = processor(torch.tensor([ids]), torch.from_numpy(logits[None].copy()))
        ids.append(int(scores.argmax()))
        assert sequence.sample(logits, temperature=0.0) == ids[-1]


@pytest.mark.parametrize("ngram_len", [2, 5])
def test_the_likeliest_tokens_after_synthid_are_the_same(ngram_len: int) -> None:
    vocab = 300
    config = SynthIDTextWatermarkingConfig(ngram_len, SYNTHID_KEYS, context_history_size=10)
    processor = processor_of(config, vocab)
    sequence = cm.Sampler(ring_of(config, vocab), "engine").sequence(seed=0, prompt=[7, 8])
    ids = [7, 8]
    for step in range(60):
        logits = row(step, vocab)
        scores = processor(torch.tensor([ids]), torch.from_numpy(logits[None].copy()))
        ids.append(int(scores.argmax()))
        assert sequence.sample(logits, temperature=0.0, top_k=5) == ids[-1]


@pytest.mark.parametrize("scheme", GREEN_LISTS)
def test_short_contexts_are_left_alone(scheme: str) -> None:
    # transformers wants a whole context before the token, of the self hash too.
    vocab, width = 300, 4
    config = WatermarkingConfig(0.25, 50.0, 15485863, scheme, width)
    processor, sampler = processor_of(config, vocab), cm.Sampler(ring_of(config, vocab), "engine")
    for length in range(1, 6):
        prompt = list(range(10, 10 + length))
        sequence = sampler.sequence(seed=0, prompt=prompt)
        for step in range(10):
            logits = row(step, vocab)
            scores = processor(torch.tensor([prompt]), torch.from_numpy(logits[None].copy()))
            assert sequence.select(logits, temperature=0.0) == int(scores.argmax()), length


def distance(counts: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float64]) -> float:
    """Return the largest distance of counts from what is expected, in deviations."""
    n = counts.sum()
    deviations = np.sqrt(np.maximum(n * probabilities * (1 - probabilities), 1.0))
    return float((np.abs(counts - n * probabilities) / deviations).max())


@pytest.mark.parametrize("name", CONFIGS)
def test_tokens_are_drawn_from_the_same_probabilities(name: str) -> None:
    # The logits are flat, and the self hash looks at 40 tokens alone.
    vocab, draws, prompt = 60, 4000, [7, 8, 9, 10]
    ring = ring_of(CONFIGS[name], vocab)
    sequence = cm.Sampler(ring, "engine").sequence(seed=0, prompt=prompt)
    warpers = [TemperatureLogitsWarper(0.7), TopKLogitsWarper(50)]
    processors = LogitsProcessorList([*warpers, processor_of(CONFIGS[name], vocab)])
    ids = list(prompt)
    for step in range(6):
        logits = 0.2 * row(step, vocab)
        scores = processors(torch.tensor([ids]), torch.from_numpy(logits[None].copy()))
        probabilities = torch.softmax(scores.double(), -1)[0].numpy()
        options: dict[str, Any] = {"temperature": 0.7, "top_k": 50}
        drawn = [sequence.fork(seed=i).select(logits, **options) for i in range(draws)]
        assert distance(np.bincount(drawn, minlength=vocab), probabilities) < 5
        ids.append(sequence.sample(logits, **options))


def test_synthid_leaves_the_same_positions_alone() -> None:
    config = SynthIDTextWatermarkingConfig(
        3, SYNTHID_KEYS, context_history_size=5, skip_first_ngram_calls=True
    )
    processor, vocab = processor_of(config, 4), 4
    sequence = cm.Sampler(ring_of(config, vocab), "engine").sequence(seed=0, prompt=[1, 2])
    ids, alone = [1, 2], 0
    for step in range(100):
        logits = row(step, vocab)
        before = torch.from_numpy(logits[None].copy())
        is_marked = not torch.equal(processor(torch.tensor([ids]), before), before)
        marked = sequence.stats.marked
        ids.append(sequence.sample(logits))
        assert (sequence.stats.marked > marked) == is_marked
        alone += not is_marked
    assert 10 < alone < 90


# --- configurations ---


@pytest.mark.parametrize("name", CONFIGS)
def test_configurations_are_imported(name: str, tmp_path: Path) -> None:
    config, vocab = CONFIGS[name], 4096
    direct = ring_of(config, vocab)
    GenerationConfig(watermarking_config=config).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"vocab_size": vocab}), encoding="utf-8")
    size = {} if name == "synthid" else {"vocab_size": vocab}
    sources: list[tuple[Any, dict[str, Any]]] = [
        (config.to_dict(), size),
        (GenerationConfig(watermarking_config=config), size),
        (tmp_path, {}),
        (tmp_path / "generation_config.json", {}),
        (str(tmp_path / "generation_config.json"), {}),
    ]
    ids = np.random.default_rng(0).integers(0, vocab, 100).tolist()
    for source, parameters in sources:
        ring = cm.KeyRing.generate()
        profile = ring.import_engine_key("engine", config=source, **parameters)
        assert profile.mark == direct.profile("engine").mark
        assert profile.parameters == direct.profile("engine").parameters
        assert detect(ring, ids).score == detect(direct, ids).score


def test_a_green_list_needs_to_know_the_vocabulary(tmp_path: Path) -> None:
    config = CONFIGS["lefthash"]
    GenerationConfig(watermarking_config=config).save_pretrained(tmp_path)
    for source in (config, tmp_path):
        with pytest.raises(cm.CountermarkError, match="vocab_size"):
            cm.KeyRing.generate().import_engine_key("engine", config=source)


def test_defaults_are_those_of_transformers() -> None:
    for config in (WatermarkingConfig(), SynthIDTextWatermarkingConfig(5, SYNTHID_KEYS)):
        values = config.to_dict()
        parameters = ring_of(config, 4096).profile("engine").parameters
        shared = values.keys() & parameters.keys()
        assert len(shared) >= 3
        assert {name: parameters[name] for name in shared} == {n: values[n] for n in shared}
        mark = ring_of(config, 4096).profile("engine").mark
        key = values.get("keys", values.get("hashing_key"))
        size = {} if "keys" in values else {"vocab_size": 4096}
        bare = cm.KeyRing.generate().import_engine_key("engine", mark, key, **size)
        assert bare.parameters == parameters
