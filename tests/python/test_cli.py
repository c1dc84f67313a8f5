"""The command line: what it prints, where, and how it exits."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import countermark as cm

pytest.importorskip("sentencepiece")

from command_line import STORY, complaint, objects, run
from conftest import save_tiny_model

SEVERAL = ["--count", 4]  # the model may end a single story after a few tokens


def process(*args: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run a command as a shell does."""
    return subprocess.run(
        [sys.executable, "-m", "countermark", *map(str, args)],
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ring with the profiles p and acc (accounts) for the story model."""
    path = tmp_path_factory.mktemp("ring") / "keys.json"
    assert run("keygen", path, "--profile", "p", *STORY).exit_code == 0
    assert run("keygen", path, "--profile", "acc", "--accounts", *STORY).exit_code == 0
    return path


@pytest.fixture(scope="module")
def marked(ring: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text that p marks."""
    path = tmp_path_factory.mktemp("texts") / "marked.txt"
    path.write_text(generate(ring, *SEVERAL).stdout, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def unmarked(ring: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "unmarked.txt"
    result = generate(ring, "--unmarked", "--seed", 1, "--count", 3)
    path.write_text(result.stdout, encoding="utf-8")
    return path


def generate(ring: Path, *args: object) -> Any:
    result = run("generate", "--keys", ring, "--profile", "p", *args)
    assert result.exit_code == 0, result.output
    return result


def secrets_of(path: Path) -> list[str]:
    return [entry["secret"] for entry in json.loads(path.read_text())["entries"]]


# keygen


def test_keygen_makes_a_private_ring_and_never_shows_the_secret(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    result = run("keygen", path, "--profile", "prod", *STORY)
    assert result.exit_code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "prod" in result.stdout
    assert str(path) in result.stdout
    for shown in (result, run("keygen", path, "--profile", "b", "--json"), run("profiles", path)):
        assert not any(secret[:16] in shown.output for secret in secrets_of(path))


def test_keygen_adds_without_losing(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    run("keygen", path, "--profile", "a")
    before = json.loads(path.read_text())["entries"]
    assert run("keygen", path, "--profile", "b").exit_code == 0
    assert json.loads(path.read_text())["entries"][: len(before)] == before
    assert [p.id for p in cm.KeyRing.open(path).profiles] == ["a", "b"]


def test_keygen_refuses_a_taken_id_and_leaves_the_ring_alone(ring: Path) -> None:
    before = ring.read_bytes()
    assert 'has a profile "p" already' in complaint(run("keygen", ring, "--profile", "p"))
    assert ring.read_bytes() == before


def test_keygen_leaves_a_file_that_is_no_ring_alone(tmp_path: Path) -> None:
    path = tmp_path / "precious.txt"
    path.write_text("precious")
    path.chmod(0o600)
    complaint(run("keygen", path, "--profile", "p"))
    assert path.read_text() == "precious"


def test_keygens_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    command = [sys.executable, "-m", "countermark", "keygen", str(path), "--profile"]
    running = [subprocess.Popen([*command, f"p{i}"], stdout=subprocess.DEVNULL) for i in range(6)]
    assert [child.wait(60) for child in running] == [0] * 6
    assert {p.id for p in cm.KeyRing.open(path).profiles} == {f"p{i}" for i in range(6)}


def test_keygen_follows_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "keys.json", tmp_path / "link.json"
    run("keygen", target, "--profile", "a")
    link.symlink_to(target)
    assert run("keygen", link, "--profile", "b").exit_code == 0
    assert link.is_symlink()
    assert len(cm.KeyRing.open(target).profiles) == 2


def test_keygen_takes_every_parameter(tmp_path: Path) -> None:
    options = {
        "narrow_width": 3,
        "wide_width": 1,
        "narrow_units": 20000,
        "free_units": 1000,
        "free_prefix": 5,
    }
    flags = [word for k, v in options.items() for word in ("--" + k.replace("_", "-"), v)]
    result = run("keygen", tmp_path / "k", "--profile", "p", "--accounts", "--json", *flags)
    profile = json.loads(result.stdout)["profile"]
    assert profile["parameters"] == {**options, "accounts": True}


def test_keygen_purposes(tmp_path: Path) -> None:
    for purpose, units in (("distillation", 65536), ("provenance", 0), ("balanced", 32768)):
        result = run("keygen", tmp_path / "k", "--profile", purpose, "--purpose", purpose, "--json")
        assert json.loads(result.stdout)["profile"]["parameters"]["narrow_units"] == units
    listed = run("profiles", tmp_path / "k").stdout
    for line, purpose in zip(
        listed.splitlines()[1:], ("distillation", "provenance", "balanced"), strict=True
    ):
        assert line.split().count(purpose) == 2  # its name, and its purpose


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--narrow-width", 9], "narrow_width"),
        (["--narrow-width", 10**30], "--narrow-width"),
        (["--wide-width", 10**30], "--wide-width"),
        (["--narrow-units", 10**30], "--narrow-units"),
        (["--free-units", 10**30], "--free-units"),
        (["--free-prefix", 10**30], "--free-prefix"),
        (["--purpose", "distillation", "--accounts"], "accounts"),
        (["--purpose", "fun"], "fun"),
        (["--tokenizer", "/nowhere.json"], "there is no tokenizer at /nowhere.json"),
        ([], "--profile"),
    ],
)
def test_keygen_names_what_is_wrong(args: list[object], words: str, tmp_path: Path) -> None:
    given = [] if words == "--profile" else ["--profile", "p"]
    assert words in complaint(run("keygen", tmp_path / "k", *given, *args))
    assert not (tmp_path / "k").exists()


# profiles


def test_profiles_lists_retires_and_exports(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    run("keygen", path, "--profile", "old", *STORY)
    run("keygen", path, "--profile", "new")
    assert re.search(r"^old +active", run("profiles", path).stdout, re.MULTILINE)
    assert run("profiles", path, "--retire", "old").exit_code == 0
    statuses = [p["status"] for p in objects(run("profiles", path, "--json"))]
    assert statuses == ["retired", "active"]
    exported = run("profiles", path, "--export", "old").stdout
    assert cm.Profile.from_json(exported) == cm.KeyRing.open(path).profile("old")
    assert '"p"' in complaint(run("profiles", path, "--retire", "p"))


# generate and detect


def test_generate_then_detect(ring: Path, marked: Path, unmarked: Path) -> None:
    assert run("detect", "--keys", ring, marked).exit_code == 0
    assert run("detect", "--keys", ring, unmarked).exit_code == 1
    shown = run("detect", "--keys", ring, marked, unmarked)
    assert shown.exit_code == 0
    assert "marked.txt: marked by p" in shown.stdout
    assert "unmarked.txt: not marked by these keys" in shown.stdout
    assert "2 profiles tried" in shown.stdout
    assert re.search(r"at most one in 10\^\d+ ", shown.stdout)
    assert "human" not in shown.stdout


def test_generate_says_what_became_of_the_mark(ring: Path) -> None:
    result = generate(ring, *SEVERAL)
    found = re.findall(
        r"^answer \d: \d+ of \d+ tokens marked, \d+ bits of entropy, expected p ",
        result.stderr,
        re.M,
    )
    assert len(found) == 4
    assert "marked" not in result.stdout


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["--temperature", 0], "temperature 0 leaves nothing to choose"),
        (["--top-k", 1], "left one candidate"),
        (["--tokens", 20], "free_prefix"),
        (["--unmarked"], "--unmarked"),
    ],
)
def test_generate_says_that_an_answer_is_not_marked(
    ring: Path, args: list[object], reason: str
) -> None:
    result = generate(ring, *args)
    assert result.stderr.startswith("not marked: ")
    assert reason in result.stderr
    (answer,) = objects(generate(ring, "--json", *args))
    assert answer["is_marked"] is False
    assert reason in answer["why_unmarked"]


def test_generate_json_is_one_object_for_each_answer(ring: Path) -> None:
    result = generate(ring, "--json", *SEVERAL)
    answers = objects(result)
    assert result.stderr == ""
    assert len({answer["text"] for answer in answers}) == 4
    detector = cm.Detector(cm.KeyRing.open(ring), ["p"])
    expected = sum(answer["expected_log10_p"] for answer in answers)
    assert expected < -50
    assert sum(detector.detect(a["token_ids"]).log10_p for a in answers) < 0.6 * expected
    for answer in answers:
        assert answer["is_marked"] is True
        assert answer["why_unmarked"] is None


def test_generate_repeats_with_a_seed(ring: Path) -> None:
    args = ["--seed", 9, "--tokens", 60]
    assert generate(ring, *args).stdout == generate(ring, *args).stdout


def test_generate_for_an_account(ring: Path) -> None:
    account = 2**64 - 1
    options = ["--profile", "acc", "--account", account, "--json", *SEVERAL]
    answers = objects(run("generate", "--keys", ring, *options))
    ids = [token for answer in answers for token in answer["token_ids"]]
    detector = cm.Detector(cm.KeyRing.open(ring), ["acc"])
    assert detector.score_account(ids, "acc", account).log10_p < -6
    assert detector.score_account(ids, "acc", account - 1).log10_p > -6


def test_generate_refuses_an_account_where_there_are_none(ring: Path) -> None:
    assert "has no accounts" in complaint(
        run("generate", "--keys", ring, "--profile", "p", "--account", 3)
    )
    assert "--unmarked" in complaint(
        run("generate", "--keys", ring, "--profile", "acc", "--account", 3, "--unmarked")
    )


def test_generate_refuses_a_retired_profile_that_detect_still_finds(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    run("keygen", path, "--profile", "p", *STORY)
    text = generate(path, *SEVERAL).stdout
    run("profiles", path, "--retire", "p")
    assert "retired" in complaint(run("generate", "--keys", path, "--profile", "p"))
    assert run("detect", "--keys", path, stdin=text).exit_code == 0


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--temperature", -1),
        ("--temperature", "nan"),
        ("--top-p", 2),
        ("--min-p", 3),
        ("--top-k", -1),
        ("--tokens", 0),
        ("--count", 0),
        ("--seed", -1),
        ("--account", -1),
        ("--account", 2**64),
    ],
)
def test_generate_names_a_bad_option(ring: Path, flag: str, value: object) -> None:
    message = complaint(run("generate", "--keys", ring, "--profile", "acc", flag, value))
    assert flag.strip("-").replace("-", "_") in message.replace("-", "_")
    assert "unexpected" not in message


def test_generate_refuses_a_profile_of_another_tokenizer(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    save_foreign(path)
    message = complaint(run("generate", "--keys", path, "--profile", "foreign"))
    assert "for the tokenizer foreign" in message
    assert "but the model's is countermark-story" in message


def test_generate_with_a_transformers_model(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "model")
    keys = tmp_path / "keys.json"
    assert run("keygen", keys, "--profile", "hf", "--tokenizer", folder).exit_code == 0
    arguments = ["generate", "--keys", keys, "--profile", "hf", "--model", folder]
    arguments += ["--prompt", "The cat", "--tokens", 120]
    answers = objects(run(*arguments, "--json", "--count", 2))
    assert len(answers) == 2
    for answer in answers:
        assert answer["tokens"] == 120
        assert answer["is_marked"] is True
        ids = json.dumps(answer["token_ids"])
        assert run("detect", "--keys", keys, "--ids", stdin=ids).exit_code == 0
    (greedy,) = objects(run(*arguments, "--json", "--temperature", 0))
    assert greedy["is_marked"] is False
    (free,) = objects(run(*arguments, "--json", "--unmarked"))
    assert (
        run("detect", "--keys", keys, "--ids", stdin=json.dumps(free["token_ids"])).exit_code == 1
    )
    nowhere = complaint(run(*arguments[:-4], "--model", tmp_path / "none"))
    assert "there is no model at" in nowhere


def test_ring_from_the_environment(
    ring: Path, marked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "--keys" in complaint(run("detect", marked))
    monkeypatch.setenv("COUNTERMARK_KEYS", str(ring))
    assert run("detect", marked).exit_code == 0


# What detect reads


def test_detect_reads_standard_input(ring: Path, marked: Path) -> None:
    for args in ([], ["-"]):
        shown = run("detect", "--keys", ring, *args, stdin=marked.read_bytes())
        assert shown.exit_code == 0
        assert shown.stdout.startswith("standard input: marked by p")


def test_detect_drops_a_byte_order_mark(ring: Path, marked: Path, tmp_path: Path) -> None:
    path = tmp_path / "bom.txt"
    path.write_bytes(b"\xef\xbb\xbf" + marked.read_bytes())
    (found,) = objects(run("detect", "--keys", ring, "--json", path))
    (plain,) = objects(run("detect", "--keys", ring, "--json", marked))
    assert {**found, "file": ""} == {**plain, "file": ""}


def test_detect_ids(ring: Path) -> None:
    answers = objects(generate(ring, "--json", *SEVERAL))
    ids = [token for answer in answers for token in answer["token_ids"]]
    for text in (json.dumps(ids), " ".join(map(str, ids)), "\n".join(map(str, ids))):
        (found,) = objects(run("detect", "--keys", ring, "--ids", "--json", stdin=text))
        assert found["verdict"] == "marked"
        assert found["tokens"] == len(ids)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"hello world \xff\xfe", "is not valid UTF-8: byte 0xff at offset 12; convert it first"),
        (b"\xff\xfeh\x00i\x00", "is not valid UTF-8: byte 0xff at offset 0"),
        ("caf\N{LATIN SMALL LETTER E WITH ACUTE}".encode("latin-1"), "byte 0xe9 at offset 3"),
        (b"h\x00i\x00", "byte 0x00 at offset 1"),
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
    ],
)
def test_detect_names_what_is_wrong_with_a_text(
    ring: Path, tmp_path: Path, data: bytes, words: str
) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(data)
    message = complaint(run("detect", "--keys", ring, path))
    assert words in message
    assert "bad.txt" in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 2 x3", "'x3'"),
        ("[1, 2.5]", "no token ids"),
        ("[1, [2]]", "no token ids"),
        ("[1, 2", "no token ids"),
        ("[]", "is empty"),
        ("1 2 2048", "2048"),
        ("1 2 -1", "-1"),
        ("1 2 99999999999", "token 2"),
    ],
)
def test_detect_names_what_is_wrong_with_ids(ring: Path, text: str, words: str) -> None:
    assert words in complaint(run("detect", "--keys", ring, "--ids", stdin=text))


def test_detect_examines_all_files_and_fails_if_one_failed(
    ring: Path, marked: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.txt"
    bad.write_bytes(b"\xff")
    missing = tmp_path / "missing.txt"
    shown = run("detect", "--keys", ring, bad, marked, missing, tmp_path, marked)
    assert shown.exit_code == 2
    assert shown.stdout.count("marked by p") == 2
    assert len(shown.stderr.splitlines()) == 3
    assert f"{missing}: No such file" in shown.stderr
    assert f"{tmp_path}: Is a directory" in shown.stderr


def test_detect_json_holds_everything_and_nothing_else(
    ring: Path, marked: Path, tmp_path: Path
) -> None:
    result = run("detect", "--keys", ring, "--json", marked, tmp_path / "missing.txt")
    found, failed = objects(result)
    assert found["verdict"] == "marked"
    assert found["profile"] == "p"
    assert found["log10_p"] < -6
    assert found["file"] == str(marked)
    assert failed["code"] == "file_failure"
    assert result.exit_code == 2


def test_detect_says_when_a_text_is_too_short(ring: Path) -> None:
    shown = run("detect", "--keys", ring, stdin="Once upon a time, there was a cat.")
    assert shown.exit_code == 1
    assert "too short to say" in shown.stdout
    assert re.search(r"about \d+ times as long", shown.stdout)


def test_detect_start_and_rate(ring: Path, marked: Path) -> None:
    def found(*args: object) -> dict[str, Any]:
        (only,) = objects(run("detect", "--keys", ring, "--profile", "p", "--json", marked, *args))
        return only

    (sum_of_both,) = [
        test["log10_p"] for test in found()["results"][0]["tests"] if test["statistic"] == "sum"
    ]
    assert found("--start", "response")["log10_p"] < sum_of_both
    assert found("--start", "unknown")["scored"] > found("--start", "response")["scored"]
    assert found("--rate", 0.01)["log10_threshold"] == -2
    assert "(0, 0.5]" in complaint(run("detect", "--keys", ring, marked, "--rate", 2))


def test_detect_writes_a_page(ring: Path, marked: Path, unmarked: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert run("detect", "--keys", ring, "--html", page, marked, unmarked).exit_code == 0
    html = page.read_text(encoding="utf-8")
    assert "marked by p" in html
    assert "not marked by these keys" in html
    assert not any(secret[:16] in html for secret in secrets_of(ring))
    result = run("detect", "--keys", ring, "--ids", "--html", page, stdin="1 20 300 4")
    assert result.exit_code == 1
    assert "1 20 300 4" in re.sub(r"<[^>]*>", "", page.read_text(encoding="utf-8"))
    nowhere = tmp_path / "no" / "page.html"
    assert run("detect", "--keys", ring, "--html", nowhere, marked).exit_code == 2


def test_a_page_takes_the_place_of_a_page_alone(ring: Path, marked: Path, tmp_path: Path) -> None:
    text, page, taken = (tmp_path / name for name in ("text.html", "page.html", "notes.txt"))
    text.write_text("<!doctype html>" + marked.read_text())
    taken.write_text("precious")
    for target in (ring, marked, text, taken, tmp_path):
        before = target.read_bytes() if target.is_file() else b""
        given = ["--keys", ring, "--html", target, marked, text]
        assert f"cannot write {target}" in complaint(run("detect", *given))
        assert not before or target.read_bytes() == before
    page.write_text("<!DOCTYPE HTML> an earlier page")
    page.chmod(0o600)
    assert run("detect", "--keys", ring, "--html", page, marked).exit_code == 0
    assert "marked by p" in page.read_text(encoding="utf-8")
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "page.html", text.name]


def test_a_page_that_cannot_be_written_shows_before_anything_is_computed(
    ring: Path, marked: Path, tmp_path: Path
) -> None:
    nowhere = tmp_path / "no" / "page.html"
    assert "there is no folder" in complaint(
        run("detect", "--keys", ring, "--html", nowhere, marked)
    )


def test_detect_scores_an_account(ring: Path) -> None:
    options = ["--profile", "acc", "--account", 7]
    text = run("generate", "--keys", ring, *options, *SEVERAL).stdout

    def score(account: int) -> float:
        given = ["--keys", ring, "--account", account, "--json"]
        (found,) = objects(run("detect", *given, stdin=text))
        assert found["account"]["account"] == str(account)
        return float(found["account"]["log10_p"])

    assert score(7) < -6 < score(8)
    shown = run("detect", "--keys", ring, *options, stdin=text)
    assert re.search(r"account 7: p = 10\^-\d.* not corrected for a search", shown.stdout)
    assert "account" not in run("detect", "--keys", ring, "--profile", "acc", stdin=text).stdout
    none = run("detect", "--keys", ring, "--profile", "p", "--account", 7, stdin=text)
    assert "no profile that is tried has accounts" in complaint(none)


def test_detect_asks_which_profile_an_account_is_of(tmp_path: Path) -> None:
    for profile in ("a", "b"):
        run("keygen", tmp_path / "k", "--profile", profile, "--accounts", *STORY)
    message = complaint(run("detect", "--keys", tmp_path / "k", "--account", 7, stdin="text"))
    assert "say with --profile under which of a, b" in message


def test_empty_names(ring: Path) -> None:
    assert "a FILE is empty" in complaint(run("detect", "--keys", ring, ""))
    assert "--keys is empty" in complaint(run("detect", "--keys", "", stdin="text"))
    assert "--keys is empty" in complaint(run("generate", "--keys", "", "--profile", "p"))


def test_generate_refuses_a_prompt_that_is_not_text(ring: Path) -> None:
    arguments = ["generate", "--keys", ring, "--profile", "p", "--prompt", b"\xff\xfe"]
    shown = subprocess.run(
        [
            sys.executable,
            "-m",
            "countermark",
            *(a if isinstance(a, bytes) else str(a) for a in arguments),
        ],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert shown.returncode == 2
    assert shown.stderr == b"countermark: --prompt is not valid UTF-8\n"


def test_keygen_says_that_a_ring_became_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTERMARK_ALLOW_READABLE_KEYS", "1")
    path = tmp_path / "keys.json"
    assert "mode" not in run("keygen", path, "--profile", "a").stderr
    path.chmod(0o640)
    shown = run("keygen", path, "--profile", "b")
    assert shown.exit_code == 0
    assert "had mode 0640 and has 0600 now" in shown.stderr
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


# Tokenizers and profiles


def save_foreign(path: Path) -> None:
    """Save a ring with a profile for a tokenizer that nobody has."""
    ring = cm.KeyRing.open(path) if path.exists() else cm.KeyRing.generate()
    ring.create_profile(
        "foreign", tokenizer={"name": "foreign", "vocab_size": 9999, "fingerprint": "0" * 32}
    )
    ring.save(path)


def test_detect_leaves_out_profiles_of_other_tokenizers(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    run("keygen", path, "--profile", "p", *STORY)
    save_foreign(path)
    text = generate(path, *SEVERAL).stdout
    shown = run("detect", "--keys", path, stdin=text)
    assert shown.exit_code == 0
    assert "Left out: foreign" in shown.stderr
    assert "profile tried: p" in shown.stdout


def test_detect_refuses_the_wrong_tokenizer(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    save_foreign(path)
    assert "give it with --tokenizer" in complaint(run("detect", "--keys", path, stdin="text"))
    wrong = complaint(run("detect", "--keys", path, *STORY, stdin="text"))
    assert "for the tokenizer foreign" in wrong
    run("keygen", path, "--profile", "p", *STORY)
    named = run("detect", "--keys", path, "--profile", "p", "--profile", "foreign", stdin="text")
    assert "for the tokenizer foreign" in complaint(named)
    assert "different tokenizers" in complaint(run("detect", "--keys", path, "--ids", stdin="1 2"))
    run("keygen", tmp_path / "plain", "--profile", "p")
    unsaid = complaint(run("detect", "--keys", tmp_path / "plain", stdin="text"))
    assert "the profiles name no tokenizer" in unsaid


def test_detect_with_a_hugging_face_tokenizer(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    backend = tokenizers.Tokenizer(
        tokenizers.models.BPE({letter: i for i, letter in enumerate(letters)}, [])
    )
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    file = tmp_path / "tokenizer.json"
    backend.save(str(file))
    ring = tmp_path / "keys.json"
    assert run("keygen", ring, "--profile", "hf", "--tokenizer", file).exit_code == 0
    page = tmp_path / "page.html"
    text = "Caf\N{LATIN SMALL LETTER E WITH ACUTE} \N{GRINNING FACE} " * 20
    shown = run(
        "detect", "--keys", ring, "--tokenizer", tmp_path, "--html", page, stdin=text.encode()
    )
    assert shown.exit_code == 1
    assert page.read_text(encoding="utf-8").count("\N{GRINNING FACE}") == 20


@pytest.mark.parametrize("command", ["generate", "detect"])
def test_unknown_profile(ring: Path, command: str) -> None:
    message = complaint(run(command, "--keys", ring, "--profile", "nope", stdin="text"))
    assert '"nope"' in message
    assert "p, acc" in message


# Damaged rings


def damage(ring: Path, path: Path, change: Callable[[str], str]) -> Path:
    path.write_text(change(ring.read_text()))
    path.chmod(0o600)
    return path


def test_truncated_ring(ring: Path, tmp_path: Path) -> None:
    path = damage(ring, tmp_path / "k", lambda text: text[: len(text) // 2])
    message = complaint(run("detect", "--keys", path, stdin="text"))
    assert str(path) in message
    assert not any(secret[:16] in message for secret in secrets_of(ring))


def test_ring_of_a_newer_format(ring: Path, tmp_path: Path) -> None:
    path = damage(ring, tmp_path / "k", lambda text: text.replace("keyring/1", "keyring/2"))
    assert "countermark.keyring/2" in complaint(run("detect", "--keys", path, stdin="text"))


def test_ring_with_an_unknown_mark(ring: Path, tmp_path: Path) -> None:
    path = damage(ring, tmp_path / "k", lambda text: text.replace("countermark/1", "countermark/9"))
    assert "countermark/9" in complaint(run("detect", "--keys", path, stdin="text"))


@pytest.mark.parametrize("command", ["detect", "generate", "keygen"])
def test_ring_that_others_can_read(ring: Path, tmp_path: Path, command: str) -> None:
    path = damage(ring, tmp_path / "k", lambda text: text)
    path.chmod(0o644)
    where = [path] if command == "keygen" else ["--keys", path]
    message = complaint(run(command, *where, "--profile", "p", stdin="text"))
    assert "read" in message
    assert str(path) in message


def test_missing_and_empty_rings(tmp_path: Path) -> None:
    assert "none.json" in complaint(run("detect", "--keys", tmp_path / "none.json", stdin="text"))
    path = tmp_path / "empty.json"
    cm.KeyRing.generate().save(path)
    assert "no profile" in complaint(run("detect", "--keys", path, stdin="text"))


# As a shell sees it


def test_exit_codes_and_pipes(ring: Path, marked: Path, unmarked: Path) -> None:
    assert process("detect", "--keys", ring, marked).returncode == 0
    assert process("detect", "--keys", ring, unmarked).returncode == 1
    failed = process("detect", "--keys", ring, stdin=b"\xff")
    assert failed.returncode == 2
    assert b"Traceback" not in failed.stderr
    assert failed.stdout == b""
    assert failed.stderr.count(b"\n") == 1


def test_generate_into_detect(ring: Path) -> None:
    made = process("generate", "--keys", ring, "--profile", "p", *SEVERAL)
    assert made.returncode == 0
    assert b"\x1b" not in made.stdout + made.stderr
    found = process("detect", "--keys", ring, stdin=made.stdout)
    assert found.returncode == 0
    assert b"\x1b" not in found.stdout
    assert found.stderr == b""


def test_a_reader_that_has_seen_enough(ring: Path) -> None:
    command = (
        f"{sys.executable} -m countermark generate --keys {ring} --profile p --count 2 --tokens 30"
        " | true"
    )
    shown = subprocess.run(["bash", "-c", command], capture_output=True, timeout=60, check=False)
    assert b"Traceback" not in shown.stderr
    assert b"BrokenPipe" not in shown.stderr


@pytest.mark.parametrize(
    ("tail", "status"),
    [
        ("detect --keys {ring} {marked} | true", 141),
        ("detect --json --keys {ring} {marked} | true", 141),
        ("--help | true", 141),
        ("--version | true", 141),
        ("detect --keys {ring} {marked} > /dev/full", 2),
        ("detect --keys {ring} {marked} >&-", 2),
        ("detect --keys {ring} {marked} >&- 2>&-", 2),
        ("detect --keys {ring} {marked} 2>&-", 0),
        ("detect --keys {ring} <&-", 2),
        ("detect --bogus 2>&1 | true", 2),
    ],
)
def test_exit_status_1_is_not_marked_and_nothing_else(
    ring: Path, marked: Path, tail: str, status: int
) -> None:
    command = f"{sys.executable} -m countermark {tail.format(ring=ring, marked=marked)}"
    shown = subprocess.run(
        ["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"],
        env={**os.environ, "PYTHONUNBUFFERED": ""},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert shown.returncode == status
    assert b"Traceback" not in shown.stderr
    if "2>" not in tail:
        assert shown.stderr.count(b"\n") == (status == 2)


_RAISE = """
import os, signal, sys
class Finder:
    def find_spec(self, name, *rest):
        if name == sys.argv[1]:
            {}
sys.meta_path.insert(0, Finder())
from countermark.__main__ import main
sys.argv[1:] = ["--version"]
main()
"""


@pytest.mark.parametrize(
    ("statement", "status", "words"),
    [
        ("os.kill(os.getpid(), signal.SIGINT)", 130, "countermark: interrupted\n"),
        ("raise RuntimeError('odd')", 2, "countermark: unexpected RuntimeError: odd\n"),
    ],
)
@pytest.mark.parametrize("module", ["typer", "countermark.cli.detect"])
def test_what_goes_wrong_while_importing(
    module: str, statement: str, status: int, words: str
) -> None:
    code = _RAISE.format(statement).replace("sys.argv[1]", repr(module))
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert shown.stderr.decode() == words
    assert shown.returncode == status


def test_interrupted_while_examining(ring: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from countermark.cli import texts\n"
        "texts._read_standard_input = lambda: os.kill(os.getpid(), signal.SIGINT)\n"
        "from countermark.__main__ import main; main()"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code, "detect", "--keys", str(ring)],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert shown.stderr == b"countermark: interrupted\n"
    assert shown.returncode == 130


def on_a_terminal(
    *args: object, stdin: bytes | None = None, stdout: bool = False
) -> tuple[bytes, bytes]:
    """Return stdout, and what a terminal shows that is stderr (and the others, if asked)."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "countermark", *map(str, args)],
        stdin=theirs if stdin else subprocess.DEVNULL,
        stdout=theirs if stdout else subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    if stdin:
        os.write(ours, stdin)
    printed, _ = child.communicate(timeout=60)
    shown = b""
    with contextlib.suppress(OSError):  # that nobody else has the terminal open
        while piece := os.read(ours, 4096):
            shown += piece
    os.close(ours)
    return printed or b"", shown


def test_detect_says_that_it_reads_the_terminal(ring: Path) -> None:
    printed, shown = on_a_terminal("detect", "--keys", ring, stdin=b"A cat.\n\x04")
    assert b"reading standard input; end with Ctrl-D" in shown
    assert printed.startswith(b"standard input: too short")


def test_results_go_to_stdout_where_progress_is_shown(ring: Path, marked: Path) -> None:
    printed, shown = on_a_terminal("detect", "--json", "--keys", ring, marked)
    assert json.loads(printed)["verdict"] == "marked"
    assert b"verdict" not in shown


def test_generate_on_a_terminal_counts_tokens(ring: Path) -> None:
    printed, shown = on_a_terminal("generate", "--keys", ring, "--profile", "p", "--count", 3)
    assert printed
    assert b" tokens" in shown
    assert b"%" not in shown
    arguments = ["--profile", "p", "--count", 3, "--seed", 1]
    _, shown = on_a_terminal("generate", "--keys", ring, *arguments, stdout=True)
    bar, _, rest = shown.partition(b"Once upon a time")
    assert b" tokens" in bar
    assert b"generating" not in rest


def test_generate_loses_nothing_that_is_done(ring: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from countermark.cli import generate\n"
        "shown = []\n"
        "def status(*args):\n"
        "    shown.append(args)\n"
        "    if len(shown) == 2: os.kill(os.getpid(), signal.SIGINT)\n"
        "    return 'done'\n"
        "sys.modules['countermark.cli.generate'].status = status\n"
        "from countermark.__main__ import main; main()"
    )
    arguments = ["generate", "--keys", ring, "--profile", "p", "--count", 100_000]
    shown = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert shown.returncode == 130
    assert len(shown.stdout) > 20


def test_without_typer_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['typer'] = None; from countermark.__main__ import main; main()"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert shown.returncode == 2
    expected = b"countermark: the command line needs typer: pip install typer rich\n"
    assert shown.stderr == expected


def test_selftest_passes_as_a_process() -> None:
    shown = process("selftest")
    assert shown.returncode == 0, shown.stdout
    assert json.loads(process("selftest", "--json").stdout)["passed"] is True


def test_selftest_fails_loudly(monkeypatch: pytest.MonkeyPatch) -> None:
    from countermark import selftest

    monkeypatch.setattr(selftest, "VECTORS", Path("/nowhere.json"))
    shown = run("selftest")
    assert shown.exit_code == 1
    assert "failed" in shown.stdout
    assert objects(run("selftest", "--json"))[0]["passed"] is False


def test_version_and_help() -> None:
    assert run("--version").stdout == f"countermark {cm.__version__}\n"
    listed = run("--help").stdout
    for command in ("keygen", "profiles", "generate", "detect", "selftest", "demo"):
        assert command in listed
        shown = run(command, "--help")
        assert shown.exit_code == 0
        assert "--json" in shown.stdout
    assert run().stdout == listed


@pytest.mark.parametrize("args", [["--bogus"], ["detect", "--bogus"], ["nonsense"]])
def test_usage_errors_are_one_line(args: list[str]) -> None:
    assert args[-1] in complaint(run(*args))
