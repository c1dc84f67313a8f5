from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import countermark as cm

VOCAB = 500
GUILTY = 2**63 + 5


@pytest.fixture(scope="module")
def ring() -> cm.KeyRing:
    ring = cm.KeyRing.generate()
    ring.import_secret("prod", bytes(range(32)), accounts=True)
    ring.create_profile("plain")
    return ring


@pytest.fixture(scope="module")
def accounts() -> npt.NDArray[np.uint64]:
    return np.arange(2**63, 2**63 + 2000, dtype=np.uint64)


@pytest.fixture(scope="module")
def tracer(ring: cm.KeyRing, accounts: npt.NDArray[np.uint64]) -> cm.Tracer:
    return cm.Tracer(ring, "prod", accounts)


def answer(
    ring: cm.KeyRing, account: int | None, tokens: int, seed: int = 0
) -> npt.NDArray[np.int32]:
    random = np.random.default_rng(seed)
    response = cm.Sampler(ring, "prod").sequence(account=account, seed=seed)
    for _ in range(tokens):
        response.sample(random.normal(0, 2, VOCAB).astype(np.float32))
    return response.tokens


def test_a_trace_names_the_account(ring: cm.KeyRing, tracer: cm.Tracer) -> None:
    text = answer(ring, GUILTY, 300)
    trace = tracer.trace(text)
    assert trace.verdict == "account"
    assert trace.account == GUILTY
    assert trace.accused == [GUILTY]
    assert trace.log10_p < -10
    assert trace.log10_e > 8
    assert trace.log10_gap > 10
    assert trace.log10_threshold == -3
    assert trace.tested == 2001
    assert trace.scored == tracer.scored(text)
    assert [c.account for c in trace.candidates].count(None) == 1
    best = trace.candidates[0]
    assert best.account == GUILTY
    assert best.is_accused
    assert best.start in ("unknown", "response")
    alone = cm.Detector(ring).score_account(text, "prod", GUILTY)
    assert best.scored == alone.scored
    assert best.score == pytest.approx(alone.score)
    assert best.log10_p == pytest.approx(alone.log10_p)
    assert best.log10_p_adjusted == pytest.approx(trace.log10_p)
    assert best.log10_e > 10
    assert trace.ours.log10_p < -10
    assert trace.ours.log10_e > 8
    assert trace.ours.scored > 50
    assert trace.ours.score > trace.ours.scored
    assert trace.log10_p_combined < trace.ours.log10_p
    assert len(trace.token_scores) == 300
    assert np.isfinite(trace.token_scores).sum() == trace.scored
    assert [test.statistic for test in trace.tests] == ["sum", "scan"]
    assert trace.tokens_to_decide == 0
    (region,) = trace.regions
    assert (region.account, region.characters) == (GUILTY, None)
    assert region.begin < 40
    assert region.end > 280
    assert region.log10_p < -6
    assert region.log10_gap > 2
    assert region.score > region.scored
    assert repr(trace).startswith(f"<Trace account {GUILTY} log10_p=-")
    assert str(GUILTY) in repr(best)
    assert f"account {GUILTY}" in repr(region)


def test_a_trace_as_json(ring: cm.KeyRing, tracer: cm.Tracer) -> None:
    trace = tracer.trace(answer(ring, GUILTY, 300))
    found = json.loads(trace.to_json())
    assert found["format"] == "countermark.trace/1"
    assert found["verdict"] == "account"
    assert found["account"] == str(GUILTY)
    assert found["accused"] == [str(GUILTY)]
    assert found["log10_p"] == pytest.approx(trace.log10_p)
    assert found["tested"] == 2001
    assert len(found["candidates"]) == len(trace.candidates)
    assert found["candidates"][-1]["account"] is None
    assert found["regions"][0]["tokens"] == [trace.regions[0].begin, trace.regions[0].end]
    assert found["regions"][0]["characters"] is None
    assert found["ours"]["log10_p"] == pytest.approx(trace.ours.log10_p)
    assert len(found["token_scores"]) == 300
    assert found["token_scores"][0] is None
    assert found["tokens_to_decide"] == 0
    unknown = json.loads(tracer.trace(answer(ring, 7, 300)).to_json())
    assert unknown["account"] is None
    assert unknown["accused"] == []


def test_scores_are_in_the_order_of_the_accounts(
    ring: cm.KeyRing, tracer: cm.Tracer, accounts: npt.NDArray[np.uint64]
) -> None:
    text = answer(ring, GUILTY, 200)
    scores = tracer.scores(text)
    assert scores.dtype == np.float64
    assert scores.shape == accounts.shape
    assert accounts[scores.argmax()] == GUILTY
    detector = cm.Detector(ring)
    for i in (0, 5, 1999):
        alone = detector.score_account(text, "prod", int(accounts[i]), "unknown")
        assert scores[i] == pytest.approx(alone.score)
        assert tracer.scored(text) == alone.scored
    assert (tracer.accounts == accounts).all()
    assert tracer.profile.id == "prod"
    assert "2000 accounts" in repr(tracer)


@pytest.mark.parametrize(
    "given",
    [
        [1, 2, 2**64 - 1],
        (1, 2, 2**64 - 1),
        np.array([1, 2, 2**64 - 1], dtype=np.uint64),
        iter([np.uint64(1), 2, 2**64 - 1]),
    ],
)
def test_accounts_of_many_kinds(ring: cm.KeyRing, given: Any) -> None:
    tracer = cm.Tracer(ring, "prod", given)
    assert tracer.accounts.tolist() == [1, 2, 2**64 - 1]
    assert tracer.trace(answer(ring, 2**64 - 1, 100)).account == 2**64 - 1


def test_small_and_strided_arrays_are_accounts_too(ring: cm.KeyRing) -> None:
    assert cm.Tracer(ring, "prod", np.arange(6, dtype=np.int32)[::2]).accounts.tolist() == [0, 2, 4]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "accounts is empty"),
        ([-1], "got -1"),
        ([2**64], "got 18446744073709551616"),
        ([1.5], r"got 1\.5"),
        (["a"], "got 'a'"),
        (5, "got 5"),
        ([7, 8, 7], "account 7 occurs twice, in rows 0 and 2"),
        (np.array([-1]), "negative"),
        (np.array([1.0]), "float64"),
        (np.array([[1]]), "2 dimensions"),
    ],
)
def test_accounts_that_are_none(ring: cm.KeyRing, given: Any, message: str) -> None:
    with pytest.raises(cm.CountermarkError, match=message):
        cm.Tracer(ring, "prod", given)


def test_options_out_of_range(ring: cm.KeyRing) -> None:
    with pytest.raises(cm.CountermarkError, match="has no accounts") as caught:
        cm.Tracer(ring, "plain", [1])
    assert caught.value.code == "account_mismatch"
    with pytest.raises(cm.CountermarkError, match="false_accusation_rate"):
        cm.Tracer(ring, "prod", [1], false_accusation_rate=0)
    with pytest.raises(cm.CountermarkError, match="least_gap"):
        cm.Tracer(ring, "prod", [1], least_gap=0.1)
    with pytest.raises(cm.CountermarkError, match="candidates"):
        cm.Tracer(ring, "prod", [1], candidates=0)
    with pytest.raises(cm.CountermarkError, match="start"):
        cm.Tracer(ring, "prod", [1]).trace([1, 2, 3], "both")  # type: ignore[arg-type]
    with pytest.raises(cm.CountermarkError, match="empty"):
        cm.Tracer(ring, "prod", [1]).trace([])


def test_with_a_proxy(ring: cm.KeyRing, tracer: cm.Tracer) -> None:
    text = answer(ring, GUILTY, 60)
    random = np.random.default_rng(0)
    rows = np.array([random.normal(0, 2, VOCAB) for _ in range(60)])
    probabilities = np.exp(rows) / np.exp(rows).sum(1, keepdims=True)
    blind = tracer.trace(text, "response")
    knowing = tracer.trace(text, "response", proxy=lambda ids: probabilities)
    assert knowing.account == GUILTY
    assert knowing.candidates[0].log10_p < blind.candidates[0].log10_p
    assert knowing.tests[0].statistic == "likelihood"


def test_an_index(ring: cm.KeyRing, accounts: npt.NDArray[np.uint64], tmp_path: Path) -> None:
    path = tmp_path / "accounts.index"
    calls: list[tuple[int, int]] = []
    assert cm.build_account_index(ring, "prod", accounts[:500], path) == 500
    added = cm.build_account_index(
        ring, "prod", accounts, path, progress=lambda done, total: calls.append((done, total))
    )
    assert added == 1500
    assert calls[-1] == (2000, 2000)
    assert path.stat().st_size == 4096 + 16 * 2000
    assert path.stat().st_mode & 0o777 == 0o600
    tracer = cm.Tracer(ring, "prod", accounts, index=path)
    text = answer(ring, GUILTY, 100)
    assert tracer.trace(text).account == GUILTY
    assert (tracer.scores(text) == cm.Tracer(ring, "prod", accounts).scores(text)).all()
    with pytest.raises(cm.CountermarkError, match="only 10") as caught:
        cm.Tracer(ring, "prod", accounts[:10], index=path)
    assert caught.value.code == "invalid_accounts"
    path.chmod(0o644)
    with pytest.raises(cm.CountermarkError, match="chmod 600"):
        cm.Tracer(ring, "prod", accounts, index=path)
    cm.Tracer(ring, "prod", accounts, index=path, allow_readable_by_others=True)


def test_progress_may_end_a_search(ring: cm.KeyRing, accounts: npt.NDArray[np.uint64]) -> None:
    is_over = False

    def progress(done: int, total: int) -> None:
        assert 0 <= done <= total == 2000
        if is_over:
            raise KeyboardInterrupt

    tracer = cm.Tracer(ring, "prod", accounts, progress=progress)
    is_over = True
    with pytest.raises(KeyboardInterrupt):
        tracer.trace([1, 2, 3, 4, 5, 6])
    is_over = False
    assert tracer.trace([1, 2, 3, 4, 5, 6]).verdict == "insufficient"


def test_a_text_is_traced_normalised(ring: cm.KeyRing, tracer: cm.Tracer) -> None:
    class Letters:
        """Each character is a token, but for those that nobody sees."""

        def encode(self, text: str) -> list[int]:
            return [ord(c) - 0x4E00 for c in text]

    ids = answer(ring, GUILTY, 300)
    text = "".join(chr(0x4E00 + int(i)) for i in ids)
    hidden = text[:100] + "\u200b" + text[100:]
    trace = tracer.trace_text(hidden, Letters())
    assert trace.account == GUILTY
    assert len(trace.token_scores) == 300


def test_a_screening(ring: cm.KeyRing, tracer: cm.Tracer) -> None:
    screening = cm.Screening(tracer, false_discovery_rate=0.05, ours_rate=0.5)
    random = np.random.default_rng(1)
    for n in range(10):
        text = answer(ring, GUILTY, 80, n) if n in (2, 6) else random.integers(0, VOCAB, 80)
        screened = screening.add(text)
        assert screened.text == n
        if n in (2, 6):
            assert screened.is_searched
            assert screened.scored > 20
            assert screened.is_evidence
            assert screened.ours.log10_p < -2
            assert "searched" in repr(screened)
    result = screening.result()
    assert (result.texts, result.tested, result.discovered) == (10, 2000, 1)
    assert 2 <= result.searched < 10
    found = result.accounts[0]
    assert found.account == GUILTY
    assert found.is_discovered
    assert {text.text for text in found.texts} == {2, 6}
    assert all(text.log10_e >= 3 and text.scored > 20 for text in found.texts)
    assert result.log10_e_least == found.log10_e > 5
    assert "1 of 2000" in repr(result)
    assert str(GUILTY) in repr(found)
    with pytest.raises(cm.CountermarkError, match="ours_rate"):
        cm.Screening(tracer, ours_rate=0)


def test_a_plan() -> None:
    plans = cm.plan_accounts([0, 32768, 65536], 1000, marked_score=1.8)
    assert [plan.narrow_units for plan in plans] == [0, 32768, 65536]
    assert plans[0].tokens_for_ours is None
    assert plans[2].tokens_for_account is None
    half = plans[1]
    assert half.tokens_for_ours is not None
    assert half.tokens_for_account is not None
    assert half.tokens_for_combined is not None
    assert half.tokens_for_combined < half.tokens_for_ours
    more = cm.plan_accounts([32768], 10**8, marked_score=1.8)[0]
    assert more.tokens_for_account is not None
    assert more.tokens_for_account > half.tokens_for_account
    assert "32768" in repr(half)
    with pytest.raises(cm.CountermarkError, match="marked_score"):
        cm.plan_accounts([1], marked_score=1.0)


def test_a_screening_belongs_to_one_call_at_a_time(
    ring: cm.KeyRing, accounts: npt.NDArray[np.uint64]
) -> None:
    text = answer(ring, GUILTY, 80)
    refusals: list[str] = []

    def progress(done: int, total: int) -> None:
        for call in (lambda: screening.add(text), lambda: screening.result()):
            try:
                call()
            except cm.CountermarkError as error:
                refusals.append(error.code)

    screening = cm.Screening(cm.Tracer(ring, "prod", accounts))
    screening = cm.Screening(cm.Tracer(ring, "prod", accounts, progress=progress))
    refusals.clear()
    screening.add(text)
    assert refusals
    assert set(refusals) == {"repeated_sequence"}
    assert screening.result().texts == 1
