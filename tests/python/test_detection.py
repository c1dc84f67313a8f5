"""The detecting side from Python."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

import countermark as cm
from conftest import TOKENIZER, VOCAB, secret_of

Ids = npt.NDArray[np.int32]

Marked = Callable[[cm.Sampler, int], Ids]


def test_a_marked_text_is_found_and_its_scores_add_up(
    ring: cm.KeyRing, sampler: cm.Sampler, marked: Marked
) -> None:
    tokens = marked(sampler, 200)
    detection = cm.Detector(ring, ["prod"]).detect(tokens)
    assert (detection.verdict, detection.profile, detection.tested) == ("marked", "prod", 1)
    assert detection.log10_p < -100
    assert detection.log10_e > 90
    assert len(detection.token_scores) == 200
    assert np.nansum(detection.token_scores) == pytest.approx(detection.best.score, rel=1e-12)
    assert np.isfinite(detection.token_scores).sum() == detection.scored
    # 24 free tokens were no noise worth scoring.
    assert detection.best.start == "response"
    assert np.isnan(detection.token_scores[:24]).all()


def test_every_kind_of_integer_sequence_is_taken(
    ring: cm.KeyRing, sampler: cm.Sampler, marked: Marked
) -> None:
    tokens = marked(sampler, 60)
    detector = cm.Detector(ring, ["prod"])
    expected = detector.detect(tokens).log10_p
    for same in (
        tokens.tolist(),
        tuple(tokens.tolist()),
        tokens.astype(np.int64),
        tokens.astype(np.uint16),
        np.repeat(tokens, 2)[::2],
    ):
        assert detector.detect(same).log10_p == expected


def test_two_profiles_are_paid_for(ring: cm.KeyRing, sampler: cm.Sampler, marked: Marked) -> None:
    tokens = marked(sampler, 100)
    one = cm.Detector(ring, ["prod"]).detect(tokens)
    both = cm.Detector(ring).detect(tokens)
    assert both.tested == 2
    assert both.log10_p == pytest.approx(one.log10_p + np.log10(2))
    by_name = {r.profile: r for r in both.results}
    assert by_name["prod"].is_marked
    assert not by_name["named"].is_marked
    assert both.profile == "prod"


def test_the_price_of_two_starts_lies_between_one_and_two(
    ring: cm.KeyRing, sampler: cm.Sampler, marked: Marked
) -> None:
    detector = cm.Detector(ring, ["prod"])
    tokens = marked(sampler, 100)
    both = detector.detect(tokens)
    tests = {test.statistic: test for test in both.best.tests}
    least = min(detector.detect(tokens, start=s).log10_p for s in ("unknown", "response"))
    assert least < tests["sum"].log10_p < least + np.log10(2)
    # And what else is tried is paid for too.
    assert sum(test.share for test in both.best.tests) == pytest.approx(1)
    assert both.log10_p == pytest.approx(tests["sum"].log10_p - np.log10(tests["sum"].share))


def test_wrong_key_short_text_and_long_text(
    ring: cm.KeyRing, sampler: cm.Sampler, marked: Marked
) -> None:
    tokens = marked(sampler, 300)
    other = cm.KeyRing.generate()
    other.import_secret("other", secret_of(9), tokenizer=TOKENIZER)
    wrong = cm.Detector(other).detect(tokens)
    assert wrong.verdict == "not_marked_by_these_keys"
    assert wrong.profile is None
    assert cm.Detector(other).detect(tokens[:20]).verdict == "insufficient"
    assert cm.Detector(ring, ["prod"]).detect(tokens[:1]).verdict == "insufficient"


def test_one_accounts_score(ring: cm.KeyRing) -> None:
    from conftest import row

    sampler = cm.Sampler(ring, "named")
    sequence = sampler.sequence(account=42, seed=0)
    for step in range(200):
        sequence.sample(row(step))
    detector = cm.Detector(ring, ["named"])
    scores = {a: detector.score_account(sequence.tokens, "named", a) for a in (42, 43, None)}
    assert scores[42].log10_p < -30
    assert scores[43].log10_p > -4
    assert scores[None].log10_p > -4
    # "Ours" is the narrow layer alone.
    ours = detector.detect(sequence.tokens)
    assert ours.verdict == "marked"
    assert ours.scored + scores[42].scored <= 200
    with pytest.raises(cm.CountermarkError, match="does not test"):
        detector.score_account(sequence.tokens, "prod", 42)
    with pytest.raises(cm.CountermarkError, match="has no accounts"):
        cm.Detector(ring).score_account(sequence.tokens, "prod", 42)


def test_many_texts_are_one_after_another(
    ring: cm.KeyRing, sampler: cm.Sampler, marked: Marked
) -> None:
    detector = cm.Detector(ring)
    texts = [marked(sampler, n) for n in (10, 80, 200)]
    for threads in (0, 1, 3):
        many = detector.detect_many(iter(texts), threads=threads)
        assert [d.log10_p for d in many] == [detector.detect(t).log10_p for t in texts]
    assert detector.detect_many([]) == []
    with pytest.raises(cm.CountermarkError, match="text 1: the text is empty"):
        detector.detect_many([texts[0], [], texts[1]])


@pytest.mark.parametrize(
    ("tokens", "code", "message"),
    [
        ([], "empty_text", "the text is empty"),
        ([1, 2, 1000], "token_out_of_range", r"token 2 of the text is 1000, .* ids 0\.\.999"),
        ([1, -1], "token_out_of_range", "token 1 of the text is -1"),
        ([2**40], "token_out_of_range", r"token_ids\[0\] is 1099511627776"),
        ([1.5, 2.0], "invalid_option", "token_ids must be integers, got float64"),
        (["a"], "invalid_option", "token_ids must be integers"),
        ([[1, 2]], "invalid_option", "one dimension"),
        (3, "invalid_option", "one dimension"),
    ],
)
def test_what_is_no_text_is_refused(
    ring: cm.KeyRing, tokens: object, code: str, message: str
) -> None:
    with pytest.raises(cm.CountermarkError, match=message) as caught:
        cm.Detector(ring, ["prod"]).detect(tokens)  # type: ignore[arg-type]
    assert caught.value.code == code


def test_options_of_a_detector(ring: cm.KeyRing) -> None:
    for rate in (0, 0.6, float("nan"), -1):
        with pytest.raises(cm.CountermarkError, match="false_positive_rate"):
            cm.Detector(ring, false_positive_rate=rate)
    with pytest.raises(cm.CountermarkError, match="the key ring is empty"):
        cm.Detector(cm.KeyRing.generate())
    with pytest.raises(cm.CountermarkError, match='no profile "nope"; it has: prod, named'):
        cm.Detector(ring, ["nope"])
    with pytest.raises(cm.CountermarkError, match="start must be"):
        cm.Detector(ring).detect([1, 2], start="middle")  # type: ignore[arg-type]


def test_json_says_what_the_object_says(
    ring: cm.KeyRing, sampler: cm.Sampler, marked: Marked
) -> None:
    detection = cm.Detector(ring).detect(marked(sampler, 50))
    said = json.loads(detection.to_json())
    assert said["format"] == "countermark.detection/1"
    for name in ("verdict", "log10_p", "log10_e", "scored", "tested", "profile"):
        assert said[name] == getattr(detection, name)
    assert [s is None for s in said["token_scores"]] == np.isnan(detection.token_scores).tolist()


def pasted(marked_ids: Ids, before: int, after: int) -> Ids:
    """Return marked tokens between others."""
    noise = np.random.default_rng(3).integers(0, VOCAB, before + after)
    return np.concatenate([noise[:before], marked_ids, noise[before:]]).astype(np.int32)


def test_a_marked_part_is_found_where_it_is(
    ring: cm.KeyRing, sampler: cm.Sampler, marked: Marked
) -> None:
    text = pasted(marked(sampler, 150), 3000, 2000)
    detection = cm.Detector(ring, ["prod"]).detect(text)
    assert detection.verdict == "marked"
    (region,) = detection.regions
    assert region.profile == "prod"
    # Its first 24 tokens are free.
    assert abs(region.begin - 3024) <= 8
    assert abs(region.end - 3150) <= 8
    assert region.log10_p <= -6
    assert region.characters is None
    assert "regions" in json.loads(detection.to_json())


def test_a_stated_start_is_one_hypothesis_alone(
    ring: cm.KeyRing, sampler: cm.Sampler, marked: Marked
) -> None:
    text = pasted(marked(sampler, 150), 500, 500)
    for start in ("unknown", "response"):
        detection = cm.Detector(ring, ["prod"]).detect(text, start=start)
        assert [(t.statistic, t.share) for t in detection.best.tests] == [("sum", 1.0)]
        assert detection.log10_p == detection.best.tests[0].log10_p
        assert detection.regions == []


def test_variants_are_paid_for_and_the_best_is_told(
    ring: cm.KeyRing, sampler: cm.Sampler, marked: Marked
) -> None:
    detector = cm.Detector(ring, ["prod"])
    tokens = marked(sampler, 100)
    noise = np.random.default_rng(1).integers(0, VOCAB, 100)
    alone = detector.detect(tokens)
    found = detector.detect_variants([noise, tokens])
    assert (found.variant, found.variants) == (1, 2)
    assert found.log10_p == pytest.approx(alone.log10_p + np.log10(2))
    assert np.array_equal(found.token_scores, alone.token_scores, equal_nan=True)
    with pytest.raises(cm.CountermarkError) as caught:
        detector.detect_variants([])
    assert caught.value.code == "empty_text"


def test_the_key_is_ranked_among_decoys(
    ring: cm.KeyRing, sampler: cm.Sampler, marked: Marked
) -> None:
    detector = cm.Detector(ring)
    found = detector.rank(marked(sampler, 100), "prod", decoys=19)
    assert (found.profile, found.rank, len(found.decoys)) == ("prod", 1, 19)
    assert found.log10_rank_p == pytest.approx(np.log10(1 / 20))
    assert found.agrees
    assert found.log10_p < found.decoys.min()
    other = detector.rank(marked(sampler, 100), "named", decoys=19)
    assert other.rank > 1
    with pytest.raises(cm.CountermarkError):
        detector.rank(marked(sampler, 100), "prod", decoys=0)


def test_how_much_more_would_decide(ring: cm.KeyRing) -> None:
    detector = cm.Detector(ring, ["prod"])
    noise = np.random.default_rng(1).integers(0, VOCAB, 400)
    short = detector.detect(noise[:60])
    assert short.verdict == "insufficient"
    assert short.tokens_to_decide is not None
    enough = 60 + short.tokens_to_decide
    assert detector.detect(noise[: enough + 5]).verdict == "not_marked_by_these_keys"
    assert detector.detect(noise[: enough - 15]).verdict == "insufficient"
    assert detector.detect(noise).tokens_to_decide == 0
