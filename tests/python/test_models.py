"""Detection with a language model at hand: proxies in every form, and replays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import countermark as cm
from conftest import TOKENIZER, VOCAB, row, secret_of
from countermark.models import probabilities_of

Ids = npt.NDArray[np.int32]
PROMPT = [5, 6, 7]
TEMPERATURE = 0.7


def softmax(logits: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    weights = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    normalised: npt.NDArray[np.float64] = weights / weights.sum(axis=-1, keepdims=True)
    return normalised


@pytest.fixture(scope="module")
def rows() -> npt.NDArray[np.float32]:
    """Logits of 120 positions; every second one is nearly certain."""
    rows = np.stack([row(step) for step in range(120)])
    rows[::2] *= 6
    return rows


@pytest.fixture(scope="module")
def probabilities(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    return softmax(rows / TEMPERATURE)


@pytest.fixture(scope="module")
def keys() -> cm.KeyRing:
    ring = cm.KeyRing.generate()
    ring.import_secret("prod", secret_of(1), tokenizer=TOKENIZER)
    ring.import_secret("named", secret_of(2), accounts=True, tokenizer=TOKENIZER)
    return ring


@pytest.fixture(scope="module")
def answer(keys: cm.KeyRing, rows: npt.NDArray[np.float32]) -> Ids:
    sequence = cm.Sampler(keys, "prod").sequence(seed=1)
    for logits in rows:
        sequence.sample(logits, temperature=TEMPERATURE)
    return sequence.tokens


def test_a_proxy_finds_what_the_key_alone_does_not(
    keys: cm.KeyRing, answer: Ids, probabilities: npt.NDArray[np.float64]
) -> None:
    detector = cm.Detector(keys, ["prod"])
    alone = detector.detect(answer)
    knowing = detector.detect(answer, proxy=lambda ids: probabilities)
    assert knowing.log10_p < 1.5 * alone.log10_p
    assert knowing.log10_e > 0.8 * -knowing.log10_p
    assert [t.statistic for t in knowing.best.tests][:2] == ["likelihood", "sum"]
    assert sum(t.share for t in knowing.best.tests) == pytest.approx(1)
    entropy = -np.sum(probabilities * np.log2(np.maximum(probabilities, 1e-300)))
    assert knowing.entropy_bits == pytest.approx(entropy, rel=1e-9)
    assert alone.entropy_bits is None


def test_a_proxy_may_be_dense_sparse_or_in_chunks(
    keys: cm.KeyRing, answer: Ids, probabilities: npt.NDArray[np.float64]
) -> None:
    torch = pytest.importorskip("torch")
    detector = cm.Detector(keys, ["prod"])
    likely = np.argsort(-probabilities, axis=1)[:, :200]
    sparse = (likely, np.take_along_axis(probabilities, likely, 1))

    def chunks(ids: Ids) -> Iterator[Any]:
        yield probabilities[:50]
        yield probabilities[50:51].astype(np.float32)
        yield (sparse[0][51:], sparse[1][51:])

    expected = detector.detect(answer, proxy=lambda ids: probabilities).log10_p
    for proxy in (
        lambda ids: probabilities.astype(np.float32),
        lambda ids: torch.from_numpy(probabilities),
        lambda ids: torch.from_numpy(probabilities).float(),
        lambda ids: list(probabilities.reshape(4, 30, VOCAB)),
        lambda ids: sparse,
        chunks,
    ):
        assert detector.detect(answer, proxy=proxy).log10_p == pytest.approx(expected, abs=0.2)


def test_a_proxy_is_asked_with_the_token_ids(keys: cm.KeyRing, answer: Ids) -> None:
    asked: list[Ids] = []

    def proxy(ids: Ids) -> npt.NDArray[np.float64]:
        asked.append(ids)
        return np.zeros((len(ids), VOCAB))

    cm.Detector(keys).detect(answer.tolist(), proxy=proxy)
    assert len(asked) == 1
    assert asked[0].dtype == np.int32
    assert np.array_equal(asked[0], answer)


def test_what_a_proxy_does_not_list_says_nothing() -> None:
    ids = np.array([3, 9, 4], dtype=np.int32)
    listed = np.array([[3, 1], [1, 2], [4, 4]])
    known, entropy = probabilities_of(
        lambda _: (listed, np.array([[0.25, 0.5], [0.5, 0.5], [0.5, 0.0]])), ids
    )
    assert np.array_equal(known, [0.25, np.nan, 0.5], equal_nan=True)
    assert entropy == pytest.approx(0.5 + 0.5 + 1.0 + 0.5)


@pytest.mark.parametrize(
    ("proxy", "code", "says"),
    [
        (lambda ids: row(0)[None].repeat(120, 0), "invalid_probability", "softmax"),
        (lambda ids: np.full((120, VOCAB), np.nan), "invalid_probability", "row 0"),
        (lambda ids: np.full((120, 10), 0.1), "token_out_of_range", "vocabulary has 10"),
        (lambda ids: np.zeros((119, VOCAB)), "size_mismatch", "119 rows for 120"),
        (lambda ids: np.zeros((121, VOCAB)), "size_mismatch", "more rows for 120"),
        (lambda ids: np.zeros(120), "size_mismatch", "[n, vocab]"),
        (lambda ids: (np.zeros((120, 3)), np.zeros((120, 2))), "size_mismatch", "one shape"),
        (lambda ids: 7, "invalid_option", "int"),
        ("gpt", "invalid_option", "callable"),
    ],
)
def test_what_a_proxy_gets_wrong_is_named(
    keys: cm.KeyRing, answer: Ids, proxy: Any, code: str, says: str
) -> None:
    with pytest.raises(cm.CountermarkError) as caught:
        cm.Detector(keys, ["prod"]).detect(answer, proxy=proxy)
    assert caught.value.code == code
    assert says in str(caught.value)


def test_a_replay_takes_the_entropy_for_evidence(
    keys: cm.KeyRing, answer: Ids, rows: npt.NDArray[np.float32]
) -> None:
    detector = cm.Detector(keys, ["prod"])
    found = detector.replay([], answer, lambda p, t: rows, temperature=TEMPERATURE)
    assert (found.verdict, found.profile) == ("marked", "prod")
    assert found.entropy_bits is not None
    # Within the spread of the surprise about the entropy, and less the share for failed draws.
    assert found.log10_e == pytest.approx(found.entropy_bits * np.log10(2), rel=0.2)
    assert found.log10_p <= -found.log10_e + 1e-9
    assert [t.statistic for t in found.best.tests] == ["replay"]
    other = detector.replay([], answer, lambda p, t: rows[::-1], temperature=TEMPERATURE)
    assert other.verdict != "marked"


def test_a_model_may_take_prompt_and_answer_apart_or_together(
    keys: cm.KeyRing, answer: Ids, rows: npt.NDArray[np.float32]
) -> None:
    torch = pytest.importorskip("torch")
    detector = cm.Detector(keys, ["prod"])
    # What a causal language model returns for prompt and answer: row i is for token i + 1.
    whole = np.concatenate(
        [np.zeros((2, VOCAB), np.float32), rows, np.zeros((1, VOCAB), np.float32)]
    )

    def together(ids: Ids) -> npt.NDArray[np.float32]:
        assert ids.tolist() == [*PROMPT, *answer.tolist()]
        return whole

    def apart(prompt_ids: Ids, token_ids: Ids) -> Iterator[Any]:
        assert prompt_ids.tolist() == PROMPT
        assert np.array_equal(token_ids, answer)
        yield rows[:7]
        yield torch.from_numpy(rows[7:])

    expected = detector.replay(PROMPT, answer, lambda ids: rows, temperature=TEMPERATURE).log10_e
    for model in (together, apart):
        found = detector.replay(PROMPT, answer, model, temperature=TEMPERATURE)
        assert found.log10_e == expected
    assert expected > 20


def test_a_replay_knows_the_account(keys: cm.KeyRing, rows: npt.NDArray[np.float32]) -> None:
    sequence = cm.Sampler(keys, "named").sequence(account=7, seed=1)
    for logits in rows:
        sequence.sample(logits, temperature=TEMPERATURE)
    detector = cm.Detector(keys, ["named"])

    def log10_e(account: int | None) -> float:
        return detector.replay(
            [], sequence.tokens, lambda p, t: rows, temperature=TEMPERATURE, account=account
        ).log10_e

    assert log10_e(7) > log10_e(8) + 5
    assert log10_e(7) > log10_e(None) + 5
    with pytest.raises(cm.CountermarkError) as caught:
        cm.Detector(keys, ["prod"]).replay([], sequence.tokens, lambda p, t: rows, account=7)
    assert caught.value.code == "account_mismatch"


@pytest.mark.parametrize(
    ("model", "options", "code", "says"),
    [
        (lambda p, t: np.zeros((119, VOCAB), np.float32), {}, "size_mismatch", "119 rows for 120"),
        (lambda p, t: np.zeros((121, VOCAB), np.float32), {}, "size_mismatch", "121 rows for 120"),
        (lambda p, t: np.zeros((120, 9), np.float32), {}, "size_mismatch", "row 0"),
        (lambda p, t: np.full((120, VOCAB), np.nan, np.float32), {}, "invalid_logits", "NaN"),
        (lambda p, t: np.zeros((120, VOCAB)), {}, "invalid_option", "float32"),
        (
            lambda p, t: np.zeros((120, VOCAB), np.float32),
            {"epsilon": 0},
            "invalid_option",
            "epsilon",
        ),
        (lambda p, t: np.zeros((120, VOCAB), np.float32), {"top_p": 0}, "invalid_option", "top_p"),
        ("gpt", {}, "invalid_option", "callable"),
    ],
)
def test_what_a_replay_gets_wrong_is_named(
    keys: cm.KeyRing, answer: Ids, model: Any, options: dict[str, Any], code: str, says: str
) -> None:
    with pytest.raises(cm.CountermarkError) as caught:
        cm.Detector(keys, ["prod"]).replay([], answer, model, **options)
    assert caught.value.code == code
    assert says in str(caught.value)
    with pytest.raises(cm.CountermarkError):
        cm.Detector(keys, ["prod"]).replay([], [], lambda p, t: np.zeros((0, VOCAB), np.float32))


def test_a_replay_can_be_looked_at_as_it_runs(
    keys: cm.KeyRing, answer: Ids, rows: npt.NDArray[np.float32]
) -> None:
    replay = cm.Replay(keys, ["prod"], temperature=TEMPERATURE)
    seen = []
    for begin in range(0, 120, 30):
        replay.observe(rows[begin : begin + 30], answer[begin : begin + 30])
        seen.append(replay.detection().log10_p)
    assert seen == sorted(seen, reverse=True)
    whole = cm.Detector(keys, ["prod"]).replay(
        [], answer, lambda p, t: rows, temperature=TEMPERATURE
    )
    assert seen[-1] == whole.log10_p
