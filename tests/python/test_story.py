"""The embedded story model."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import countermark as cm
from conftest import secret_of
from countermark.story import STORY_FINGERPRINT, Story, story_tokenizer

pytest.importorskip("sentencepiece")


@pytest.fixture(scope="module")
def story() -> Story:
    return Story()


@pytest.fixture(scope="module")
def ring(story: Story) -> cm.KeyRing:
    ring = cm.KeyRing.generate()
    ring.import_secret("p", secret_of(1), tokenizer=story.tokenizer)
    ring.import_secret("acc", secret_of(2), accounts=True, tokenizer=story.tokenizer)
    return ring


def test_marked_text_is_found_and_unmarked_is_not(story: Story, ring: cm.KeyRing) -> None:
    detector = cm.Detector(ring, ["p"])
    sampler = cm.Sampler(ring, "p")
    marked = story.generate(sampler, [""] * 4, min_tokens=200, max_tokens=200, seed=1)
    unmarked = story.generate(None, [""] * 4, min_tokens=200, max_tokens=200, seed=2)
    for answer in marked:
        assert answer.stats.is_marked
        assert detector.detect_text(answer.text, story.tokenizer).log10_p < -20
    for answer in unmarked:
        assert not answer.stats.is_marked
        assert detector.detect_text(answer.text, story.tokenizer).log10_p > -6


def test_text_tokenises_to_nearly_the_tokens_it_came_from(story: Story, ring: cm.KeyRing) -> None:
    detector = cm.Detector(ring, ["p"])
    answers = story.generate(
        cm.Sampler(ring, "p"), [""] * 16, min_tokens=200, max_tokens=200, seed=3
    )
    from_ids = np.median([detector.detect(a.ids).log10_p for a in answers])
    from_text = np.median([detector.detect_text(a.text, story.tokenizer).log10_p for a in answers])
    assert from_ids < -20
    assert from_text < 0.9 * from_ids


def test_prompt_is_no_part_of_the_response(story: Story, ring: cm.KeyRing) -> None:
    prompt = "Once upon a time, there was a green cat named Zob. Zob"
    [answer] = story.generate(
        cm.Sampler(ring, "p"), [prompt], min_tokens=100, max_tokens=100, seed=4
    )
    assert "green cat named Zob. Zob" not in answer.text
    assert answer.stats.tokens <= 100
    # Only a sequence that begins with the response agrees with its tokens from the first on.
    sequence = cm.Sampler(ring, "p").sequence()
    for token in answer.ids:
        sequence.observe(token)
    assert cm.Detector(ring, ["p"]).detect(sequence.tokens, "response").log10_p < -10


def test_prompt_matters(story: Story) -> None:
    first, second = story.generate(
        None, ["Tom had a red", "The sun was"], max_tokens=3, temperature=0
    )
    assert first.text != second.text


def test_batch_gives_what_single_answers_give(story: Story, ring: cm.KeyRing) -> None:
    sampler = cm.Sampler(ring, "p")
    prompts = ["Lily", "One day, Tom and his dog", ""]
    together = story.generate(sampler, prompts, max_tokens=60, seed=11)
    for i, prompt in enumerate(prompts):
        alone = story.generate(sampler, [prompt], max_tokens=60, seed=11 + i)[0]
        assert alone.ids.tolist() == together[i].ids.tolist()


def test_more_prompts_than_a_batch_holds(story: Story) -> None:
    told: list[int] = []
    answers = story.generate(None, [""] * 40, max_tokens=2, seed=1, progress=told.append)
    assert len(answers) == 40
    assert sum(told) == 80


def test_answers_end_where_the_model_ends_them(story: Story) -> None:
    answers = story.generate(None, [""] * 8, max_tokens=400, seed=1)
    ended = [a for a in answers if a.stats.tokens < 400]
    assert ended
    for answer in ended:
        assert len(answer.ids) == answer.stats.tokens - 1


def test_accounts_mark_the_wide_layer(story: Story, ring: cm.KeyRing) -> None:
    answers = story.generate(
        cm.Sampler(ring, "acc"), ["", ""], min_tokens=200, max_tokens=200, accounts=[7, None]
    )
    detector = cm.Detector(ring, ["acc"])
    assert detector.score_account(answers[0].ids, "acc", 7).log10_p < -10
    assert detector.score_account(answers[0].ids, "acc", 8).log10_p > -4
    assert detector.score_account(answers[1].ids, "acc", None).log10_p < -10


def test_temperature_0_is_not_marked(story: Story, ring: cm.KeyRing) -> None:
    answer = story.generate(cm.Sampler(ring, "p"), max_tokens=50, temperature=0)[0]
    assert not answer.stats.is_marked
    assert answer.stats.greedy == 50


def test_fingerprint_is_that_of_the_tokenizer() -> None:
    tokenizer = story_tokenizer()
    assert tokenizer.fingerprint == STORY_FINGERPRINT
    assert tokenizer.name == "countermark-story"


def test_profile_of_another_tokenizer_is_refused(story: Story) -> None:
    other = {"name": "other", "vocab_size": 2048, "fingerprint": "0" * 32}
    ring = cm.KeyRing.generate()
    ring.create_profile("other", tokenizer=other)
    with pytest.raises(cm.CountermarkError, match="for the tokenizer other") as caught:
        story.generate(cm.Sampler(ring, "other"))
    assert caught.value.code == "tokenizer_mismatch"


def test_bad_arguments_are_named(story: Story) -> None:
    with pytest.raises(cm.CountermarkError, match="max_tokens must be 1 or more, got 0"):
        story.generate(None, max_tokens=0)
    with pytest.raises(cm.CountermarkError, match="accounts has 1 entries for 2 prompts"):
        story.generate(None, ["", ""], accounts=[None])
    with pytest.raises(cm.CountermarkError, match="temperature"):
        story.generate(None, temperature=-1)


def test_missing_sentencepiece_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(cm.CountermarkError, match="pip install sentencepiece"):
        Story()


def test_done_is_told_in_order_and_early(story: Story) -> None:
    log: list[str] = []
    answers = story.generate(
        None,
        [""] * 40,
        max_tokens=400,
        seed=1,
        progress=lambda _: log.append("step"),
        done=lambda answer: log.append(answer.text),
    )
    assert [entry for entry in log if entry != "step"] == [answer.text for answer in answers]
    told = [log.index(answers[i].text) for i in (0, 31, 32)]
    assert "step" in log[told[0] : told[1]]  # the first was told while others went on
    assert "step" in log[told[1] : told[2]]
