"""Marking through transformers' generate(), on a model of a few thousand random weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import countermark as cm

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from transformers import LogitsProcessor  # noqa: E402

from countermark.adapters.transformers import MarkingProcessor  # noqa: E402

VOCAB = 300
END = 2


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        eos_token_id=END,
        pad_token_id=0,
    )
    return transformers.LlamaForCausalLM(config).eval()


@pytest.fixture
def ring() -> cm.KeyRing:
    ring = cm.KeyRing.generate()
    tokenizer = {"name": "test", "vocab_size": VOCAB, "fingerprint": "0" * 32}
    ring.import_secret("prod", bytes(32), tokenizer=tokenizer)
    ring.import_secret("named", bytes([1]) * 32, accounts=True, tokenizer=tokenizer)
    return ring


PROMPT = torch.tensor([[5, 6, 7]] * 3)


def generate(model: Any, marker: MarkingProcessor, tokens: int = 120, **options: Any) -> Any:
    output = model.generate(
        PROMPT,
        attention_mask=torch.ones_like(PROMPT),
        max_new_tokens=tokens,
        do_sample=False,
        logits_processor=[marker],
        **options,
    )
    marker.finish(output)
    return output


def test_every_row_is_marked_and_seen_whole(model: Any, ring: cm.KeyRing) -> None:
    marker = MarkingProcessor(cm.Sampler(ring, "prod"), seed=3, eos_token_id=END)
    output = generate(model, marker, suppress_tokens=[END])
    detector = cm.Detector(ring, ["prod"])
    assert len({tuple(row) for row in output[:, 3:].tolist()}) == 3
    for row, sequence in zip(output, marker.sequences, strict=True):
        assert sequence.tokens.tolist() == row[3:].tolist()
        assert sequence.stats.forced == 0
        detection = detector.detect(row[3:])
        assert detection.verdict == "marked"
        assert detection.log10_p == pytest.approx(sequence.stats.expected_log10_p, rel=0.3)


def test_rows_that_ended_are_left_alone(model: Any, ring: cm.KeyRing) -> None:
    class Ends(LogitsProcessor):  # type: ignore[misc]
        def __call__(self, input_ids: Any, scores: Any) -> Any:
            if input_ids.shape[1] == 13:
                scores[1] = -torch.inf
                scores[1, END] = 0
            else:
                scores[:, END] = -torch.inf
            return scores

    marker = MarkingProcessor(cm.Sampler(ring, "prod"), eos_token_id=[END])
    output = model.generate(
        PROMPT,
        attention_mask=torch.ones_like(PROMPT),
        max_new_tokens=40,
        do_sample=False,
        logits_processor=[Ends(), marker],
    )
    marker.finish(output)
    assert [len(s) for s in marker.sequences] == [40, 11, 40]
    assert output[1, 14:].tolist() == [0] * (output.shape[1] - 14)


def test_each_row_for_its_account(model: Any, ring: cm.KeyRing) -> None:
    marker = MarkingProcessor(
        cm.Sampler(ring, "named"), accounts=[10, 11, None], eos_token_id=END, seed=1
    )
    output = generate(model, marker, tokens=150, suppress_tokens=[END])
    detector = cm.Detector(ring, ["named"])
    for row, own in zip(output[:, 3:], (10, 11, None), strict=True):
        scores = {a: detector.score_account(row, "named", a).log10_p for a in (10, 11, None)}
        assert min(scores, key=lambda a: scores[a]) == own
        assert scores[own] < -15


def test_temperature_0_is_said_to_mark_nothing(model: Any, ring: cm.KeyRing) -> None:
    marker = MarkingProcessor(cm.Sampler(ring, "prod"), temperature=0.0)
    output = generate(model, marker, tokens=30)
    plain = model.generate(
        PROMPT, attention_mask=torch.ones_like(PROMPT), max_new_tokens=30, do_sample=False
    )
    assert output.tolist() == plain.tolist()
    assert not any(s.stats.is_marked for s in marker.sequences)


def test_misuse_is_refused(model: Any, ring: cm.KeyRing) -> None:
    sampler = cm.Sampler(ring, "prod")
    with pytest.raises(cm.CountermarkError, match="accounts has 1 entries for 3 rows"):
        generate(model, MarkingProcessor(cm.Sampler(ring, "named"), accounts=[1]))
    used = MarkingProcessor(sampler)
    generate(model, used, tokens=5)
    with pytest.raises(cm.CountermarkError, match=r"serves one call of generate\(\)"):
        generate(model, used, tokens=5)
    marker = MarkingProcessor(sampler)
    scores = torch.zeros(2, VOCAB)
    marker(torch.tensor([[1, 2], [3, 4]]), scores)
    with pytest.raises(cm.CountermarkError, match="reordered or rewritten"):
        marker(torch.tensor([[3, 4, 9], [1, 2, 9]]), scores)
    with pytest.raises(cm.CountermarkError, match="NaN"):
        MarkingProcessor(sampler)(torch.tensor([[1]]), torch.full((1, VOCAB), np.nan))


def test_the_vocabulary_may_be_padded(ring: cm.KeyRing) -> None:
    scores = torch.full((1, VOCAB + 20), 50.0)
    scores[:, :VOCAB] = 0.0
    drawn = MarkingProcessor(cm.Sampler(ring, "prod"))(torch.tensor([[1]]), scores)
    assert int(drawn.argmax()) < VOCAB
    assert torch.isfinite(drawn).sum() == 1
