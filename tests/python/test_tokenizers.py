"""Tokenizers of every library, and texts that belong to another one."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest

import countermark as cm

TEXTS = (
    "The quick brown fox jumps over the lazy dog.\n\nIt's 1,234.50 euros\tin München!",
    "def f(x):\n    return x ** 2  # größer\n",
    "日本語のテキスト и русский текст 🙂👩‍👩‍👧 end",
    " leading and trailing  ",
)
FILES = {
    "gpt-neox/20B_tokenizer.json": 50277,
    "mistral/mistral_instruct_tokenizer_240323.model.v3": 32768,
    "o200k/o200k_base.tiktoken": 199998,
    "gpt2": 50257,
}


@pytest.mark.parametrize(("name", "size"), FILES.items())
def test_real_tokenizers(shared: Path, name: str, size: int) -> None:
    tokenizer = cm.Tokenizer.load(shared / "tokenizers" / name)
    assert tokenizer.vocab_size == size
    assert len(tokenizer.fingerprint) == 32
    for text in TEXTS:
        ids = tokenizer.encode(text)
        assert ids.dtype == np.int32
        assert tokenizer.decode(ids).strip() == text.strip()
        again, spans = tokenizer.encode_with_spans(text)
        assert again.tolist() == ids.tolist()
        assert len(spans) == len(ids)
        covered = set().union(*(range(start, end) for start, end in spans))
        assert {i for i, c in enumerate(text) if not c.isspace()} <= covered


def test_no_special_token_is_added_or_read(shared: Path) -> None:
    tokenizer = cm.Tokenizer.load(shared / "models" / "stories3m")
    ids = tokenizer.encode("Once upon a time")
    assert 1 not in ids
    o200k = cm.Tokenizer.load(shared / "tokenizers" / "o200k" / "o200k_base.tiktoken")
    assert len(o200k.encode("<|endoftext|>")) > 1


def test_one_vocabulary_has_one_fingerprint(shared: Path) -> None:
    transformers = pytest.importorskip("transformers")
    folder = shared / "models" / "stories3m"
    loaded = cm.Tokenizer.load(folder)
    wrapped = cm.Tokenizer(transformers.AutoTokenizer.from_pretrained(folder))
    assert wrapped.fingerprint == loaded.fingerprint
    assert wrapped.encode(TEXTS[0]).tolist() == loaded.encode(TEXTS[0]).tolist()
    assert wrapped.encode_with_spans(TEXTS[0])[1] == loaded.encode_with_spans(TEXTS[0])[1]


def test_the_fingerprint_is_what_the_design_says() -> None:
    # XXH3-128 of u32 id, u32 length, bytes, for (0, "a"), (1, "bc"), by the package xxhash 3.6.
    assert cm.tokenizer_fingerprint([(1, b"bc"), (0, b"a")]) == "d20609a6fa3b0f0ec2b66cae2511edb3"
    with pytest.raises(cm.CountermarkError, match="token id 1 twice"):
        cm.tokenizer_fingerprint([(1, b"b"), (1, b"a")])


class Letters:
    """The least that a tokenizer can be."""

    def encode(self, text: str) -> list[int]:
        return [ord(c) for c in text]


def test_anything_with_encode_will_do(ring: cm.KeyRing) -> None:
    detection = cm.Detector(ring).detect_text("plain text of no mark" * 9, Letters())
    assert detection.tested == 2
    with pytest.raises(cm.CountermarkError, match="int has none"):
        cm.Detector(ring).detect_text("text", 3)
    with pytest.raises(cm.CountermarkError, match="Letters is no tokenizer that lists"):
        ring.create_profile("letters", tokenizer=Letters())


def test_the_empty_text_and_bytes_are_refused(ring: cm.KeyRing) -> None:
    with pytest.raises(cm.CountermarkError, match="the text is empty") as caught:
        cm.Detector(ring).detect_text("", Letters())
    assert caught.value.code == "empty_text"
    with pytest.raises(cm.CountermarkError, match="must be a str, got bytes") as caught:
        cm.Detector(ring).detect_text(b"\xff\xfe", Letters())  # type: ignore[arg-type]
    assert caught.value.code == "invalid_encoding"


def test_a_text_of_nothing_but_invisible_characters_is_tested_as_it_came(ring: cm.KeyRing) -> None:
    detection = cm.Detector(ring).detect_text("\u00ad\u034f\u00ad", Letters())
    assert (detection.variants, len(detection.token_scores)) == (1, 3)


def test_another_tokenizer_is_refused(ring: cm.KeyRing) -> None:
    tiktoken = pytest.importorskip("tiktoken")
    pattern = r"\w+|\W+"
    ours, theirs = (
        tiktoken.Encoding(
            name,
            pat_str=pattern,
            mergeable_ranks={bytes([i]): (i + shift) % 256 for i in range(256)},
            special_tokens={},
        )
        for name, shift in (("ours", 0), ("theirs", 1))
    )
    ring.create_profile("letters", tokenizer=ours)
    detector = cm.Detector(ring, ["letters"])
    assert detector.detect_text("text", cm.Tokenizer(ours)).tested == 1
    for foreign in (cm.Tokenizer(theirs), theirs):
        with pytest.raises(cm.CountermarkError, match='"letters" is for the tokenizer') as caught:
            detector.detect_text("text", foreign)
        assert caught.value.code == "tokenizer_mismatch"
    assert detector.detect_text("text", ours).tested == 1


def test_a_file_that_cuts_and_pads_does_neither(shared: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    path = shared / "tokenizers" / "gpt-neox" / "20B_tokenizer.json"
    plain, cutting = (tokenizers.Tokenizer.from_file(str(path)) for _ in range(2))
    cutting.enable_truncation(5)
    cutting.enable_padding(length=400)
    text = "The quick brown fox. " * 20
    assert cm.Tokenizer(cutting).encode(text).tolist() == cm.Tokenizer(plain).encode(text).tolist()
    assert len(cutting.encode(text).ids) == 400, "the caller's own tokenizer is left alone"


def test_half_a_surrogate_pair_is_refused(ring: cm.KeyRing) -> None:
    with pytest.raises(cm.CountermarkError, match="surrogate pair at character 2") as caught:
        cm.Detector(ring).detect_text("ab\ud83d", Letters())
    assert caught.value.code == "invalid_encoding"


def test_files_that_are_no_tokenizer(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    with pytest.raises(cm.CountermarkError, match="there is no tokenizer at"):
        cm.Tokenizer.load(tmp_path / "nothing.json")
    with pytest.raises(cm.CountermarkError, match=r"holds no tokenizer\.json"):
        cm.Tokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"model": ')
    with pytest.raises(cm.CountermarkError, match="cannot read the tokenizer"):
        cm.Tokenizer.load(tmp_path)
    (tmp_path / "broken.model").write_bytes(b"\x00\x01\x02")
    with pytest.raises(cm.CountermarkError, match="cannot read the tokenizer"):
        cm.Tokenizer.load(tmp_path / "broken.model")
    lines = [base64.b64encode(bytes([i])) + b" " + str(i).encode() for i in range(256)]
    (tmp_path / "small.tiktoken").write_bytes(b"\n".join(lines))
    with pytest.raises(cm.CountermarkError, match=r"holds 256 tokens.*give pattern="):
        cm.Tokenizer.load(tmp_path / "small.tiktoken")
    tokenizer = cm.Tokenizer.load(tmp_path / "small.tiktoken", pattern=r"\w+|\W+")
    assert tokenizer.decode(tokenizer.encode("héllo")) == "héllo"
