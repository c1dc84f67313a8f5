"""Texts as they come, and with what was done to their characters undone."""

# ruff: noqa: RUF001, RUF003 -- letters that look like others are what this is about

from __future__ import annotations

import random
import re
import sys
import time
import unicodedata
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from countermark.normalisation import Variant, can_fold_homoglyphs, variants

needs_library = pytest.mark.skipif(
    not can_fold_homoglyphs(), reason="confusable_homoglyphs is not installed"
)


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "confusable_homoglyphs.confusables", None)


def normalised(text: str) -> Variant:
    """Return the last variant, after a look at what holds for any."""
    original, *others = variants(text)
    assert (original.name, original.text, original.changes) == ("original", text, {})
    assert original.origins.tolist() == list(range(len(text) + 1))
    assert len(others) <= 1
    for other in others:
        assert other.name == "normalised"
        assert other.text != text
        assert set(other.changes) <= {"invisible", "homoglyph", "compatibility"}
        assert all(count > 0 for count in other.changes.values())
        assert other.origins.dtype == np.int64
        assert len(other.origins) == len(other.text) + 1
        assert other.origins[-1] == len(text)
        assert (np.diff(other.origins) >= 0).all()
    return [original, *others][-1]


@pytest.mark.parametrize(
    "text",
    ["", "plain\n\ttext \x00", "Größe, naïve “quotes” – Tiếng Việt", "日本語 한국어 🙂", "ı"],
)
def test_most_texts_have_one_variant(text: str) -> None:
    assert normalised(text).name == "original"


@pytest.mark.parametrize(
    ("text", "expected", "changes"),
    [
        ("ze\u200bro wi\u2060d\u200dth\ufeff", "zero width", {"invisible": 4}),
        ("so\u00adft \u202eabc\u202c\u061c", "soft abc", {"invisible": 4}),
        ("tags\U000e0041\U000e007f va\ufe0f\U000e0100r", "tags var", {"invisible": 4}),
        ("\u180e\u115f\u1160\u3164\uffa0\u034fx", "x", {"invisible": 6}),
        ("می\u200cخواهم", "میخواهم", {"invisible": 1}),
        ("👩\u200d👧 ❤\ufe0f", "👩👧 ❤", {"invisible": 2}),
        ("ｆｕｌｌ", "full", {"compatibility": 4}),
        ("ofﬁce ½", "office 1⁄2", {"compatibility": 2}),
        ("𝖻𝖆𝖽 𝐦𝖆𝓉𝗵 is not bad maths", "bad math is not bad maths", {"compatibility": 7}),
        ("a\u00a0b\u2009c\u3000d\u1680e\u2800f", "a b c d e f", {"compatibility": 5}),
        ("cafe\u0301", "café", {"compatibility": 2}),
        ("\u1112\u1161\u11ab한", "한한", {"compatibility": 3}),
        ("q\u0301\u0323", "q\u0323\u0301", {"compatibility": 2}),
        ("e\u200b\u0301 ﬁ", "é fi", {"invisible": 1, "compatibility": 3}),
    ],
)
def test_what_is_hidden_or_compatible(text: str, expected: str, changes: dict[str, int]) -> None:
    found = normalised(text)
    assert found.text == expected
    assert found.changes == changes


@needs_library
@pytest.mark.parametrize(
    ("text", "expected", "count"),
    [
        ("pаypаl", "paypal", 2),
        ("p\u200bаypаl", "paypal", 2),
        ("а hоusе оf саrds", "a house of cards", 6),
        ("Ιn МАY І аsk? Ѕее ΙΙΙ, аӀӀ caӀӀ", "In MAY I ask? See III, all call", 16),
        ("cаfé", "café", 1),
        ("dаrк mode on", "darк mode on", 1),
        ("Слово Οstrowski и всё", "Слово Ostrowski и всё", 1),
        ("а\u0301b", "áb", 1),
    ],
)
def test_homoglyphs(text: str, expected: str, count: int) -> None:
    found = normalised(text)
    assert found.text == expected
    assert found.changes["homoglyph"] == count


LEGITIMATE = (
    "Оно росло у моря, а вокруг сосны. ТВ и СССР, SMSка, компанияIBM",
    "Ο ουρανός και το νερό. Η Αθήνα, το ΝΑΤΟ (AΙΣ)",
    "Є ліс і поле, а в ньому озеро",
    "中文和English混在一起，卡拉OK",
    "السماء زرقاء، وUSA أيضا",
    "आज ० मौसम अच्छा है",
    "ท้องฟ้าเป็นสีฟ้า ๐ IT",
    "Bầu trời màu xanh, đẹp lắm",
    "Kız ılık suda yüzdü",
    "Երևանը մեծ է",
    "하늘은 파랗다",
    "English prose, with one word of Russian in it: Москва. It names a city, of course.",
)


@needs_library
@pytest.mark.parametrize("text", LEGITIMATE)
def test_other_scripts_are_left_alone(text: str) -> None:
    assert "homoglyph" not in normalised(text).changes


@needs_library
@pytest.mark.parametrize(
    "language", ["ar", "de", "el", "en", "es", "hi", "ro", "ru", "th", "tr", "vi", "zh"]
)
def test_twelve_languages_are_left_alone(shared: Path, language: str) -> None:
    text = (shared / "text" / "xquad" / f"xquad.{language}.txt").read_text(encoding="utf-8")
    found = normalised(text)
    if language == "el":  # where one Οstrowski begins with a Greek letter
        assert found.changes.pop("homoglyph") == text.count("Οstrowski") == 1
    assert "homoglyph" not in found.changes


@pytest.mark.parametrize(
    ("text", "expected", "origins"),
    [
        ("\u200ba\u200b\u200bb\u200b", "ab", [1, 4, 6]),
        ("xﬁy", "xfiy", [0, 1, 1, 2, 3]),
        ("ae\u0301b", "aéb", [0, 1, 3, 4]),
        ("e\u200b\u0301b", "éb", [0, 3, 4]),
        ("xq\u0301\u0323y", "xq\u0323\u0301y", [0, 1, 2, 2, 4, 5]),
        ("\u1112\u1161\u11ab!\u00e9", "한!é", [0, 3, 4, 5]),
        ("ﷺ\u200b.", "صلى الله عليه وسلم.", [0] * 18 + [2, 3]),
        ("a\u0323\u0323\u0301", "ạ\u0323\u0301", [0, 2, 3, 4]),
    ],
)
def test_where_characters_came_from(text: str, expected: str, origins: list[int]) -> None:
    found = normalised(text)
    assert found.text == expected
    assert found.origins.tolist() == origins


def test_ranges_of_the_original() -> None:
    found = normalised("\ufeffof\u200bﬁce cafe\u0301.")
    assert found.text == "office café."
    spans = [found.original_span(i, i + 1) for i in range(len(found.text))]
    assert spans[:5] == [(1, 2), (2, 4), (4, 5), (4, 5), (5, 6)]
    assert spans[-2:] == [(11, 13), (13, 14)]
    assert found.original_span(2, 3) == found.original_span(3, 4) == found.original_span(2, 4)
    assert found.original_span(7, 11) == (8, 13)
    assert found.original_span(0, 12) == (1, 14)
    assert found.original_span(3, 3) == (4, 4)
    assert found.original_span(12, 12) == (14, 14)
    original = variants("née")[0]
    assert original.original_span(1, 3) == (1, 3)


@needs_library
def test_a_text_disguised_in_every_way_is_recovered() -> None:
    text = "The office of Alice and Bob in Oslo was closed: I saw it, so did you. " * 30
    latin, others = "aceiopsxyABCEHIKMOPSTX", "асеіорѕхуАВСЕНІКМОРЅТХ"
    rng = random.Random(3)
    disguised = ""
    for c in text:
        ways = [c, c + "\u200b", "\u2063" + c]
        if c in latin:
            ways.append(others[latin.index(c)])
        if c.isascii() and c.isalpha():
            ways.append(chr(ord(c) + 0xFEE0))
        if c == " ":
            ways += "\u00a0\u2005"
        disguised += rng.choice(ways)
    found = normalised(disguised)
    assert found.text == text
    assert set(found.changes) == {"invisible", "homoglyph", "compatibility"}


def test_without_the_library_letters_stay(no_library: None) -> None:
    assert not can_fold_homoglyphs()
    found = normalised("pаy\u200bｐal")
    assert found.text == "pаypal"
    assert found.changes == {"invisible": 1, "compatibility": 1}


def test_invisible_are_all_format_characters_but_signs_that_show() -> None:
    every = map(chr, [*range(0xD800), *range(0xE000, 0x110000)])
    visible = "ARABIC|SYRIAC|KAITHI|EGYPTIAN"
    for c in every:
        if unicodedata.category(c) == "Cf" and not re.match(visible, unicodedata.name(c)):
            assert normalised(f"a{c}b").text == "ab", hex(ord(c))


def reference(text: str) -> str:
    """Return NFKC of what is visible."""
    kept = (c for c in text if "invisible" not in variants(f"a{c}")[-1].changes)
    return unicodedata.normalize(
        "NFKC", "".join(kept).replace("\u1680", " ").replace("\u2800", " ")
    )


@pytest.mark.parametrize("seed", range(3))
def test_every_character_that_nfkc_touches(no_library: None, seed: int) -> None:
    every = map(chr, [*range(0xD800), *range(0xE000, 0x110000)])
    touched = [
        c
        for c in every
        if unicodedata.decomposition(c)
        or unicodedata.category(c)[0] == "M"
        or "\u1100" <= c < "\u1200"
    ]
    random.Random(seed).shuffle(touched)
    text = "".join(touched)
    assert normalised(text).text == reference(text)
    apart = " ".join(unicodedata.normalize("NFD", c) for c in touched)
    assert normalised(apart).text == reference(apart)


INTERESTING = (
    "abﬁéｆ½Å\u212b\u0301\u0323\u0327\u0344\u0345\u05b4\u200b\u200d\ufe0f\u00ad \u00a0\u1680"
    "\u1100\u1161\u11a8각\u09c7\u09be\u09d7\u0fb2\u0f71\u0f80क\u093c\u0958ガ\u3099ﾊ\uff9f…\ud800"
)


def test_random_texts_are_nfkc_and_so_is_each_piece(no_library: None) -> None:
    rng = random.Random(1)
    for _ in range(3000):
        text = "".join(rng.choices(INTERESTING, k=rng.randrange(12)))
        found = normalised(text)
        assert found.text == reference(text)
        assert normalised(found.text).name == "original"
        cuts = [0, *(np.flatnonzero(np.diff(found.origins)) + 1).tolist()]
        for begin, end in pairwise(cuts):
            first, last = found.original_span(begin, end)
            assert reference(text[first:last]) == found.text[begin:end]


LATIN, ALIKE, FOREIGN = "aeé", {"а": "a", "ο": "o", "Ѕ": "S", "\U000118d8": "u"}, "жλ中"


def folded(text: str) -> str:
    """Return ``text`` with homoglyphs folded, by the rule written another way."""
    letters = [c for c in text if c.isalpha()]
    latin_text = sum(c in FOREIGN for c in letters) <= 0.1 * len(letters)
    words = re.split("([ .1]+)", text)
    for i, word in enumerate(words):
        mixed, foreign = set(LATIN) & set(word), set(FOREIGN) & set(word)
        if (mixed and not foreign) or (latin_text and (mixed or not foreign)):
            words[i] = "".join(ALIKE.get(c, c) for c in word)
    return "".join(words)


@needs_library
def test_random_words_are_folded_by_the_rule() -> None:
    rng = random.Random(2)
    seen = set()
    for _ in range(2000):
        weights = (4, rng.choice((1, 20)), rng.choice((0.1, 4)), 1, 3)
        groups = rng.choices((LATIN, "".join(ALIKE), FOREIGN, "\u0301", " .1"), weights, k=30)
        text = "".join(map(rng.choice, groups))
        found = normalised(text)
        assert found.text == unicodedata.normalize("NFKC", folded(text))
        seen.add(found.changes.get("homoglyph", 0))
    assert len(seen) > 10


def seconds(text: str) -> float:
    begin = time.process_time()
    variants(text)
    return time.process_time() - begin


def test_long_texts_take_no_time() -> None:
    assert min(seconds("plain text " * 100_000) for _ in range(3)) < 0.02
    assert seconds("ofﬁce pаypal cafe\u0301 ze\u200bro слово 中文 हिन्दी " * 25_000) < 10


def test_a_letter_with_many_marks_takes_no_time() -> None:
    marks = "\u0301\u0323" * 50_000
    assert seconds("a" + marks) < 2
    # The marks below come first, and the first of them composes.
    assert normalised("a" + marks).text == "ạ" + "\u0323" * 49_999 + "\u0301" * 50_000
    assert seconds("中" * 100_000 + " pаy") < 2
