"""The HTML page and the plain words."""

from __future__ import annotations

import hashlib
import html
import json
import math
import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest

import countermark as cm
from conftest import row, secret_of
from countermark import report
from countermark.reading import Reading, read, reading_of
from countermark.report.corrections import tests_table as table_of_tests
from countermark.report.excerpt import MOST_TOKENS, excerpts
from countermark.report.histogram import score_histogram
from countermark.report.numbers import bound, raised, times
from countermark.report.plot import Plot, even_ticks
from countermark.report.segments import segments
from countermark.report.strip import decoy_strip, decoys_per_dot
from countermark.report.words import corrected, decisive

Ids = npt.NDArray[np.int32]

TEXTS = [
    "plain words",
    "Lily saw a \N{GRINNING FACE}\N{FAMILY} cake, caf\N{LATIN SMALL LETTER E WITH ACUTE} \u8a9e!",
    "  two  spaces\n\n\tand a tab \n",
    "<script>alert('x')</script> & \"quotes\" </div>",
    "\N{THUMBS UP SIGN}\U0001f3fd",
]


def reading_of_bytes(text: str) -> list[Reading]:
    """Make a token of each byte, every one of which claims its whole character."""
    pairs = [(byte, (i, i + 1)) for i, c in enumerate(text) for byte in c.encode()]
    ids = np.array([byte for byte, _ in pairs], dtype=np.int32)
    return [reading_of(text, ids, [span for _, span in pairs])]


def reading_of_ids(ids: Ids) -> list[Reading]:
    """Make a word of each token: its number."""
    words = [str(i) for i in ids]
    ends = np.cumsum([len(word) + 1 for word in words]) - 1
    spans = [(int(end) - len(word), int(end)) for end, word in zip(ends, words, strict=True)]
    return [reading_of(" ".join(words), ids, spans)]


def ring_for(*profiles: str) -> cm.KeyRing:
    """Return a ring whose first profile has the first secret, and so on."""
    ring = cm.KeyRing.generate()
    for i, profile in enumerate(profiles or ["p"]):
        ring.import_secret(profile, secret_of(i + 1), free_prefix=0)
    return ring


def marked_by(ring: cm.KeyRing, profile: str, tokens: int) -> Ids:
    sequence = cm.Sampler(ring, profile).sequence(seed=7)
    for step in range(tokens):
        sequence.sample(row(step))
    return sequence.tokens


def noise(tokens: int, seed: int = 0) -> Ids:
    return np.random.default_rng(seed).integers(0, 10**6, tokens).astype(np.int32)


def edited() -> Ids:
    """Return pieces of a marked text with so much between them that the sum does not tell."""
    sequence = cm.Sampler(ring_for(), "p").sequence(seed=7)
    for _ in range(60):
        sequence.sample(np.zeros(50_000, dtype=np.float32))
    rng = np.random.default_rng(1)
    pieces: list[Ids] = []
    for i in range(12):
        pieces += [
            rng.integers(0, 50_000, 500).astype(np.int32),
            sequence.tokens[5 * i : 5 * i + 5],
        ]
    return np.concatenate(pieces)


def stitched(ring: cm.KeyRing, *profiles: str, around: int = 300) -> Ids:
    """Return text with a part of 100 tokens by each of ``profiles``."""
    pieces = [noise(around)]
    for i, profile in enumerate(profiles, 1):
        pieces += [marked_by(ring, profile, 100 * i)[-100:], noise(around, i)]
    return np.concatenate(pieces)


def exhibit_of(ids: Ids, detector: cm.Detector, decoys: int = 9) -> report.Exhibit:
    return report.examine("a text", reading_of_ids(ids), detector, decoys=decoys)


def page_of(text: str, ring: cm.KeyRing) -> str:
    exhibit = report.examine("a text", reading_of_bytes(text), cm.Detector(ring), decoys=9)
    return report.render("The title", [exhibit], ring.profiles)


def page_about(exhibit: report.Exhibit, ring: cm.KeyRing | None = None) -> str:
    return report.render("The title", [exhibit], (ring or ring_for()).profiles)


def plain(markup: str) -> str:
    """Return what is left of markup without tags."""
    return html.unescape(re.sub(r"<[^>]*>", "", markup))


def blocks_on(page: str) -> list[str]:
    return re.findall(r"<div class=text [^>]*>(.*?)</div>", page, re.DOTALL)


def text_on(page: str) -> str:
    (block,) = blocks_on(page)
    return plain(block)


def cells_on(markup: str) -> list[list[str]]:
    """Return the rows of all tables."""
    rows = re.findall(r"<tr>(<td.*?)(?=<tr>|</table>)", markup, re.DOTALL)
    return [[plain(cell) for cell in re.split(r"<td[^>]*>", r)[1:]] for r in rows]


def rank_of(
    log10_p: float, decoys: list[float], *, agrees: bool = True, profile: str = "p"
) -> cm.DecoyRank:
    rank = 1 + sum(decoy <= log10_p for decoy in decoys)
    stand_in = SimpleNamespace(
        profile=profile,
        log10_p=log10_p,
        decoys=np.array(decoys),
        rank=rank,
        log10_rank_p=math.log10(rank / (len(decoys) + 1)),
        agrees=agrees,
    )
    return cast(cm.DecoyRank, stand_in)


# The text


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
    detector = cm.Detector(ring)
    exhibit = report.examine("<b>title", reading_of_bytes(TEXTS[3]), detector, decoys=9)
    page = report.render("<i>t", [exhibit, exhibit], ring.profiles, "<u>lead")
    for forbidden in ("<script", "<img", "<b>title", "<i>t", "<u>lead", "src=x>", "http", "url("):
        assert forbidden not in page, forbidden
    assert "@media screen and (prefers-color-scheme: dark)" in page  # paper is light
    assert "@media print" in page


def test_page_says_verdict_threshold_and_profile() -> None:
    ring = ring_for()
    page = page_of("some words of a text that nobody marked", ring)
    assert "too short to say" in page
    assert "What it does not" in page
    assert str(ring.profiles[0].commitment) in page
    assert "10<sup>&minus;6</sup>" in page


def test_page_names_the_text_by_its_digest() -> None:
    page = page_of(TEXTS[1], ring_for())
    assert hashlib.sha256(TEXTS[1].encode()).hexdigest() in page
    assert f"{len(TEXTS[1])} characters, {len(TEXTS[1].encode())} tokens" in page


def test_levels_of_the_tokens_are_those_of_their_scores() -> None:
    ring = ring_for()
    text = "".join(chr(97 + i * i % 26) for i in range(60))
    exhibit = report.examine("t", reading_of_bytes(text), cm.Detector(ring), decoys=9)
    page = report.render("t", [exhibit], ring.profiles)
    shown = re.findall(r'<b class=s(\d) title="score ([\d.]+)">', page)
    scores = exhibit.detection.token_scores
    assert len(shown) == np.count_nonzero(~np.isnan(scores)) > 0
    for (level, tip), score in zip(shown, scores[~np.isnan(scores)], strict=True):
        assert float(tip) == pytest.approx(score, abs=0.006)
        assert int(level) == sum(score >= bound for bound in (1, 2, 3, 5))


def test_curve_ends_with_the_detection() -> None:
    detector = cm.Detector(ring_for())
    exhibit = exhibit_of(noise(150), detector)
    assert exhibit.curve[-1] == (150, exhibit.detection.log10_p)
    assert len(exhibit.curve) <= 80
    middle, log10_p = exhibit.curve[len(exhibit.curve) // 2]
    assert log10_p == detector.detect(noise(150)[:middle]).log10_p


# Marked parts


def test_marked_parts_are_underlined_listed_and_named() -> None:
    ring = ring_for("p", "q")
    exhibit = exhibit_of(stitched(ring, "p", "q"), cm.Detector(ring))
    regions = exhibit.detection.regions
    assert [region.profile for region in regions] == ["p", "q"]
    page = page_about(exhibit, ring)
    assert text_on(page) == exhibit.text
    assert page.index("The text</h2>") < page.index("Marked parts</h2>")
    marks = re.findall(r'<mark id="([^"]*)" data-part="([^"]*)">(.*?)</mark>', page, re.DOTALL)
    assert len(marks) == 2
    for i, (region, (anchor, label, words)) in enumerate(zip(regions, marks, strict=True), 1):
        assert region.characters
        assert plain(words) == exhibit.text[slice(*region.characters)]
        assert html.unescape(label) == f"part {i}, {region.profile}, {bound(region.log10_p)}"
        assert f'<a href="#{anchor}">{i}</a>' in page
    rows = [cells for cells in cells_on(page) if len(cells) == 7]
    assert [cells[2] for cells in rows] == ["p", "q"]
    for region, cells in zip(regions, rows, strict=True):
        assert region.characters
        assert cells[3] == f"{region.characters[0] + 1:,} to {region.characters[1]:,}"
        assert cells[4] == f"{region.begin + 1:,} to {region.end:,}"
        exponent = f"10{region.log10_p:.1f}".replace("-", "\N{MINUS SIGN}")
        assert cells[1] == exponent.removesuffix(".0")


def test_parts_that_overlap_are_listed_all_the_same() -> None:
    ring = cm.KeyRing.generate()
    for profile in ("a", "b"):
        ring.import_secret(profile, secret_of(1), free_prefix=0)
    exhibit = exhibit_of(stitched(ring, "a"), cm.Detector(ring))
    assert len(exhibit.detection.regions) == 2
    page = page_about(exhibit, ring)
    assert text_on(page) == exhibit.text
    assert page.count("<mark ") == page.count("</mark>") == 1
    assert len([cells for cells in cells_on(page) if len(cells) == 7]) == 2
    links = re.findall(r'href="#([^"]*)"', page)
    assert len(links) == 1
    assert all(f'id="{link}"' in page for link in links)


def test_of_many_parts_the_strongest_are_listed() -> None:
    ring = ring_for()
    marks = marked_by(ring, "p", 55 * 60)
    pieces = [piece for i in range(55) for piece in (marks[60 * i : 60 * i + 60], noise(60, i))]
    exhibit = exhibit_of(np.concatenate(pieces), cm.Detector(ring), decoys=1)
    regions = exhibit.detection.regions
    assert len(regions) > 50
    page = page_about(exhibit)
    listed = [int(cells[0]) for cells in cells_on(page) if len(cells) == 7]
    assert len(listed) == 50
    assert listed == sorted(listed)
    worst = max(regions[i - 1].log10_p for i in listed)
    others = [r for i, r in enumerate(regions, 1) if i not in listed]
    assert all(region.log10_p >= worst for region in others)
    assert f"The 50 strongest of {len(regions)}." in page
    assert page.count("<text class=part ") == 0
    assert page.count("<rect class=band ") == len(regions)


# Long texts


def region_at(begin: int, end: int, log10_p: float = -9.0) -> cm.Region:
    return cast(cm.Region, SimpleNamespace(begin=begin, end=end, log10_p=log10_p))


def test_a_short_text_is_shown_whole() -> None:
    assert excerpts(MOST_TOKENS, []) == [range(MOST_TOKENS)]
    assert excerpts(1, [region_at(0, 1)]) == [range(1)]


@pytest.mark.parametrize(
    ("regions", "shown"),
    [
        ([], [range(5000)]),
        ([region_at(50_000, 50_300)], [range(49_900, 50_400)]),
        ([region_at(10, 50)], [range(150)]),
        ([region_at(99_990, 100_000)], [range(99_890, 100_000)]),
        ([region_at(300, 400), region_at(550, 600)], [range(200, 700)]),
        ([region_at(1000, 90_000)], [range(900, 2900), range(88_100, 90_100)]),
        # The strongest come first, in the order of the text.
        (
            [region_at(i * 5000, i * 5000 + 3800, -20.0 - i) for i in range(1, 9)],
            [range(i * 5000 - 100, i * 5000 + 3900) for i in range(4, 9)],
        ),
    ],
)
def test_excerpts_of_a_long_text(regions: list[cm.Region], shown: list[range]) -> None:
    assert excerpts(100_000, regions) == shown
    assert sum(map(len, shown)) <= MOST_TOKENS


def test_a_long_text_is_shown_around_its_parts() -> None:
    ring = ring_for()
    exhibit = exhibit_of(stitched(ring, "p", around=15_000), cm.Detector(ring), decoys=1)
    (region,) = exhibit.detection.regions
    page = page_about(exhibit)
    first, last = region.begin - 100, region.end + 100
    begin, end = exhibit.spans[first][0], exhibit.spans[last - 1][1]
    assert text_on(page) == exhibit.text[begin:end]
    assert f"Tokens {first + 1:,} to {last:,}" in page
    what = "this shows the marked parts and what is around them"
    assert f"of 30,100 tokens, {what}, {last - first} tokens." in page
    assert page.index("Marked parts</h2>") < page.index("The text</h2>")
    (underlined,) = re.findall(r"<mark id[^>]*>(.*?)</mark>", page, re.DOTALL)
    assert region.characters
    assert plain(underlined) == exhibit.text[slice(*region.characters)]
    assert len(page) < 200_000


def test_each_excerpt_has_its_own_part() -> None:
    ring = ring_for()
    exhibit = exhibit_of(stitched(ring, "p", "p", around=9000), cm.Detector(ring), decoys=1)
    page = page_about(exhibit)
    for i, block in enumerate(blocks_on(page), 1):
        labels = re.findall(r'<mark id="text-0-part-(\d)" data-part="part (\d)', block)
        assert labels == [(str(i), str(i))]
    assert i == 2


def test_a_long_text_without_parts_shows_its_start() -> None:
    exhibit = exhibit_of(noise(20_001), cm.Detector(ring_for()), decoys=1)
    page = page_about(exhibit)
    assert exhibit.text.startswith(text_on(page))
    assert len(text_on(page).split()) == 5000
    assert "this shows its start, 5,000 tokens" in page


def test_a_long_part_goes_on_in_the_second_excerpt() -> None:
    ring = ring_for()
    marks = marked_by(ring, "p", 4500)
    ids = np.concatenate([noise(9000), marks, noise(9000, 1)])
    exhibit = exhibit_of(ids, cm.Detector(ring), decoys=1)
    (region,) = exhibit.detection.regions
    page = page_about(exhibit)
    assert len(blocks_on(page)) == 2
    assert all(block.count("<mark ") == block.count("</mark>") == 1 for block in blocks_on(page))
    labels = [html.unescape(label) for label in re.findall('data-part="([^"]*)"', page)]
    assert labels == [f"part 1, {bound(region.log10_p)}", f"{labels[0]}, continued"]
    assert len(re.findall(r'id="text-0-part-1"', page)) == 1


# Pictures


def test_every_picture_says_what_it_shows() -> None:
    ring = ring_for()
    exhibit = exhibit_of(stitched(ring, "p"), cm.Detector(ring))
    page = page_about(exhibit)
    pictures = re.findall(r"<svg [^>]*>", page)
    assert len(pictures) == 3
    labels = [re.search(r'role="img" aria-label="([^"]+)"', picture) for picture in pictures]
    assert all(labels)
    chart, histogram, strip = (label[1] for label in labels if label)
    assert "10^-6 asked for; 1 marked parts are shaded" in chart
    assert f"mean is {np.nanmean(exhibit.detection.token_scores):.2f}" in histogram
    assert "among 9 decoy keys" in strip
    assert "rank 1 of 10" in strip


def test_the_chart_has_the_parts_and_the_threshold_to_scale() -> None:
    ring = ring_for()
    exhibit = exhibit_of(stitched(ring, "p", "p"), cm.Detector(ring))
    page = page_about(exhibit)
    points = re.search(r'<polyline class=line points="([^"]+)"', page)
    assert points
    line = [tuple(map(float, point.split(","))) for point in points[1].split()]
    (left, bottom), (right, end) = line[0], line[-1]
    assert len(line) == len(exhibit.curve) + 1

    def x(tokens: int) -> float:
        return left + (right - left) * tokens / len(exhibit.spans)

    bands = re.findall(r'<rect class=band x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', page)
    assert len(bands) == len(exhibit.detection.regions) == 2
    for (begin, width), region in zip(bands, exhibit.detection.regions, strict=True):
        assert float(begin) == pytest.approx(x(region.begin), abs=0.2)
        assert float(begin) + float(width) == pytest.approx(x(region.end), abs=0.3)
    threshold = re.search(r'<line class=threshold [^>]* y1="([\d.]+)"', page)
    assert threshold
    height = (bottom - float(threshold[1])) / (bottom - end)
    assert height == pytest.approx(6 / -exhibit.detection.log10_p, rel=0.02)


def test_the_histogram_counts_every_score() -> None:
    ids = np.concatenate([marked_by(ring_for(), "p", 300), noise(300)])
    detection = cm.Detector(ring_for()).detect(ids)
    picture = score_histogram(detection)
    scores = detection.token_scores[~np.isnan(detection.token_scores)]
    assert scores.max() > 8
    expected = np.histogram(np.minimum(scores, 8.25), bins=17, range=(0, 8.5))[0]
    heights = np.array(
        [float(h) for h in re.findall(r'<rect class=bar [^>]*height="([\d.]+)"', picture)]
    )
    assert heights / heights.sum() == pytest.approx(expected[expected > 0] / len(scores), abs=2e-3)
    # The dots are on the same scale: their heights are those of the null.
    bottom = 220 - 26
    dots = np.array(
        [float(y) for y in re.findall(r'<circle class=dot [^>]*cy="([\d.]+)"', picture)]
    )
    edges = np.append(np.arange(17) * 0.5, np.inf)
    null = np.exp(-edges[:-1]) - np.exp(-edges[1:])
    assert (bottom - dots) / heights.sum() == pytest.approx(null, abs=2e-3)


def test_a_text_without_a_score_has_a_page() -> None:
    page = page_about(exhibit_of(noise(2), cm.Detector(ring_for())))
    assert "No token could be scored" in page
    assert "0 tokens scored" in page


@pytest.mark.parametrize("decoys", [1, 9, 99, 999, 5000])
def test_the_strip_has_a_dot_for_every_decoy(decoys: int) -> None:
    rank = cm.Detector(ring_for()).rank(noise(100), "p", decoys)
    picture, each = decoy_strip(rank), decoys_per_dot(rank)
    assert (each == 1) == (decoys <= 99)
    places = re.findall(r'<circle class=decoy cx="([\d.]+)" cy="([\d.]+)"', picture)
    columns = Counter(x for x, _ in places)
    assert decoys <= len(places) * each < decoys + len(columns) * each
    assert len(set(places)) == len(places)
    assert all(26 < float(y) < 220 - 26 for _, y in places)


def test_the_strip_shows_the_key_where_its_evidence_is() -> None:
    def key_and_dots(log10_p: float) -> tuple[float, list[float]]:
        picture = decoy_strip(rank_of(log10_p, [-0.1, -0.5, -2.0]))
        key = re.search(r'<line class=line x1="([\d.]+)"', picture)
        assert key
        return float(key[1]), sorted(map(float, re.findall(r'decoy cx="([\d.]+)"', picture)))

    key, dots = key_and_dots(-1.0)
    assert dots[1] < key < dots[2]
    key, dots = key_and_dots(-300.0)
    assert dots[0] + 40 < dots[2] < 100 < 300 < key < 364


def test_labels_of_an_axis_do_not_touch() -> None:
    plot = Plot((364, 220), (40, 10, 10, 26), (0, 100), (0, 1))
    drawn = plot.x_axis((value, f"{value:,}") for value in range(-5, 106))
    labels = re.findall(r'x="([\d.]+)"[^>]*>([\d,]+)<', drawn)
    assert len(labels) > 8
    assert labels[0] == ("40.0", "0")
    for (a, _), (b, name) in pairwise(labels):
        assert float(b) - float(a) >= 12 + 6.5 * len(name)
    assert all(40 <= float(x) <= 354 for x, _ in labels)


def test_ticks_are_round() -> None:
    assert even_ticks(82) == [0, 20, 40, 60, 80]
    assert even_ticks(1) == [0, 1]
    assert even_ticks(1_000_000) == [200_000 * i for i in range(6)]


# Tests and corrections


def test_a_test_is_corrected_as_its_profile_is() -> None:
    ring = ring_for("p", "q", "r")
    calibration = calibrated(ring, 0.5)
    detector = cm.Detector(ring, calibrations=[calibration])
    for ids in (stitched(ring, "p"), marked_by(ring, "q", 200), noise(300), edited()):
        for detection in (detector.detect(ids), detector.detect_variants([ids, ids[1:]])):
            for result in detection.results:
                known = [test for test in result.tests if not math.isnan(test.log10_p)]
                all_corrected = [corrected(result, test) for test in known]
                assert min(all_corrected) == pytest.approx(result.log10_p_adjusted, abs=1e-9)
                assert corrected(result, decisive(result)) == pytest.approx(min(all_corrected))
                for test in result.tests:
                    value = corrected(result, test)
                    assert math.isnan(value) == math.isnan(test.log10_p)
                    assert not value < test.log10_p


def test_the_decisive_test_is_so_after_its_share() -> None:
    def test_of(statistic: str, share: float, log10_p: float) -> SimpleNamespace:
        return SimpleNamespace(statistic=statistic, share=share, log10_p=log10_p)

    tests = [test_of("sum", 0.9, -6.2), test_of("scan", 0.05, -6.9), test_of("x", 0.05, math.nan)]
    result = cast(cm.ProfileResult, SimpleNamespace(tests=tests))
    assert decisive(result).statistic == "sum"


def test_all_tests_are_listed() -> None:
    ring = ring_for("p", "q")
    detection = cm.Detector(ring).detect(stitched(ring, "q"))
    rows = cells_on(table_of_tests(detection))
    assert [cells[0] for cells in rows] == ["p"] * 3 + ["q"] * 3
    assert [cells[2] for cells in rows] == ["90%", "5%", "5%"] * 2
    unknown = [math.isnan(test.log10_p) for result in detection.results for test in result.tests]
    assert any(unknown)
    assert not all(unknown)
    for cells, is_unknown in zip(rows, unknown, strict=True):
        assert (cells[3] == "not decisive") == (cells[4] == "not decisive") == is_unknown
    tests = [(result, test) for result in detection.results for test in result.tests]
    for cells, (result, test) in zip(rows, tests, strict=True):
        for cell, value in zip(cells[3:], (test.log10_p, corrected(result, test)), strict=True):
            power = report.power_of_ten(value).replace("^-", "\N{MINUS SIGN}")
            assert cell == power or math.isnan(value)
    footnote = "Not decisive: its p-value was not worked out"
    assert footnote in table_of_tests(detection)
    assert footnote not in table_of_tests(cm.Detector(ring).detect(noise(10)))
    bold = re.findall(r"<strong>([^<]*)</strong>", table_of_tests(detection))
    assert bold[:2] == ["q", "parts of the text"]


def test_page_says_how_it_was_corrected() -> None:
    ring = ring_for("p", "q")
    ids = marked_by(ring, "p", 200)
    detector = cm.Detector(ring, calibrations=[calibrated(ring, 0.5)])
    readings = [*reading_of_ids(noise(200)), *reading_of_ids(ids)]
    page = plain(page_about(report.examine("t", readings, detector, decoys=9), ring))
    assert "each test has its part of the error rate, fixed before the text was seen" in page
    assert "Calibration: p-values are enlarged, those of p 3.2 times." in page
    assert "Profiles: 2 tested, Holm's correction over all of them." in page
    assert "Forms: 2 forms of the text tested, so p-values count 2 times." in page
    simple = plain(page_about(exhibit_of(noise(10), cm.Detector(ring_for()))))
    assert "Shares: one test, so there is nothing to share." in simple
    assert "Profiles: one tested" in simple
    assert "Forms: the text was tested as it came." in simple
    assert "Calibration:" not in simple


# Decoys


def warning_on(page: str) -> str:
    return " ".join(map(plain, re.findall(r"<div class=warning role=note>(.*?)</div>", page)))


def test_page_warns_where_decoys_disagree() -> None:
    ring = ring_for()
    exhibit = exhibit_of(marked_by(ring, "p", 200), cm.Detector(ring))
    assert warning_on(page_about(exhibit)) == ""
    odd = replace(exhibit, decoys=rank_of(-40.0, [-7.0, -1.0], agrees=False))
    assert "Do not rely on the p-values of this text" in warning_on(page_about(odd))
    assert "scores p\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}10\N{MINUS SIGN}7 here" in warning_on(
        page_about(odd)
    )
    beaten = replace(exhibit, decoys=rank_of(-7.0, [-8.0, -0.5, -9.0]))
    assert "Do not rely on this verdict" in warning_on(page_about(beaten))
    assert "Of 3 keys that marked nothing, 2 score as high" in warning_on(page_about(beaten))
    page = page_about(beaten)
    assert page.index("<div class=warning") < page.index('<div class="verdict')
    barely = replace(exhibit, decoys=rank_of(-7.0, [-8.0, -0.5]))
    assert "Of 2 keys that marked nothing, 1 scores as high" in warning_on(page_about(barely))
    both = plain(report.render("t", [exhibit, beaten], ring.profiles))
    assert both.count("marked by p, but see the warning there") == 1


def test_an_unmarked_text_may_rank_anywhere() -> None:
    exhibit = exhibit_of(noise(300), cm.Detector(ring_for()))
    beaten = replace(exhibit, decoys=rank_of(-0.2, [-0.5, -0.1]))
    assert exhibit.detection.verdict == "not_marked_by_these_keys"
    assert warning_on(page_about(beaten)) == ""
    assert "ranks 2 of 3" in page_about(beaten)


def test_a_verdict_at_a_high_rate_warns_for_itself() -> None:
    detector = cm.Detector(ring_for(), false_positive_rate=0.5)
    for seed in range(100):
        exhibit = exhibit_of(noise(100, seed), detector, decoys=99)
        if exhibit.detection.verdict == "marked" and exhibit.decoys and exhibit.decoys.rank > 1:
            break
    assert "Do not rely on this verdict" in warning_on(page_about(exhibit))


def test_rank_in_words() -> None:
    rank = rank_of(-40.0, [-1.0] * 99, profile="mine")
    assert report.explain_rank(rank) == (
        "Among 100 keys, 99 of which marked nothing, the key of mine ranks 1 (p = 0.01, whatever "
        "the text is like)."
    )


def test_a_page_without_decoys_says_nothing_of_them() -> None:
    exhibit = exhibit_of(noise(100), cm.Detector(ring_for()), decoys=0)
    assert exhibit.decoys is None
    page = page_about(exhibit)
    assert "among others" not in page
    assert "marked nothing" not in page


def test_the_key_that_is_ranked_is_the_best_one() -> None:
    ring = ring_for("p", "q")
    exhibit = exhibit_of(marked_by(ring, "q", 100), cm.Detector(ring))
    assert exhibit.decoys
    assert (exhibit.decoys.profile, exhibit.decoys.rank) == ("q", 1)
    assert exhibit.decoys.log10_p == exhibit.detection.best.log10_p


# For every eye


def channels(colour: str) -> list[float]:
    if colour.startswith("#"):
        digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
        return [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    return [int(part) / 255 for part in colour.split()]


def contrast(one: list[float], other: list[float]) -> float:
    """WCAG 2's contrast ratio."""

    def luminance(colour: list[float]) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_is_sufficient(scheme: str) -> None:
    style = (Path(report.__file__).parent / "style.css").read_text(encoding="utf-8")
    light, dark, _ = (
        dict(re.findall(r"--(\w+): ([^;]+);", block))
        for block in re.findall(r":root \{([^}]*)\}", style)
    )
    colours = {k: channels(v) for k, v in (light if scheme == "light" else dark).items()}
    for name in ("ink", "soft", "marked", "unmarked", "unsure", "limit", "part", "line"):
        for ground in ("paper", "sheet"):
            assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
    assert contrast(colours["grey"], colours["paper"]) >= 3

    def mixed(shade: str, ground: str) -> list[float]:
        both = zip(colours["mark"], colours[ground], strict=True)
        return [float(shade) * mark + (1 - float(shade)) * under for mark, under in both]

    shades = re.findall(r"\.s\d \{ background: rgb\(var\(--mark\) / ([\d.]+)\)", style)
    assert len(shades) == 5
    for shade in shades:
        assert contrast(colours["ink"], mixed(shade, "sheet")) >= 4.5, shade
    bar = re.search(r"\.bar \{ fill: rgb\(var\(--mark\) / ([\d.]+)\)", style)
    assert bar
    assert contrast(mixed(bar[1], "paper"), colours["paper"]) >= 3


@pytest.mark.parametrize("texts", [1, 2])
def test_headings_leave_no_level_out(texts: int) -> None:
    ring = ring_for()
    exhibit = exhibit_of(stitched(ring, "p"), cm.Detector(ring))
    page = report.render("t", [exhibit] * texts, ring.profiles)
    levels = [int(level) for level in re.findall(r"<h(\d)>", page)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    anchors = re.findall(r' id="([^"]+)"', page)
    assert len(set(anchors)) == len(anchors)


# Words


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


def test_numbers_without_markup() -> None:
    minus, one, two = "\N{SUPERSCRIPT MINUS}", "\N{SUPERSCRIPT ONE}", "\N{SUPERSCRIPT TWO}"
    assert [raised(e) for e in (0, -1, -2, -12, 21)] == [
        "1",
        "0.1",
        "0.01",
        f"10{minus}{one}{two}",
        f"10{two}{one}",
    ]
    assert raised(-3) == f"10{minus}\N{SUPERSCRIPT THREE}"
    assert bound(math.log10(0.0421)) == "p = 0.043"
    assert bound(-21.01) == f"p < 10{minus}{two}{one}"
    assert bound(-21.99) == f"p < 10{minus}{two}{one}"
    assert [times(x) for x in (0.0, 0.5, 1.65, 4.0)] == ["1.0", "3.2", "45", "10,000"]


def test_a_text_as_much_longer_as_advised_is_long_enough() -> None:
    detector = cm.Detector(ring_for())
    ids = noise(400)  # no context occurs twice
    found = [detector.detect(ids[:tokens]) for tokens in range(1, 400)]
    enough = next(i for i, d in enumerate(found, 1) if d.verdict != "insufficient")
    for tokens in (1, 20, 40, 80, enough - 1):
        more = found[tokens - 1].tokens_to_decide
        assert more
        assert tokens + more == pytest.approx(enough, rel=0.15)


@pytest.mark.parametrize("tokens", [1, 30, 120])
def test_too_short_says_how_much_longer(tokens: int) -> None:
    found = cm.Detector(ring_for()).detect(noise(tokens))
    words = re.search(
        r"about ([\d,]+) tokens? more would do, a text about ([\d.]+) times as long",
        " ".join(report.explain(found)),
    )
    assert words
    assert found.tokens_to_decide
    about = int(words[1].replace(",", ""))
    assert found.tokens_to_decide <= about < 1.1 * found.tokens_to_decide + 1
    longer = (tokens + found.tokens_to_decide) / tokens
    assert float(words[2]) == pytest.approx(max(1.1, longer), rel=0.05, abs=0.5)


def test_where_nothing_was_left_to_chance_no_length_would_do() -> None:
    ids = noise(50) % 100
    certain = np.eye(100)[ids]
    found = cm.Detector(ring_for()).detect(ids, proxy=lambda _: certain)
    assert found.verdict == "insufficient"
    words = " ".join(report.explain(found))
    assert "no length would do" in words
    assert "about 0 bits of entropy" in words


def test_entropy_is_told_where_it_is_known() -> None:
    ids = noise(200) % 64
    rows = np.full((200, 64), 1 / 64)
    detector = cm.Detector(ring_for())
    found = detector.detect(ids, proxy=lambda _: rows)
    assert "about 1,200 bits of entropy" in " ".join(report.explain(found))
    assert "entropy" not in " ".join(report.explain(detector.detect(ids)))


def why(ids: Ids, **options: Any) -> str:
    found = cm.Detector(ring_for()).detect(ids, **options)
    assert found.verdict == "marked"
    return " ".join(report.explain(found))


def test_what_decided_is_said_where_it_is_not_the_sum() -> None:
    ring = ring_for()
    assert "sum is not: the text was probably edited" in why(edited())
    part = np.concatenate([noise(6000), marked_by(ring, "p", 60), noise(6000, 1)])
    assert "Parts of the text are marked; as a whole it would not show." in why(part)
    assert "It shows most in parts of the text." in why(stitched(ring, "p"))
    whole = marked_by(ring, "p", 200)
    rows = np.exp([row(step).astype(float) for step in range(200)])
    rows /= rows.sum(1, keepdims=True)
    assert "how likely a language model holds it" in why(whole, proxy=lambda _: rows)
    plain_words = why(whole)
    for phrase in ("It shows most", "as a whole", "edited", "language model"):
        assert phrase not in plain_words


def test_a_replay_is_explained() -> None:
    ring = ring_for()
    whole = marked_by(ring, "p", 60)
    logits = np.array([row(step) for step in range(60)])
    found = cm.Detector(ring).replay([], whole, lambda *_: logits)
    assert found.verdict == "marked"
    words = " ".join(report.explain(found))
    assert "The draws that this key makes are those of the text." in words


def test_marked_parts_in_words() -> None:
    ring = ring_for("p", "q")
    exhibit = exhibit_of(stitched(ring, "p", "q"), cm.Detector(ring))
    p, q = exhibit.detection.regions
    assert p.characters
    words = " ".join(report.explain(exhibit.detection))
    power = report.power_of_ten(p.log10_p)
    assert "2 parts of the text are marked: " in words
    begin, end = p.characters
    assert f"characters {begin + 1:,} to {end:,} by p (p = {power})" in words
    bare = " ".join(report.explain(cm.Detector(ring).detect(stitched(ring, "p", "q"))))
    assert f" and tokens {q.begin + 1:,} to {q.end:,} by q (p = " in bare
    one = " ".join(report.explain(cm.Detector(ring_for()).detect(stitched(ring, "p"))))
    assert "1 part of the text is marked: tokens " in one
    assert " by p (p" not in one
    five = cm.Detector(ring_for()).detect(stitched(ring, *"ppppp"))
    assert len(five.regions) == 5
    assert re.search(
        r"\), tokens [\d,]+ to [\d,]+ \(p = [^)]*\) and 2 more\.", " ".join(report.explain(five))
    )


def test_a_normalised_form_is_said_to_be_one() -> None:
    ring = ring_for()
    found = cm.Detector(ring).detect_variants([noise(200), marked_by(ring, "p", 200)])
    assert found.variant == 1
    words = " ".join(report.explain(found, {"invisible": 3, "homoglyph": 12, "compatibility": 1}))
    assert (
        "in its normalised form: 3 invisible characters removed, 12 look-alike letters replaced "
        "and 1 compatibility character replaced." in words
    )
    assert "1 invisible character removed." in " ".join(report.explain(found, {"invisible": 1}))
    assert "2 forms of the text tried, all paid for" in words
    as_it_came = cm.Detector(ring).detect_variants([marked_by(ring, "p", 200), noise(200)])
    assert "normalised" not in " ".join(report.explain(as_it_came))
    # Where a model is at hand, the normalised form alone is tested.
    assert "1 invisible character removed." in " ".join(
        report.explain(as_it_came, {"invisible": 1})
    )


def test_the_page_of_a_normalised_text_shows_the_text_as_it_came() -> None:
    pytest.importorskip("sentencepiece")
    from countermark.story import Story

    story = Story()
    ring = ring_for()
    sampler = cm.Sampler(ring, "p")
    answer = story.generate(sampler, min_tokens=200, max_tokens=200, seed=1)[0].text
    tampered = "\N{ZERO WIDTH SPACE}".join(answer)
    readings = read(tampered, story.tokenizer)
    exhibit = report.examine("t", readings, cm.Detector(ring), decoys=9)
    assert exhibit.changes == {"invisible": len(answer) - 1}
    page = page_about(exhibit)
    assert text_on(page) == tampered
    assert f"{len(answer) - 1:,} invisible characters removed" in plain(page)


def test_a_calibration_is_said_to_enlarge() -> None:
    ring = ring_for()
    found = cm.Detector(ring, calibrations=[calibrated(ring, 0.5)]).detect(noise(200))
    assert "p-values are enlarged 3.2 times" in " ".join(report.explain(found))
    none = cm.Detector(ring, calibrations=[calibrated(ring, 0.0)]).detect(noise(200))
    assert "enlarged" not in " ".join(report.explain(none))


def test_nothing_is_ever_called_human() -> None:
    ring = ring_for()
    found = cm.Detector(ring).detect(noise(400))
    words = " ".join([report.headline(found), *report.explain(found)])
    assert found.verdict == "not_marked_by_these_keys"
    assert "not marked by these keys" in words
    assert "human" not in words


# Calibrations


def calibrated(ring: cm.KeyRing, log10_inflation: float = 0.0, **rates: Any) -> cm.Calibration:
    """Return a calibration of p whose measurements are made up."""
    built = cm.Calibration.build(ring, "p", [noise(60, i) for i in range(220)], lengths=[50])
    made = json.loads(built.to_json())
    length = {
        "tokens": 200,
        "pieces": 4000,
        "plain": [0.3, 0.05, 0.02],
        "filtered": [0.11, 0.012, 0.0],
        "log10_inflation": log10_inflation,
        **rates,
    }
    none = {"tokens": 800, "pieces": 7, "plain": [], "filtered": [], "log10_inflation": 0.0}
    made["rates"] = [length, none]
    return cm.Calibration.from_json(json.dumps(made))


def test_calibration_in_words() -> None:
    ring = ring_for()
    lines = report.explain_calibration(calibrated(ring, 0.5))
    assert lines == [
        "220 documents, 0 common n-grams: those that at least 4 documents share, and that are not "
        "scored from now on.",
        "p-values are enlarged, at most 3.2 times (texts of about 200 tokens).",
        "200 tokens (4,000 pieces): p of at most 0.01 in 0.012 of them, 0.05 with the common "
        "n-grams; factor 3.2.",
        "800 tokens (7 pieces): too few to measure.",
    ]
    assert report.explain_calibration(calibrated(ring))[1] == (
        "No rate is above its nominal one: p-values stay as they are."
    )
    short = report.explain_calibration(calibrated(ring, plain=[], filtered=[]))
    assert "No error rate could be measured" in short[1]


def test_calibration_page() -> None:
    ring = ring_for()
    page = report.render_calibration(calibrated(ring, 0.5), ring.profiles[0])
    rows = cells_on(page)
    assert rows[0] == ["200", "4,000", "0.3", "0.11", "0.05", "0.012", "0.02", "0", "3.2"]
    assert rows[1][:3] == ["800", "7", "too few"]
    (picture,) = re.findall(r'<svg [^>]*role="img".*?</svg>', page)
    assert "0.3 before and 0.11 after where 0.1 is nominal" in picture
    # A rate of 0 has no place on a logarithmic scale.
    before = re.findall(r'<circle class=before cx="([\d.]+)" cy="([\d.]+)"', picture)
    after = re.findall(r'<circle class=after cx="([\d.]+)" cy="([\d.]+)"', picture)
    assert (len(before), len(after)) == (3, 2)
    diagonal = re.search(
        r'<line class=diagonal x1="([\d.]+)" y1="([\d.]+)" x2="([\d.]+)" y2="([\d.]+)"', picture
    )
    assert diagonal
    x1, y1, x2, y2 = map(float, diagonal.groups())
    for x, y in before:  # all above the diagonal, by the excess
        assert float(y) < y1 + (y2 - y1) * (float(x) - x1) / (x2 - x1)
    for forbidden in ("<script", "http", "url("):
        assert forbidden not in page
    assert ring.profiles[0].key_id in page
    assert "--common-in" in page


def test_calibration_page_says_what_to_do_where_a_factor_is_large() -> None:
    ring = ring_for()

    def page(**rates: Any) -> str:
        return report.render_calibration(calibrated(ring, **rates), ring.profiles[0])

    assert "What to do about it" in page(log10_inflation=0.6)
    assert "What to do if a factor were large" in page(log10_inflation=0.2)
    assert "Too few pieces of any length to measure a rate" in page(plain=[], filtered=[])
