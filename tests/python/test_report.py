"""The HTML page and the plain words."""

from __future__ import annotations

import html
import math
import re

import numpy as np
import pytest

import countermark as cm
from countermark import report
from countermark.report.segments import segments
from countermark.report.words import needed_tokens

TEXTS = [
    "plain words",
    "Lily saw a \N{GRINNING FACE}\N{FAMILY} cake, caf\N{LATIN SMALL LETTER E WITH ACUTE} \u8a9e!",
    "  two  spaces\n\n\tand a tab \n",
    "<script>alert('x')</script> & \"quotes\" </div>",
    "\N{THUMBS UP SIGN}\U0001f3fd",
]


def spans_of_bytes(text: str) -> tuple[list[int], list[tuple[int, int]]]:
    """Make a token of each byte, every one of which claims its whole character."""
    pairs = [(byte, (i, i + 1)) for i, c in enumerate(text) for byte in c.encode()]
    return [byte for byte, _ in pairs], [span for _, span in pairs]


def ring_for(profile: str = "p") -> cm.KeyRing:
    ring = cm.KeyRing.generate()
    ring.create_profile(profile)
    return ring


def page_of(text: str, ring: cm.KeyRing) -> str:
    ids, spans = spans_of_bytes(text)
    exhibit = report.examine("a text", text, np.array(ids), spans, cm.Detector(ring))
    return report.render("The title", [exhibit], ring.profiles)


def text_on(page: str) -> str:
    found = re.search(r"<div class=text>(.*?)</div>", page, re.DOTALL)
    assert found
    return html.unescape(re.sub(r"<[^>]*>", "", found[1]))


@pytest.mark.parametrize("text", TEXTS)
def test_page_shows_every_character_once(text: str) -> None:
    assert text_on(page_of(text, ring_for())) == text


@pytest.mark.parametrize("text", TEXTS)
def test_segments_cover_the_text_of_real_tokenizers(text: str) -> None:
    pytest.importorskip("sentencepiece")
    from countermark.story import story_tokenizer

    ids, spans = story_tokenizer().encode_with_spans(text)
    cut = segments(len(text), spans, np.ones(len(ids)))
    assert "".join(text[s.begin : s.end] for s in cut) == text
    assert sum(len(s.scores) for s in cut) == len(ids)


@pytest.mark.parametrize(
    "spans",
    [
        [(0, 0), (0, 0), (0, 1), (1, 4)],  # bytes before their character
        [(0, 1), (0, 1), (0, 1), (1, 4)],  # bytes that share it
        [(0, 2), (1, 3), (3, 4)],  # tokens that split one
        [(1, 2), (3, 4)],  # spaces without a token
        [(0, 4), (4, 4), (4, 4)],  # nothing left at the end
        [(0, 9)],  # a tokenizer that counts more than there is
        [],
        [(0, 0)],
    ],
)
def test_segments_neither_lose_nor_repeat_a_character(spans: list[tuple[int, int]]) -> None:
    cut = segments(4, spans, [float(i) for i in range(len(spans))])
    assert [i for s in cut for i in range(s.begin, s.end)] == [0, 1, 2, 3]
    assert sorted(score for s in cut for score in s.scores) == list(range(len(spans)))


def test_segments_of_a_shared_character_hold_all_scores() -> None:
    cut = segments(2, [(0, 0), (0, 1), (1, 2)], [1.0, 3.0, math.nan])
    assert [(s.begin, s.end, s.score) for s in cut] == [(0, 1, 2.0), (1, 2, None)]


def test_page_is_escaped_and_loads_nothing() -> None:
    ring = cm.KeyRing.generate()
    ring.create_profile("<img/src=x>")
    ids, spans = spans_of_bytes(TEXTS[3])
    exhibit = report.examine("<b>title", TEXTS[3], np.array(ids), spans, cm.Detector(ring))
    page = report.render("<i>t", [exhibit, exhibit], ring.profiles, "<u>lead")
    for forbidden in ("<script", "<img", "<b>title", "<i>t", "<u>lead", "src=x>", "http", "url("):
        assert forbidden not in page, forbidden
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page


def test_page_says_verdict_threshold_and_profile() -> None:
    ring = ring_for()
    page = page_of("some words of a text that nobody marked", ring)
    assert "too short to say" in page
    assert "What it does not" in page
    assert ring.profiles[0].commitment in page
    assert "10<sup>&minus;6</sup>" in page


def test_levels_of_the_tokens_are_those_of_their_scores() -> None:
    ring = ring_for()
    text = "".join(chr(97 + i * i % 26) for i in range(60))
    ids, spans = spans_of_bytes(text)
    exhibit = report.examine("t", text, np.array(ids), spans, cm.Detector(ring))
    page = report.render("t", [exhibit], ring.profiles)
    shown = re.findall(r'<b class=s(\d) title="score ([\d.]+)">', page)
    scores = exhibit.detection.token_scores
    assert len(shown) == np.count_nonzero(~np.isnan(scores)) > 0
    for (level, tip), score in zip(shown, scores[~np.isnan(scores)], strict=True):
        assert float(tip) == pytest.approx(score, abs=0.006)
        assert int(level) == sum(score >= bound for bound in (1, 2, 3, 5))


def test_curve_ends_with_the_detection() -> None:
    ring = ring_for()
    text = " ".join(str(i * i) for i in range(60))
    ids, spans = spans_of_bytes(text)
    exhibit = report.examine("t", text, np.array(ids), spans, cm.Detector(ring))
    assert exhibit.curve[-1] == (len(ids), exhibit.detection.log10_p)
    assert len(exhibit.curve) <= 80
    middle, log10_p = exhibit.curve[len(exhibit.curve) // 2]
    assert log10_p == cm.Detector(ring).detect(ids[:middle]).log10_p


@pytest.mark.parametrize(
    ("log10_p", "words"),
    [
        (0.0, "99 in 100"),
        (math.log10(0.42), "42 in 100"),
        (math.log10(0.101), "11 in 100"),
        (-3.54, "one in 3,400"),
        (-5.99, "one in 970,000"),
        (-6.0, "one in 10^6"),
        (-28.9, "one in 10^28"),
    ],
)
def test_probabilities_in_words_are_rounded_against_us(log10_p: float, words: str) -> None:
    assert report.one_in(log10_p) == words


def test_powers_of_ten() -> None:
    assert [report.power_of_ten(x) for x in (-28.31, -6.0, -1.0, 0.0, 80.0)] == [
        "10^-28.3",
        "10^-6",
        "0.1",
        "1",
        "10^80",
    ]


def test_a_text_of_the_length_advised_is_long_enough() -> None:
    detector = cm.Detector(ring_for())
    ids = np.random.default_rng(7).integers(0, 10**6, 400)  # no context occurs twice

    def verdict(tokens: int) -> tuple[str, int]:
        found = detector.detect(ids[:tokens])
        return found.verdict, found.scored

    enough = next(n for n in range(1, 400) if verdict(n)[0] != "insufficient")
    assert verdict(enough)[1] == pytest.approx(needed_tokens(-6), rel=0.05)


def test_too_short_says_how_much_longer() -> None:
    found = cm.Detector(ring_for()).detect(list(range(30)))
    assert re.search(r"about \d+(\.\d)? times as long", " ".join(report.explain(found)))
    nothing = cm.Detector(ring_for()).detect([1])
    assert "scored tokens would do" in " ".join(report.explain(nothing))


def test_nothing_is_ever_called_human() -> None:
    ring = ring_for()
    ids = np.random.default_rng(1).integers(0, 10**6, 400)
    found = cm.Detector(ring).detect(ids)
    words = " ".join([report.headline(found), *report.explain(found)])
    assert found.verdict == "not_marked_by_these_keys"
    assert "not marked by these keys" in words
    assert "human" not in words
