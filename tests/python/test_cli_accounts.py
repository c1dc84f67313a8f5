"""The commands accounts, trace and screen, and the page about whose texts are."""

from __future__ import annotations

import errno
import html
import json
import math
import os
import pty
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import countermark as cm

pytest.importorskip("sentencepiece")

from command_line import complaint, objects, run, write_lines
from conftest import save_tiny_model, secret_of
from countermark.cli import evidence
from countermark.report.crowd import bar_of, crowd_of
from countermark.story import Answer, Story, story_tokenizer

IDS = [10**15 + 7 * i for i in range(1000)]
A, B, C = IDS[3], IDS[500], IDS[999]
HEADER = 4096


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("accounts")


@pytest.fixture(scope="module")
def ring(folder: Path) -> Path:
    """A ring with the profiles p and acc (accounts) for the story model."""
    made = cm.KeyRing.generate()
    made.import_secret("p", secret_of(1), tokenizer=story_tokenizer())
    made.import_secret("acc", secret_of(2), accounts=True, tokenizer=story_tokenizer())
    made.save(folder / "keys.json")
    return folder / "keys.json"


@pytest.fixture(scope="module")
def accounts(folder: Path) -> Path:
    return listed(folder / "accounts.txt", IDS)


@pytest.fixture(scope="module")
def answers(ring: Path) -> dict[str, list[Answer]]:
    """Stories for three accounts, for no account, and unmarked ones."""
    sampler = cm.Sampler(cm.KeyRing.open(ring), "acc")
    story = Story()
    whose: list[int | None] = [A] * 4 + [B] * 2 + [C] + [None] * 3

    def told(sampler: cm.Sampler | None, whose: list[int | None], seed: int) -> list[Answer]:
        return story.generate(
            sampler,
            [""] * len(whose),
            min_tokens=150,
            max_tokens=150,
            accounts=whose if sampler else None,
            seed=seed,
        )

    marked = told(sampler, whose, 1)
    return {
        "a": marked[:4],
        "b": marked[4:6],
        "c": marked[6:7],
        "nobody": marked[7:],
        "unmarked": told(None, [None] * 12, 900),
    }


@pytest.fixture(scope="module")
def texts(answers: dict[str, list[Answer]], folder: Path) -> dict[str, Path]:
    """A text of each kind, and one with parts for two accounts."""
    made = {kind: "\n".join(answer.text for answer in some) for kind, some in answers.items()}
    made["mixed"] = "\n".join(made[kind] for kind in ("unmarked", "a", "unmarked", "b"))
    made["short"] = answers["a"][0].text[:150]
    made["tiny"] = "A cat."
    return {kind: written(folder / f"{kind}.txt", text) for kind, text in made.items()}


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def listed(path: Path, ids: list[int]) -> Path:
    return written(path, "\n".join(map(str, ids)) + "\n")


def index(ring: Path, accounts: Path, *args: object) -> Any:
    return run("accounts", "index", "--keys", ring, accounts, *args)


def test_index_writes_a_private_file_and_appends_to_it(ring: Path, tmp_path: Path) -> None:
    path = listed(tmp_path / "ids", IDS[:600])
    made = tmp_path / "ids.index"
    shown = index(ring, path)
    assert shown.exit_code == 0, shown.output
    assert shown.stdout == f"Wrote the keys of 600 accounts to {made}: 600 now, 13.7 kB\n"
    assert "as secret as the key ring" in shown.stderr
    assert made.stat().st_size == HEADER + 16 * 600
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    before = made.read_bytes()
    listed(path, IDS)
    shown = index(ring, path)
    assert shown.stdout.startswith(f"Appended the keys of 400 accounts to {made}: 1,000 now")
    assert made.read_bytes()[: len(before)] == before
    (found,) = objects(index(ring, path, "--json"))
    size = HEADER + 16 * 1000
    assert found == {
        "file": str(made),
        "accounts": 1000,
        "added": 0,
        "bytes": size,
        "profile": "acc",
    }
    other = tmp_path / "other"
    assert index(ring, path, "--out", other, "--threads", 1).exit_code == 0
    assert other.read_bytes() == made.read_bytes()


@pytest.mark.parametrize("dtype", ["<u8", ">u8", "<i8", "<u4"])
def test_index_reads_arrays(ring: Path, tmp_path: Path, dtype: str) -> None:
    ids = np.arange(5, 300)
    np.save(tmp_path / "ids.npy", ids.astype(dtype))
    listed(tmp_path / "ids.txt", ids.tolist())
    for name in ("ids.npy", "ids.txt"):
        assert index(ring, tmp_path / name).exit_code == 0
    made = [(tmp_path / f"{name}.index").read_bytes() for name in ("ids.npy", "ids.txt")]
    assert made[0] == made[1]


def test_index_reads_ids_as_people_write_them(ring: Path, tmp_path: Path) -> None:
    path = tmp_path / "ids"
    path.write_bytes(b"\xef\xbb\xbf5\r\n\r\n  007 \n\n18446744073709551615")
    assert index(ring, path).stdout.startswith("Wrote the keys of 3 accounts")
    listed(tmp_path / "plain", [5, 7, 2**64 - 1])
    index(ring, tmp_path / "plain")
    assert (tmp_path / "ids.index").read_bytes() == (tmp_path / "plain.index").read_bytes()


@pytest.mark.parametrize(
    "line",
    ["12a", "-1", "+1", "1.5", "1 2", "1,", str(2**64), "9" * 5000, "\N{DEVANAGARI DIGIT ONE}"],
)
def test_index_names_a_bad_id(ring: Path, tmp_path: Path, line: str) -> None:
    path = written(tmp_path / "ids", f"5\n\n{line}\n6\n")
    message = complaint(index(ring, path))
    assert f"{path}:3 is no account id: " in message
    assert line[:40] in message
    assert len(message) < 300
    assert not (tmp_path / "ids.index").exists()


def test_index_names_what_is_wrong_with_an_array(ring: Path, tmp_path: Path) -> None:
    path = tmp_path / "ids.npy"
    for array, words in (
        (np.array([3, -4, 5]), "row 1 is -4"),
        (np.array([1.0]), "it holds float64"),
        (np.array([[1]]), "of 2 dimensions"),
        (np.array([], dtype=np.uint64), "no account id"),
        (np.array([{}], dtype=object), "is no .npy file"),
    ):
        np.save(path, array, allow_pickle=True)
        message = complaint(index(ring, path))
        assert words in message
        assert str(path) in message
    np.save(path, np.arange(100))
    path.write_bytes(path.read_bytes()[:200])
    assert "is no .npy file" in complaint(index(ring, path))


def test_index_names_files_that_are_none(ring: Path, tmp_path: Path) -> None:
    assert "missing: No such file" in complaint(index(ring, tmp_path / "missing"))
    assert "Is a directory" in complaint(index(ring, tmp_path))
    assert "holds no account id" in complaint(index(ring, written(tmp_path / "empty", "\n\n")))
    ids = listed(tmp_path / "ids", [1])
    assert "no/where" in complaint(index(ring, ids, "--out", tmp_path / "no" / "where"))


def test_index_takes_the_place_of_no_other_file(ring: Path, accounts: Path, tmp_path: Path) -> None:
    for target in (ring, accounts):
        before = target.read_bytes()
        assert str(target) in complaint(index(ring, accounts, "--out", target))
        assert target.read_bytes() == before


def test_a_profile_with_accounts_is_asked_for(ring: Path, accounts: Path, tmp_path: Path) -> None:
    assert "has no accounts" in complaint(index(ring, accounts, "--profile", "p"))
    assert '"nope"' in complaint(index(ring, accounts, "--profile", "nope"))
    made = cm.KeyRing.generate()
    keys = tmp_path / "k"
    made.save(keys)
    assert "make one with 'keygen --accounts'" in complaint(index(keys, accounts))
    for profile in ("a", "b"):
        made.create_profile(profile, accounts=True)
    made.save(keys)
    message = complaint(index(keys, accounts))
    assert f"the profiles a, b of {keys} have accounts: name one with --profile" in message


def test_an_index_of_another_key_or_of_other_accounts_is_refused(
    ring: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    ids = listed(tmp_path / "ids", IDS)
    made = tmp_path / "ids.index"
    assert index(ring, ids).exit_code == 0
    good = made.read_bytes()

    def said() -> str:
        """What every command says that takes the index."""
        given = ["--keys", ring, "--accounts", ids]
        said = complaint(run("trace", *given, texts["short"]))
        out = tmp_path / "out.jsonl"
        assert complaint(run("screen", *given, texts["short"], "--out", out)) == said
        assert not out.exists()
        return said

    made.write_bytes(good[: HEADER + 16 * 400])
    assert "has the keys of 400 accounts" in said()
    assert "countermark accounts index" in said()
    made.write_bytes(good[:100])
    assert "truncated" in said()
    assert "truncated" in complaint(index(ring, ids))
    made.write_bytes(good)
    listed(ids, [*IDS[1:], 5])
    assert "is not the key of account" in said()
    assert "is not the key of account" in complaint(index(ring, ids))
    listed(ids, IDS[:10])
    assert "only 10" in said()
    listed(ids, IDS)
    other = cm.KeyRing.generate()
    other.create_profile("acc", accounts=True, tokenizer=story_tokenizer())
    other.save(tmp_path / "k")
    made.unlink()
    assert index(tmp_path / "k", ids).exit_code == 0
    assert "is for key" in said()
    made.write_bytes(good)
    made.chmod(0o644)
    assert "read" in said()


# accounts plan


def test_plan_is_a_table(tmp_path: Path) -> None:
    shown = run("accounts", "plan")
    assert shown.exit_code == 0
    assert "scores 1.5 on average (assumed) and 1,000,000 accounts are searched" in shown.stdout
    rows = [line.split() for line in shown.stdout.splitlines() if re.match(r" *\d+ +\d", line)]
    assert [int(units) for units, *_ in rows] == list(range(8192, 65536, 8192))
    expected = cm.plan_accounts([32768])[0]
    assert rows[3] == [
        "32768",
        "50.0%",
        str(expected.tokens_for_ours),
        str(expected.tokens_for_account),
        str(expected.tokens_for_combined),
    ]
    never = run("accounts", "plan", "--units", 0, "--units", 65536).stdout
    assert re.search(r"^ +0 +0\.0% +never ", never, re.MULTILINE)
    assert re.search(r"^ +65536 +100\.0% +\d+ +never ", never, re.MULTILINE)


def test_plan_json_takes_every_option() -> None:
    options = ["--accounts", 5000, "--rate", 1e-3, "--accusation-rate", 0.1, "--score", 1.3]
    (found,) = objects(run("accounts", "plan", *options, "--units", 40960, "--json"))
    (expected,) = cm.plan_accounts(
        [40960],
        5000,
        false_positive_rate=1e-3,
        false_accusation_rate=0.1,
        marked_score=1.3,
    )
    assert found == {
        "narrow_units": 40960,
        "tokens_for_ours": expected.tokens_for_ours,
        "tokens_for_account": expected.tokens_for_account,
        "tokens_for_combined": expected.tokens_for_combined,
        "accounts": 5000,
        "marked_score": 1.3,
        "scored": 0,
    }


def test_plan_measures_what_marked_texts_score(ring: Path, texts: dict[str, Path]) -> None:
    given = ["accounts", "plan", "--keys", ring, "--profile", "acc", texts["a"], texts["b"]]
    found = objects(run(*given, "--json"))[0]
    detector = cm.Detector(cm.KeyRing.open(ring), ["acc"])
    results = [
        detector.detect_text(texts[kind].read_text(), story_tokenizer(), "response").best
        for kind in ("a", "b")
    ]
    scored = sum(result.scored for result in results)
    assert found["scored"] == scored > 200
    assert found["marked_score"] == pytest.approx(sum(r.score for r in results) / scored)
    assert found["marked_score"] > 1.5
    shown = run(*given).stdout
    assert f"(measured over {scored} tokens)" in shown
    unmarked = complaint(run(*given[:-2], texts["unmarked"]))
    assert "these texts do not show the mark of acc (" in unmarked
    assert "(0 tokens scored, p = 1)" in complaint(run(*given[:-2], texts["tiny"]))
    assert "No such file" in complaint(run(*given, "missing.txt"))


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--score", 1], "marked_score must be above 1"),
        (["--rate", 0], "(0, 0.5]"),
        (["--accusation-rate", 1], "(0, 0.5]"),
        (["--accounts", 0], "--accounts"),
        (["--units", 70000], "--units"),
        (["text.txt"], "texts need --keys"),
        (["text.txt", "--score", 2], "not both"),
    ],
)
def test_plan_names_what_is_wrong(args: list[object], words: str) -> None:
    assert words in complaint(run("accounts", "plan", *args))


# trace


def trace(ring: Path, accounts: Path, *args: object, stdin: str | bytes | None = None) -> Any:
    return run("trace", "--keys", ring, "--accounts", accounts, *args, stdin=stdin)


def test_trace_finds_the_account(ring: Path, accounts: Path, texts: dict[str, Path]) -> None:
    shown = trace(ring, accounts, texts["a"])
    assert shown.exit_code == 0
    first, *rest = shown.stdout.splitlines()
    assert re.fullmatch(
        rf"{texts['a']}: account {A}: p = 10\^-\d+(\.\d)?, corrected for 1,000 accounts", first
    )
    words = "\n".join(rest)
    assert "at most one in 10^" in words
    assert f"The p-value of the best account after account {A} is 10^" in words
    assert "That it is ours at all: p = 10^-" in words
    assert "sampled for this account, or copied from text that was" in words
    assert "docs/accounts.md" in words
    assert re.search(rf"^  {A} +\d+ +\d\.\d\d ", words, re.MULTILINE)
    assert re.search(r"^  none +\d+ ", words, re.MULTILINE)
    assert "human" not in words


def test_trace_json_holds_everything_and_nothing_else(
    ring: Path, accounts: Path, texts: dict[str, Path]
) -> None:
    result = trace(ring, accounts, "--json", "--candidates", 3, texts["a"])
    assert result.stderr == ""
    (found,) = objects(result)
    tracer = cm.Tracer(cm.KeyRing.open(ring), "acc", IDS, candidates=3)
    expected = tracer.trace_text(texts["a"].read_text(), story_tokenizer())
    assert found.pop("file") == str(texts["a"])
    assert found == json.loads(expected.to_json())
    assert len(found["candidates"]) == 4
    assert found["regions"][0]["characters"] is not None


def test_trace_exits_as_detect_does(
    ring: Path, accounts: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    nobody = trace(ring, accounts, texts["nobody"], texts["unmarked"])
    assert nobody.exit_code == 1
    assert nobody.stdout.count("no account: p = ") == 2
    assert nobody.stdout.count("Its wide layer was sampled for no account (p = 10^-") == 1
    assert nobody.stdout.count("would as likely as not have shown it") == 1
    assert "docs/accounts.md" not in nobody.stdout
    missing = tmp_path / "missing.txt"
    failed = trace(ring, accounts, texts["nobody"], missing, texts["b"], "--json")
    assert failed.exit_code == 2
    verdicts = [found.get("verdict", found.get("code")) for found in objects(failed)]
    assert verdicts == ["no_account", "file_failure", "account"]
    assert f"{missing}: No such file" in failed.stderr
    assert trace(ring, accounts, texts["b"], texts["nobody"]).exit_code == 0


def test_trace_says_when_a_text_is_too_short(ring: Path, accounts: Path) -> None:
    shown = trace(ring, accounts, stdin="Once upon a time, there was a cat.")
    assert shown.exit_code == 1
    assert shown.stdout.startswith("standard input: too short to say: p = ")
    assert re.search(r"among 1,000 accounts: about \d+ tokens more would do", shown.stdout)


def test_trace_reads_ids_and_arrays_of_accounts(
    ring: Path, answers: dict[str, list[Answer]], tmp_path: Path
) -> None:
    np.save(tmp_path / "ids.npy", np.array(IDS, dtype=np.uint64))
    ids = json.dumps(answers["c"][0].ids.tolist())
    (found,) = objects(
        trace(ring, tmp_path / "ids.npy", "--ids", "--start", "response", "--json", stdin=ids)
    )
    assert found["account"] == str(C)
    assert found["tokens"] == 150
    assert found["regions"] == []


def test_trace_says_whose_the_parts_of_a_text_are(
    ring: Path, accounts: Path, texts: dict[str, Path]
) -> None:
    (found,) = objects(trace(ring, accounts, texts["mixed"], "--json"))
    assert set(found["accused"]) == {str(A), str(B)}
    text = texts["mixed"].read_text(encoding="utf-8")
    for region in found["regions"]:
        begin, end = region["characters"]
        own = texts["a" if region["account"] == str(A) else "b"].read_text(encoding="utf-8")
        where = text.index(own)
        inside = min(end, where + len(own)) - max(begin, where)
        assert inside > 0.8 * (end - begin)
    shown = trace(ring, accounts, texts["mixed"]).stdout
    assert re.search(rf": accounts ({A} and {B}|{B} and {A}): p = 10\^-", shown)
    assert re.search(r"\d+ parts of the text: characters [\d,]+ to [\d,]+ for account ", shown)


def test_trace_uses_the_index_beside_the_accounts_and_any_other(
    ring: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    ids = listed(tmp_path / "ids", IDS)
    without = objects(trace(ring, ids, texts["a"], "--json"))
    assert index(ring, ids).exit_code == 0
    assert objects(trace(ring, ids, texts["a"], "--json")) == without
    aside = (tmp_path / "ids.index").rename(tmp_path / "aside")
    given = ["--json", "--index", aside, "--threads", 2]
    assert objects(trace(ring, ids, texts["a"], *given)) == without
    (tmp_path / "ids.index").write_bytes(b"spoilt")
    assert "ids.index" in complaint(trace(ring, ids, texts["a"]))
    assert trace(ring, ids, texts["a"], "--index", aside).exit_code == 0
    assert "nowhere" in complaint(trace(ring, ids, texts["a"], "--index", tmp_path / "nowhere"))


def test_trace_reads_a_text_in_its_normalised_form(
    ring: Path, accounts: Path, answers: dict[str, list[Answer]]
) -> None:
    text = answers["a"][0].text
    tampered = "\N{ZERO WIDTH SPACE}".join(text)
    shown = trace(ring, accounts, "--start", "response", stdin=tampered)
    assert f": account {A}: " in shown.stdout
    hidden = len(text) - 1
    assert f"in its normalised form: {hidden:,} invisible characters removed." in shown.stdout
    assert "normalised" not in trace(ring, accounts, stdin=text).stdout


def test_trace_accuses_nobody_where_the_next_is_too_near(
    ring: Path, accounts: Path, answers: dict[str, list[Answer]]
) -> None:
    text = answers["a"][0].text
    given = ["--start", "response", "--gap", "1e200"]
    shown = trace(ring, accounts, *given, stdin=text)
    assert shown.exit_code == 1
    assert f"Account {A} would stand out, but the next one scores nearly as high" in shown.stdout
    assert "nobody is accused" in shown.stdout
    assert trace(ring, accounts, *given[:2], "--accusation-rate", 0.5, stdin=text).exit_code == 0


def test_trace_searches_a_single_account(
    ring: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    shown = trace(ring, listed(tmp_path / "ids", [A]), texts["a"])
    assert "corrected for 1 account\n" in shown.stdout
    assert "best account after" not in shown.stdout
    assert trace(ring, listed(tmp_path / "ids", [B]), texts["a"]).exit_code == 1


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--accusation-rate", 2], "(0, 0.5]"),
        (["--gap", 0.5], "least_gap"),
        (["--candidates", 0], "--candidates"),
        (["--threads", -1], "--threads"),
        (["--profile", "p"], "has no accounts"),
        (["--model", "/nowhere/at/all"], "no model at"),
        (["--model", "/nowhere/at/all", "--html", "out.html"], "leave --model out"),
        ([""], "a FILE is empty"),
    ],
)
def test_trace_names_what_is_wrong(
    ring: Path, accounts: Path, args: list[object], words: str
) -> None:
    assert words in complaint(trace(ring, accounts, *args, stdin="Some text."))


def test_trace_names_missing_accounts(ring: Path, texts: dict[str, Path], tmp_path: Path) -> None:
    assert "none: No such file" in complaint(trace(ring, tmp_path / "none", texts["a"]))
    assert "--accounts" in complaint(run("trace", "--keys", ring, texts["a"]))
    bad = written(tmp_path / "bad", "1\nx\n")
    assert f"{bad}:2 is no account id" in complaint(trace(ring, bad, texts["a"]))


def test_a_model_adds_evidence(tmp_path: Path) -> None:
    model = save_tiny_model(tmp_path / "model")
    keys, ids = tmp_path / "keys.json", tmp_path / "ids.json"
    run("keygen", keys, "--profile", "acc", "--accounts", "--tokenizer", model)
    generated = run(
        *("generate", "--keys", keys, "--profile", "acc", "--model", model, "--prompt", "The cat"),
        *("--tokens", 100, "--account", A, "--temperature", 0.5, "--seed", 1, "--json"),
    )
    (answer,) = objects(generated)
    ids.write_text(json.dumps(answer["token_ids"]))
    accounts = listed(tmp_path / "accounts", IDS)
    common = ["--ids", "--json", ids]
    (alone,) = objects(trace(keys, accounts, *common))
    (knowing,) = objects(trace(keys, accounts, *common, "--model", model, "--temperature", 0.5))
    assert alone["tests"][0]["statistic"] == "sum"
    assert knowing["tests"][0]["statistic"] == "likelihood"
    assert knowing["account"] == str(A)
    assert knowing["log10_p"] < alone["log10_p"]
    text = written(tmp_path / "text", "The cat sat on the mat.")
    assert trace(keys, accounts, "--model", model, text).exit_code == 1  # by its own tokenizer
    assert "temperature" in complaint(
        trace(keys, accounts, *common, "--model", model, "--temperature", 0)
    )


def on_a_terminal(*args: object) -> bytes:
    """Return what a terminal shows that is stderr."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "countermark", *map(str, args)],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 4096):
            shown += piece
    except OSError:  # nobody else has the terminal open
        pass
    os.close(ours)
    assert child.wait(60) == 0
    return shown


def test_progress_is_shown_on_a_terminal(
    ring: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    ids = listed(tmp_path / "ids", IDS)
    given = ["--keys", ring, "--accounts", ids, texts["a"]]
    shown = on_a_terminal("trace", *given)
    assert b"deriving the keys" in shown
    assert b"tracing " in shown
    assert b"100%" in shown
    shown = on_a_terminal("screen", *given, "--out", tmp_path / "out.jsonl")
    assert b"1 texts" in shown
    assert b"1 searched" in shown
    assert b"deriving the keys" in on_a_terminal("accounts", "index", "--keys", ring, ids)


# The page


def plain(markup: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", markup))


def page_of(ring: Path, accounts: Path, path: Path, *args: object) -> str:
    shown = trace(ring, accounts, "--html", path, *args)
    assert shown.exit_code in (0, 1), shown.output
    assert f"Wrote {path}" in shown.stderr
    return path.read_text(encoding="utf-8")


def test_trace_writes_a_page(
    ring: Path, accounts: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    page = page_of(ring, accounts, tmp_path / "page.html", texts["mixed"])
    assert f"<title>Whose is it? {texts['mixed']}</title>" in page
    assert "http" not in page
    assert "<script" not in page
    secrets = [entry["secret"] for entry in json.loads(ring.read_text())["entries"]]
    assert not any(secret[:16] in page for secret in secrets)
    words = plain(page)
    assert "It does not say who passed the text on" in words
    assert "docs/accounts.md" in words
    assert words.count("accused") >= 2
    block = re.search(r"<div class=text [^>]*>(.*?)</div>", page, re.DOTALL)
    assert block
    assert plain(block[1]) == texts["mixed"].read_text(encoding="utf-8")
    # Each account's parts have a tone of their own, and the list leads to them.
    tones = dict(re.findall(r'<mark class="(a\d)"[^>]*data-part="account (\d+),', page))
    assert {int(account) for account in tones.values()} == {A, B}
    for anchor in re.findall(r'href="#([^"]+)"', page):
        assert f'id="{anchor}"' in page
    (label,) = re.findall(r'role="img" aria-label="([^"]*)"', page)
    assert label.startswith("1,000 accounts by p-value")
    assert f"account {A} has p = 10^-" in label


def test_a_page_about_several_texts(
    ring: Path, accounts: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    some = [texts[kind] for kind in ("a", "nobody", "short")]
    page = page_of(ring, accounts, tmp_path / "page.html", *some, "--candidates", 2)
    assert "<title>Whose is it? 3 texts</title>" in page
    assert page.count("<section id=") == 3
    assert "under the key of no account" in page
    again = trace(ring, accounts, "--html", tmp_path / "page.html", "--json", *some)
    assert again.stderr == ""
    assert len(objects(again)) == 3


def test_a_page_about_too_little(ring: Path, accounts: Path, tmp_path: Path) -> None:
    text = written(tmp_path / "text", "A cat.")
    page = page_of(ring, accounts, tmp_path / "page.html", text)
    assert "No token of the wide layer could be scored." in page
    assert 'role="img"' not in page


def test_a_page_takes_the_place_of_a_page_alone(
    ring: Path, accounts: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    ids = listed(tmp_path / "ids", IDS)
    index(ring, ids)
    taken = written(tmp_path / "notes.txt", "precious")
    beside = tmp_path / "ids.index"
    for target in (taken, ring, ids, beside, texts["a"], tmp_path, tmp_path / "no" / "page.html"):
        before = target.read_bytes() if target.is_file() else b""
        message = complaint(trace(ring, ids, "--html", target, texts["a"]))
        assert f"cannot write {target}" in message
        assert not before or target.read_bytes() == before
    page = tmp_path / "page.html"
    for _ in range(2):
        page_of(ring, ids, page, texts["a"])
    assert "it is what the command reads" in complaint(
        trace(ring, page, "--html", page, texts["a"])
    )


def test_the_crowd_is_what_chance_makes_of_it(ring: Path, answers: dict[str, list[Answer]]) -> None:
    tracer = cm.Tracer(cm.KeyRing.open(ring), "acc", range(20_000))
    ids = np.concatenate([answer.ids for answer in answers["unmarked"]])
    found = tracer.trace(ids)
    crowd = crowd_of(tracer, ids, found)
    assert crowd is not None
    assert crowd.counts.sum() == 20_000
    assert crowd.expected.sum() == pytest.approx(20_000, rel=1e-3)
    likely = crowd.expected > 20
    deviations = (crowd.counts - crowd.expected)[likely] / np.sqrt(crowd.expected[likely])
    assert np.mean(deviations**2) < 2
    assert bar_of(found) == pytest.approx(3 - math.log10(found.tests[0].share / 20_001))


# screen


def screen(ring: Path, accounts: Path, *args: object, stdin: str | bytes | None = None) -> Any:
    return run("screen", "--keys", ring, "--accounts", accounts, *args, stdin=stdin)


@pytest.fixture(scope="module")
def corpus(answers: dict[str, list[Answer]], folder: Path) -> Path:
    """Unmarked texts and, among them, four of an account and two of another."""
    contents: list[dict[str, Any]] = [{"text": answer.text} for answer in answers["unmarked"]]
    contents[2:2] = [{"text": a.text, "id": f"a{i}", "n": 1} for i, a in enumerate(answers["a"])]
    contents += [{"token_ids": b.ids.tolist(), "id": i} for i, b in enumerate(answers["b"])]
    return write_lines(folder / "corpus.jsonl", *contents)


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_screen_discovers_accounts(
    ring: Path, accounts: Path, corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    shown = screen(ring, accounts, corpus, "--out", out)
    assert shown.exit_code == 0, shown.output
    first, *rest = shown.stdout.splitlines()
    assert re.fullmatch(r"18 texts, \d+ searched: 2 of 1,000 accounts discovered", first)
    words = "\n".join(rest)
    assert re.search(rf"^  {A} +10\^\d+\S* +4 +a\d", words, re.MULTILINE)
    assert re.search(rf"^  {B} +10\^\d+\S* +2 +[01]\b", words, re.MULTILINE)
    assert "At most 1% of those discovered are expected to be there by chance" in words
    assert "sampled for these accounts, or copied from text that was" in words
    assert "docs/accounts.md" in words
    assert shown.stderr == f"Wrote {out}\n"
    rows = rows_of(out)
    assert [row["account"] for row in rows[:2]] == [str(A), str(B)]
    assert [row["is_discovered"] for row in rows[:3]] == [True, True, False][: len(rows)]
    assert {text["id"] for text in rows[0]["texts"]} == {"a0", "a1", "a2", "a3"}
    assert {text["id"] for text in rows[1]["texts"]} == {"0", "1"}
    evidence = [text["log10_e"] for text in rows[0]["texts"]]
    assert evidence == sorted(evidence, reverse=True)
    assert list(tmp_path.iterdir()) == [out]


def test_screen_json(ring: Path, accounts: Path, corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    given = ["--ours-rate", 1, "--start", "response", "--threads", 1, "--fdr", 0.1]
    result = screen(ring, accounts, corpus, "--out", out, "--json", *given)
    assert result.stderr == ""
    (found,) = objects(result)
    assert (found["texts"], found["searched"], found["failed"]) == (18, 18, 0)
    assert (found["tested"], found["discovered"], found["file"]) == (1000, 2, str(out))
    assert [account["texts"] for account in found["accounts"]] == [4, 2]
    assert found["log10_e_least"] == found["accounts"][1]["log10_e"] > 3
    whole = objects(screen(ring, accounts, corpus, "--out", out, "--json", *given[:2]))[0]
    assert found["accounts"][0]["log10_e"] > whole["accounts"][0]["log10_e"] > 3


def test_screen_discovers_nothing_where_nothing_is(
    ring: Path, accounts: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    shown = screen(ring, accounts, texts["unmarked"], texts["nobody"], "--out", out)
    assert shown.exit_code == 1
    assert "0 of 1,000 accounts discovered" in shown.stdout
    assert "docs/accounts.md" not in shown.stdout
    assert all(not row["is_discovered"] for row in rows_of(out))


def test_screen_reads_and_writes_parquet(
    ring: Path, accounts: Path, answers: dict[str, list[Answer]], tmp_path: Path
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    some = answers["a"] + answers["unmarked"]
    table = pyarrow.table(
        {
            "id": list(range(100, 100 + len(some))),
            "text": [None, *(answer.text for answer in some[1:])],
            "token_ids": [some[0].ids.tolist(), *[None] * (len(some) - 1)],
            "more": ["x"] * len(some),
        }
    )
    corpus, out = tmp_path / "corpus.parquet", tmp_path / "out.parquet"
    parquet.write_table(table, corpus)
    for _ in range(2):  # in place of an earlier one too
        assert screen(ring, accounts, corpus, "--out", out).exit_code == 0
    found = parquet.read_table(out)
    assert found.schema.names == ["account", "is_discovered", "log10_e", "texts"]
    assert found.schema.field("account").type == pyarrow.uint64()
    first = found.to_pylist()[0]
    assert (first["account"], first["is_discovered"]) == (A, True)
    assert {text["id"] for text in first["texts"]} == {"100", "101", "102", "103"}
    parquet.write_table(table.drop_columns(["id"]), corpus)
    same = tmp_path / "out.jsonl"
    screen(ring, accounts, corpus, "--out", same)
    assert {text["id"] for text in rows_of(same)[0]["texts"]} == {
        f"{corpus}:{row}" for row in (1, 2, 3, 4)
    }
    parquet.write_table(table, corpus)
    assert screen(ring, accounts, corpus, "--out", same).exit_code == 0
    in_text = [row | {"account": str(row["account"])} for row in found.to_pylist()]
    assert rows_of(same) == in_text
    empty = screen(ring, accounts, "-", "--out", out, stdin="")
    assert empty.exit_code == 1
    assert parquet.read_table(out).schema == found.schema


def test_screen_reads_folders_and_standard_input(
    ring: Path, accounts: Path, corpus: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    assert screen(ring, accounts, "-", "--out", out, stdin=corpus.read_bytes()).exit_code == 0
    assert rows_of(out)[0]["account"] == str(A)
    mixed = tmp_path / "folder"
    (mixed / "deeper").mkdir(parents=True)
    written(mixed / "deeper" / "b.txt", texts["b"].read_text())
    (mixed / "picture.png").write_bytes(b"\x89PNG\x00\xff")
    write_lines(mixed / "more.jsonl", {"text": texts["c"].read_text()}, {"text": "A cat."})
    shown = screen(ring, accounts, mixed, texts["nobody"], "--out", out)
    assert shown.exit_code == 0
    assert "picture.png, which holds no text" in shown.stderr
    assert shown.stdout.startswith("4 texts, ")
    ids = {row["account"]: [text["id"] for text in row["texts"]] for row in rows_of(out)}
    assert ids[str(B)] == [str(mixed / "deeper" / "b.txt")]
    assert ids[str(C)] == [f"{mixed / 'more.jsonl'}:1"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{", "is no JSON object"),
        (b"[1]", "is no JSON object"),
        (b"[" * 100_000, "is no JSON object"),
        (b'{"text": "\xff"}', "is no JSON object"),
        (b'{"id": 5}', 'neither "token_ids" nor "text"'),
        (b'{"text": 5}', '"text" must be a string'),
        (b'{"text": ""}', "empty"),
        (b'{"text": "\\ud800"}', "surrogate"),
        (b'{"token_ids": ["a"]}', '"token_ids" must be a list of token ids'),
        (b'{"token_ids": []}', "empty"),
        (b'{"token_ids": [1, 99999]}', "99999"),
        (b'{"token_ids": [1180591620717411303424]}', "token_ids must be integers"),
    ],
)
def test_a_bad_line_is_named_and_the_others_are_screened(
    ring: Path,
    accounts: Path,
    answers: dict[str, list[Answer]],
    tmp_path: Path,
    line: bytes,
    says: str,
) -> None:
    good = [json.dumps({"text": answer.text}).encode() for answer in answers["a"]]
    path, out = tmp_path / "corpus.jsonl", tmp_path / "out.jsonl"
    path.write_bytes(b"\n".join([good[0], b"", line, *good[1:]]))
    shown = screen(ring, accounts, path, "--out", out)
    assert shown.exit_code == 2
    (said,) = [s for s in shown.stderr.splitlines() if s.startswith("countermark: ")]
    assert says in said
    assert said.startswith(f"countermark: {path}:3")
    assert shown.stdout.startswith("4 texts, ")
    assert {text["id"] for text in rows_of(out)[0]["texts"]} == {
        f"{path}:{i}" for i in (1, 4, 5, 6)
    }
    failed, found = objects(screen(ring, accounts, path, "--out", out, "--json"))
    assert failed["file"] == f"{path}:3"
    assert says in failed["error"]
    assert (found["failed"], found["texts"]) == (1, 4)


def test_screen_names_broken_parquet(
    ring: Path, accounts: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path, out = tmp_path / "corpus.parquet", tmp_path / "out.jsonl"
    parquet.write_table(pyarrow.table({"id": [1], "body": ["A cat."]}), path)
    shown = screen(ring, accounts, path, texts["a"], "--out", out)
    assert shown.exit_code == 2
    assert f'{path} has neither a column "text" nor "token_ids"' in shown.stderr
    assert shown.stdout.startswith("1 text, ")
    path.write_bytes(path.read_bytes()[:-50] + b"x" * 50)
    assert f"cannot read {path}: " in screen(ring, accounts, path, "--out", out).stderr


def test_screen_says_what_parquet_needs(
    ring: Path, accounts: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    table = written(tmp_path / "corpus.parquet", "")
    for given in (
        [corpus, "--out", tmp_path / "out.parquet"],
        [table, "--out", tmp_path / "out.jsonl"],
    ):
        assert "pip install 'countermark[parquet]'" in complaint(screen(ring, accounts, *given))
    assert screen(ring, accounts, corpus, "--out", tmp_path / "out.jsonl").exit_code == 0


def test_screen_takes_the_place_of_an_earlier_screening_alone(
    ring: Path, corpus: Path, tmp_path: Path
) -> None:
    ids = listed(tmp_path / "ids.jsonl", IDS)
    own = written(tmp_path / "corpus.jsonl", corpus.read_text())
    other = write_lines(tmp_path / "other.jsonl", {"text": "precious"})
    notes = written(tmp_path / "notes.jsonl", "precious")
    table = written(tmp_path / "table.parquet", "precious")
    for target in (own, ids, other, notes, table, tmp_path / "no" / "out.jsonl"):
        before = target.read_bytes() if target.is_file() else b""
        message = complaint(screen(ring, ids, own, "--out", target))
        assert f"cannot write {target}: " in message
        assert not before or target.read_bytes() == before
    for name in ("out", "out.json", "out.csv"):
        message = complaint(screen(ring, ids, own, "--out", tmp_path / name))
        assert "must end in .parquet or .jsonl" in message
    out = written(tmp_path / "out.jsonl", "")
    for _ in range(2):
        assert screen(ring, ids, own, "--out", out).exit_code == 0
    assert "it is what the command reads" in complaint(screen(ring, ids, out, "--out", out))


def test_a_screening_is_written_whole_or_not_at_all(
    ring: Path, accounts: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.jsonl"
    assert screen(ring, accounts, corpus, "--out", out).exit_code == 0
    before = out.read_bytes()

    def full(*_: object) -> Iterator[dict[str, Any]]:
        yield {"account": 1}
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(evidence, "_rows", full)
    message = complaint(screen(ring, accounts, corpus, "--out", out))
    assert f"cannot write {out}: No space left on device" in message
    assert out.read_bytes() == before
    assert list(tmp_path.iterdir()) == [out]


def test_screen_shows_what_is_wrong_before_anything_is_computed(
    ring: Path, accounts: Path, corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    for args, words in (
        ([tmp_path / "missing.jsonl"], "No such file"),
        ([""], "a CORPUS is empty"),
        ([], "CORPUS"),
        ([corpus, "--fdr", 0], "false_discovery_rate"),
        ([corpus, "--ours-rate", 2], "ours_rate"),
        ([corpus, "--profile", "p"], "has no accounts"),
        ([corpus, "--tokenizer", "/nowhere"], "there is no tokenizer"),
    ):
        assert words in complaint(screen(ring, accounts, *args, "--out", out))
        assert not out.exists()
    assert "--out" in complaint(screen(ring, accounts, corpus))


def test_screen_needs_a_tokenizer_for_text_alone(
    accounts: Path, answers: dict[str, list[Answer]], tmp_path: Path
) -> None:
    made = cm.KeyRing.generate()
    made.import_secret("acc", secret_of(2), accounts=True)
    made.save(tmp_path / "k")
    out = tmp_path / "out.jsonl"
    some = [{"token_ids": answer.ids.tolist()} for answer in answers["a"]]
    ids = write_lines(tmp_path / "ids.jsonl", *some)
    assert screen(tmp_path / "k", accounts, ids, "--out", out).exit_code == 0
    assert rows_of(out)[0]["account"] == str(A)
    text = write_lines(tmp_path / "text.jsonl", *some, {"text": "A cat."}, {"text": "A dog."})
    message = complaint(screen(tmp_path / "k", accounts, text, "--out", out))
    assert "give the one of the model that was marked with --tokenizer" in message
    given = [text, "--out", out, "--tokenizer", "story"]
    assert screen(tmp_path / "k", accounts, *given).exit_code == 0


def test_screen_writes_what_is_known_so_far(
    ring: Path, accounts: Path, corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    shown = screen(ring, accounts, corpus, "--out", out, "--every", 6)
    so_far = re.findall(
        r"^(\d+) texts, \d+ searched: (\d) of 1,000 accounts discovered so far; wrote ",
        shown.stderr,
        re.MULTILINE,
    )
    assert so_far == [("6", "1"), ("12", "1"), ("18", "2")]


def test_the_commands_are_listed() -> None:
    listed = run("--help").stdout
    for command in ("accounts", "trace", "screen"):
        assert command in listed
    for words in (["trace"], ["screen"], ["accounts", "index"], ["accounts", "plan"]):
        shown = run(*words, "--help")
        assert shown.exit_code == 0
        assert "--json" in shown.stdout
    assert "index" in run("accounts", "--help").stdout
    assert "Missing command" in complaint(run("accounts"))
    assert "bogus" in complaint(run("accounts", "bogus"))
