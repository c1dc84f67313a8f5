from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import countermark as cm

VOCAB = 60


@pytest.fixture(scope="module")
def ring() -> cm.KeyRing:
    ring = cm.KeyRing.generate()
    ring.import_secret("prod", bytes(range(32)), purpose="distillation", free_prefix=0)
    ring.create_profile("wide", purpose="provenance")
    return ring


def marked(
    ring: cm.KeyRing, tokens: int, seed: int, profile: str = "prod"
) -> npt.NDArray[np.int32]:
    random = np.random.default_rng(seed)
    response = cm.Sampler(ring, profile).sequence(seed=seed)
    for _ in range(tokens):
        response.sample(random.normal(0, 1, VOCAB).astype(np.float32))
    return response.tokens


@pytest.mark.parametrize("weights", ["equal", "log", "reference", "most_powerful"])
def test_answers_that_know_the_key(ring: cm.KeyRing, weights: Any) -> None:
    random = np.random.default_rng(0)
    guilty = cm.DistillationTest(ring, "prod", weights=weights, decoys=19)
    innocent = cm.DistillationTest(ring, "prod", weights=weights, decoys=19)
    for n in range(10):
        guilty.add_answer([], marked(ring, 100, n))
        innocent.add_answer([1, 2, 3], random.integers(0, VOCAB, 100))
        for test in (guilty, innocent):
            test.add_reference(random.integers(0, VOCAB, 100))
    found = guilty.result()
    assert found.log10_p < -20
    assert found.log10_e > 10
    assert found.texts == 10
    assert found.positions == 980
    assert 500 < found.scored <= 980 + 980
    assert found.decoys.shape == (19,)
    assert found.decoy_rank == 1
    assert found.log10_rank_p == pytest.approx(np.log10(1 / 20))
    assert found.decoys_agree
    assert "log10_p=-" in repr(found)
    nothing = innocent.result()
    assert nothing.log10_p > -3
    assert nothing.log10_e < 2


@pytest.mark.parametrize("mark", ["vllm/gumbel-1", "sglang/aaronson-1"])
def test_answers_that_know_an_engines_key(mark: str) -> None:
    ring = cm.KeyRing.generate()
    ring.import_engine_key("engine", mark, 42)
    guilty = cm.DistillationTest(ring, "engine", decoys=19)
    innocent = cm.DistillationTest(ring, "engine", decoys=19)
    random = np.random.default_rng(0)
    for n in range(5):
        guilty.add_answer([], marked(ring, 100, n, "engine"))
        innocent.add_answer([], random.integers(0, VOCAB, 100))
    assert guilty.result().log10_p < -20
    assert guilty.result().decoy_rank == 1
    assert innocent.result().log10_p > -3
    with pytest.raises(cm.CountermarkError, match="accounts are found by the logs of"):
        guilty.add_log(1, [1, 2, 3])
    with pytest.raises(cm.CountermarkError, match="served responses are read for"):
        guilty.add_reading([1, 2], np.full((2, VOCAB), 1 / VOCAB), served=True)


def test_a_mark_that_leaves_no_uniform_for_each_pair_is_refused() -> None:
    ring = cm.KeyRing.generate()
    ring.import_engine_key("green", "hf/kgw-lefthash-1", 42, vocab_size=VOCAB)
    with pytest.raises(cm.CountermarkError, match="as one text instead"):
        cm.DistillationTest(ring, "green")


def test_a_prompt_that_is_repeated_does_not_count(ring: cm.KeyRing) -> None:
    test = cm.DistillationTest(ring, "prod", decoys=0)
    text = marked(ring, 100, 1)
    test.add_answer(text, text)
    assert test.result().positions == 0
    assert test.result().log10_p == 0


def test_readings_dense_sparse_and_in_chunks(ring: cm.KeyRing) -> None:
    random = np.random.default_rng(3)
    text = random.integers(0, VOCAB, 60).astype(np.int32)
    dense = random.dirichlet(np.full(VOCAB, 0.1), 60)
    order = np.argsort(dense, axis=1)[:, ::-1]
    results = []
    for form in (
        dense,
        (order, np.take_along_axis(dense, order, 1)),
        [dense[:10], (order[10:], np.take_along_axis(dense, order, 1)[10:])],
    ):
        test = cm.DistillationTest(ring, "prod", decoys=3)
        test.add_reading(text, form)
        results.append(test.result())
    assert results[0].positions == 57  # one context occurs twice
    assert results[0].scored > 300
    assert len({(r.scored, round(r.log10_p, 9)) for r in results}) == 1


def test_only_the_likeliest_of_a_long_row_count(ring: cm.KeyRing) -> None:
    big = cm.KeyRing.generate()
    big.create_profile("prod", purpose="distillation")
    test = cm.DistillationTest(big, "prod", decoys=0)
    test.add_reading([1, 2, 3], np.full((3, 500), 1 / 500))
    assert test.result().scored == 64


def test_what_is_wrong_is_told(ring: cm.KeyRing) -> None:
    with pytest.raises(cm.CountermarkError, match="no narrow layer"):
        cm.DistillationTest(ring, "wide")
    with pytest.raises(cm.CountermarkError, match='got "best"'):
        cm.DistillationTest(ring, "prod", weights="best")  # type: ignore[arg-type]
    test = cm.DistillationTest(ring, "prod", weights="reference")
    with pytest.raises(cm.CountermarkError, match="empty"):
        test.add_answer([], [])
    with pytest.raises(cm.CountermarkError, match="add_reference"):
        test.result()
    with pytest.raises(cm.CountermarkError, match="2 rows for 3 tokens"):
        test.add_reading([1, 2, 3], np.full((2, VOCAB), 1 / VOCAB))
    with pytest.raises(cm.CountermarkError, match="softmax"):
        test.add_reading([1, 2, 3], np.full((3, VOCAB), 2.0))
    with pytest.raises(cm.CountermarkError, match="of predictions has token -5"):
        test.add_reading([1, 2], (np.array([[-5], [1]]), np.array([[0.5], [0.5]])))


def test_a_ledger_of_several_servers(ring: cm.KeyRing, tmp_path: Path) -> None:
    ledgers = [cm.Ledger(ring, "prod", contexts=2000) for _ in range(2)]
    for n, ledger in enumerate(ledgers):
        sampler = cm.Sampler(ring, "prod", ledger=ledger)
        random = np.random.default_rng(n)
        response = sampler.sequence(seed=n)
        for _ in range(100):
            response.sample(random.normal(0, 1, VOCAB).astype(np.float32))
        assert ledger.contexts == 0
        text = response.tokens
        del response
        assert ledger.contexts == pytest.approx(98, rel=0.1)
        written = ledger.contexts
        assert ledger.contains(text[:50])
        told = cm.Ledger(ring, "prod", contexts=2000)
        told.add_response(text)
        assert written <= told.contexts < written + 1.5  # there may have been a draw at its end
    ledgers[1].save(tmp_path / "second")
    ledgers[0].merge(cm.Ledger.open(ring, "prod", tmp_path / "second"))
    merged = ledgers[0]
    assert merged.contexts == pytest.approx(196, rel=0.1)
    assert merged.bytes == 4000
    assert merged.false_positive_rate < 0.001
    assert repr(merged).startswith("<Ledger contexts=1")
    with pytest.raises(cm.CountermarkError, match="the same number of contexts"):
        merged.merge(cm.Ledger(ring, "prod"))
    with pytest.raises(cm.CountermarkError, match="no narrow layer"):
        cm.Ledger(ring, "wide")

    test = cm.DistillationTest(ring, "prod", ledger=merged, decoys=9)
    for n in range(10):
        test.add_answer([], marked(ring, 100, n))
    result = test.result()
    assert 0 < result.scored < 300
    assert result.log10_p == min(0, -result.log10_e)
    assert result.log10_rank_p == 0


def test_a_served_response_is_read_once(ring: cm.KeyRing) -> None:
    text = marked(ring, 100, 1)
    rows = np.full((100, VOCAB), 0.5 / VOCAB)
    rows[np.arange(100), text] += 0.5
    test = cm.DistillationTest(ring, "prod", weights="log", decoys=0)
    for _ in range(2):
        test.add_reading(text, rows, served=True)
        assert test.result().positions == len({tuple(text[i - 2 : i]) for i in range(2, 100)})
    assert test.result().log10_e > 3
    assert test.result().log10_p == -test.result().log10_e


def test_one_may_stop_a_sequential_test(ring: cm.KeyRing) -> None:
    test = cm.DistillationTest(ring, "prod", sequential=True, decoys=0)
    answers = 0
    while test.result().log10_p > -6:
        test.add_answer([], marked(ring, 200, answers))
        answers += 1
    result = test.result()
    assert 4096 <= result.positions < 4096 + 200
    (look,) = result.looks
    assert look.positions == result.positions
    assert look.share == 0.5
    assert result.log10_p == pytest.approx(look.log10_p + np.log10(2))
    assert result.log10_e == pytest.approx(look.log10_e - np.log10(2))
    assert repr(look).startswith("<DistillationLook positions=4")


def test_logs_say_whom_a_suspect_learned_from(ring: cm.KeyRing) -> None:
    test = cm.DistillationTest(ring, "prod", decoys=0)
    for account in range(4):
        for n in range(3):
            test.add_log(2**63 + account, marked(ring, 100, 10 * account + n))
    for n in range(3):
        test.add_answer([], marked(ring, 100, 20 + n))
    learned = test.learned_accounts(0.05)
    assert learned.tested == 4
    assert learned.discovered == 1
    first = learned.accounts[0]
    assert first.account == 2**63 + 2
    assert first.is_discovered
    assert first.log10_e == learned.log10_e_least > np.log10(4 / 0.05)
    assert first.scored >= first.contexts > 100
    assert repr(learned) == "<LearnedAccounts discovered=1 tested=4>"
    assert repr(first).startswith("<LearnedAccount account=9223372036854775810 ")


def test_what_another_model_expects(ring: cm.KeyRing) -> None:
    random = np.random.default_rng(5)
    alike = random.dirichlet(np.full(VOCAB, 0.2), 100)
    results = []
    for has_expected in (True, False):
        test = cm.DistillationTest(
            ring, "prod", weights="reference" if has_expected else "log", decoys=0
        )
        for n in range(5):
            text = marked(ring, 100, n)
            rows = 0.9 * alike
            rows[np.arange(100), text] += 0.1
            test.add_reading(text, rows, expected=alike if has_expected else None)
        results.append(test.result())
        assert test.positions == results[-1].positions
    assert results[0].log10_p < results[1].log10_p - 3
    test = cm.DistillationTest(ring, "prod", weights="reference", decoys=0)
    test.add_answer([1], text, expected=alike)
    assert test.result().scored > 0
    with pytest.raises(cm.CountermarkError, match="either all texts come with what is expected"):
        test.add_answer([1], text)
    with pytest.raises(cm.CountermarkError, match="99 rows for 100 tokens"):
        test.add_answer([1], text, expected=alike[:99])


def test_it_belongs_to_one_call_at_a_time(ring: cm.KeyRing) -> None:
    test = cm.DistillationTest(ring, "prod", decoys=2000)
    for n in range(20):
        test.add_answer([], marked(ring, 200, n))
    refused = threading.Event()
    codes = set()

    def disturb() -> None:
        while not refused.is_set():
            try:
                test.add_answer([], [1, 2, 3])
            except cm.CountermarkError as error:
                codes.add(error.code)
                refused.set()

    thread = threading.Thread(target=disturb)
    thread.start()
    while not refused.is_set():
        with contextlib.suppress(cm.CountermarkError):
            test.result()
    thread.join()
    assert codes == {"repeated_sequence"}
    assert test.result().scored > 0
