"""The commands distill ledger, and generate with a ledger."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import countermark as cm

pytest.importorskip("sentencepiece")

from command_line import complaint, objects, run, write_lines
from conftest import save_tiny_model, secret_of
from countermark.cli import generate
from countermark.cli.ledger_files import LedgerFile
from countermark.story import story_tokenizer

HEADER = 4096
ROOM = 4000
TEXT = "Once upon a time, there was a little girl named Lily. She loved to play outside. " * 3


def ids_of(seed: int, tokens: int = 200) -> list[int]:
    return [int(i) for i in np.random.default_rng(seed).integers(0, 2000, tokens)]


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ring with one profile, for the story model."""
    path = tmp_path_factory.mktemp("ring") / "keys.json"
    made = cm.KeyRing.generate()
    given: dict[str, Any] = {"purpose": "distillation", "free_prefix": 0}
    made.import_secret("p", secret_of(1), tokenizer=story_tokenizer(), **given)
    made.save(path)
    return path


@pytest.fixture
def path(ring: Path, tmp_path: Path) -> Path:
    """An empty ledger."""
    path = tmp_path / "ledger"
    assert ledger("new", ring, path, "--contexts", ROOM).exit_code == 0
    return path


def ledger(command: str, *args: object, **given: Any) -> Any:
    return run("distill", "ledger", command, *args, **given)


def opened(ring: Path, path: Path) -> cm.Ledger:
    return cm.Ledger.open(cm.KeyRing.open(ring), "p", path)


def told(ring: Path, *responses: list[int], contexts: int = ROOM) -> cm.Ledger:
    made = cm.Ledger(cm.KeyRing.open(ring), "p", contexts=contexts)
    for response in responses:
        made.add_response(response)
    return made


def holds(whole: cm.Ledger, part: cm.Ledger) -> bool:
    """Whether nothing of the part is missing."""
    before = whole.contexts
    whole.merge(part)
    return whole.contexts == before


def test_a_new_ledger_is_private_and_takes_no_others_place(ring: Path, tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    shown = ledger("new", ring, path, "--contexts", ROOM)
    assert shown.exit_code == 0
    assert shown.stdout == (
        f"{path}: about 0 contexts, made for 4,000 in 8.0 kB; false positive rate 0\n"
    )
    assert path.stat().st_size == HEADER + 2 * ROOM
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (found,) = objects(ledger("new", ring, tmp_path / "other", "--json"))
    assert found == {
        "file": str(tmp_path / "other"),
        "profile": "p",
        "contexts": 0,
        "room": 10_000_000,
        "bytes": 20_000_000,
        "false_positive_rate": 0.0,
        "is_overfull": False,
    }
    before = ring.read_bytes()
    for taken in (path, ring):
        assert f"cannot write {taken}: there is a file" in complaint(ledger("new", ring, taken))
    assert path.stat().st_size == HEADER + 2 * ROOM
    assert ring.read_bytes() == before


# add


def test_responses_from_logs_are_added(ring: Path, path: Path, tmp_path: Path) -> None:
    log = write_lines(
        tmp_path / "log.jsonl",
        {"token_ids": ids_of(1), "account": 5},
        {"text": TEXT},
        {"text": ""},
    )
    shown = ledger("add", ring, path, log)
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.startswith(f"Added 3 responses\n{path}: about ")
    expected = told(ring, ids_of(1), story_tokenizer().encode(TEXT).tolist())
    assert opened(ring, path).contexts == expected.contexts > 200
    assert holds(opened(ring, path), expected)
    (found,) = objects(ledger("add", ring, path, "-", "--json", stdin='{"token_ids": [1, 2, 3]}'))
    assert (found["responses"], found["failed"]) == (1, 0)
    assert found["contexts"] == round(told(ring, [1, 2, 3]).contexts + expected.contexts)


def test_characters_stay_as_they_were_served(ring: Path, path: Path, tmp_path: Path) -> None:
    text = TEXT.replace("i", "\N{CYRILLIC SMALL LETTER BYELORUSSIAN-UKRAINIAN I}")
    assert (
        ledger("add", ring, path, write_lines(tmp_path / "log.jsonl", {"text": text})).exit_code
        == 0
    )
    expected = told(ring, story_tokenizer().encode(text).tolist())
    assert opened(ring, path).contexts == expected.contexts
    assert holds(opened(ring, path), expected)


def test_a_bad_line_is_named_and_the_others_are_added(
    ring: Path, path: Path, tmp_path: Path
) -> None:
    bad: list[object] = [[], {"id": 1}, {"token_ids": [1, 99999]}, {"text": "\ud800"}]
    log = write_lines(
        tmp_path / "log.jsonl", {"token_ids": ids_of(1)}, *bad, {"token_ids": ids_of(2)}
    )
    shown = ledger("add", ring, path, log)
    assert shown.exit_code == 2
    named = [line for line in shown.stderr.splitlines() if line.startswith("countermark: ")]
    assert [f"{log}:{n}" in line for n, line in enumerate(named, 2)] == [True] * 4
    for line, says in zip(named, ("no JSON", "neither", "99999", "surrogate"), strict=True):
        assert says in line
    assert holds(opened(ring, path), told(ring, ids_of(1), ids_of(2)))
    *failed, found = objects(ledger("add", ring, path, log, "--json"))
    assert [one["file"] for one in failed] == [f"{log}:{n}" for n in range(2, 6)]
    assert (found["responses"], found["failed"]) == (2, 4)


def test_a_tokenizer_is_needed_for_text_alone(tmp_path: Path) -> None:
    made = cm.KeyRing.generate()
    made.import_secret("p", secret_of(1), purpose="distillation")
    made.save(tmp_path / "k")
    path = tmp_path / "ledger"
    assert ledger("new", tmp_path / "k", path, "--contexts", ROOM).exit_code == 0
    log = write_lines(tmp_path / "log.jsonl", {"token_ids": ids_of(1)})
    assert ledger("add", tmp_path / "k", path, log).exit_code == 0
    before = path.read_bytes()
    write_lines(log, {"token_ids": ids_of(2)}, {"text": TEXT}, {"text": TEXT})
    assert "with --tokenizer" in complaint(ledger("add", tmp_path / "k", path, log))
    assert path.read_bytes() == before
    assert ledger("add", tmp_path / "k", path, log, "--tokenizer", "story").exit_code == 0


# merge


def test_ledgers_of_several_servers_merge(ring: Path, path: Path, tmp_path: Path) -> None:
    others = [tmp_path / name for name in "ab"]
    for n, other in enumerate(others):
        told(ring, ids_of(n)).save(other)
    before = [other.read_bytes() for other in others]
    shown = ledger("merge", ring, path, *others)
    assert shown.stdout.startswith(f"Merged 2 ledgers\n{path}: about ")
    merged = opened(ring, path)
    assert merged.contexts == told(ring, ids_of(0), ids_of(1)).contexts
    assert holds(merged, told(ring, ids_of(0), ids_of(1)))
    assert [other.read_bytes() for other in others] == before
    (found,) = objects(ledger("merge", ring, path, others[0], "--json"))
    assert (found["merged"], found["contexts"]) == (1, round(merged.contexts))


def test_what_does_not_merge_is_named_and_nothing_is_written(
    ring: Path, path: Path, tmp_path: Path
) -> None:
    other, good = tmp_path / "other", tmp_path / "good"
    told(ring, ids_of(1)).save(good)
    before = path.read_bytes()

    def said() -> str:
        message = complaint(ledger("merge", ring, path, good, other))
        assert str(other) in message
        assert path.read_bytes() == before
        return message

    told(ring, ids_of(2), contexts=50).save(other)
    assert "make both for the same number of contexts" in said()
    foreign = cm.KeyRing.generate()
    foreign.create_profile("p", purpose="distillation")
    cm.Ledger(foreign, "p", contexts=ROOM).save(other)
    assert "is for key " in said()
    other.write_bytes(before[:-1])
    assert "it is truncated" in said()
    other.write_bytes(b"precious" * 1000)
    assert "is not valid JSON" in said()
    other.unlink()
    assert "No such file" in said()
    assert f"cannot open {other}" in complaint(ledger("merge", ring, other, path))
    assert not other.exists()


# show


def test_a_ledger_that_is_too_full_says_so(ring: Path, path: Path, tmp_path: Path) -> None:
    assert "fuller" not in ledger("show", ring, path).stdout
    told(ring, ids_of(1, 800), contexts=400).save(path)
    shown = ledger("show", ring, path)
    assert shown.exit_code == 0
    assert f"{path}: about " in shown.stdout
    assert "It is fuller than it was made for" in shown.stdout
    (found,) = objects(ledger("show", ring, path, "--json"))
    assert found["room"] == 400
    assert found["contexts"] == pytest.approx(800, rel=0.2)
    assert found["false_positive_rate"] > 0.01
    assert found["is_overfull"]
    assert "cannot open" in complaint(ledger("show", ring, tmp_path / "none"))
    assert '"nope"' in complaint(ledger("show", ring, path, "--profile", "nope"))


def test_the_commands_are_listed() -> None:
    shown = run("distill", "ledger", "--help")
    assert shown.exit_code == 0
    for command in ("new", "add", "merge", "show"):
        assert f"\n  {command} " in shown.stdout
        assert "--json" in ledger(command, "--help").stdout
    assert "\n  ledger " in run("distill", "--help").stdout
    assert "Missing command" in complaint(run("distill", "ledger"))


# Several programs


def test_what_others_wrote_meanwhile_is_kept(ring: Path, tmp_path: Path) -> None:
    place = LedgerFile(cm.KeyRing.open(ring), "p", tmp_path / "ledger")
    place.create(ROOM)
    with place.taking_in() as one, place.taking_in() as other:
        one.add_response(ids_of(1))
        other.add_response(ids_of(2))
    assert holds(place.open(), told(ring, ids_of(1), ids_of(2)))
    link = tmp_path / "link"
    link.symlink_to(place.path)
    with LedgerFile(place.ring, "p", link).taking_in() as third:
        third.add_response(ids_of(3))
    assert link.is_symlink()
    assert holds(place.open(), told(ring, ids_of(1), ids_of(2), ids_of(3)))


# generate


def answer(ring: Path, path: Path, *args: object) -> Any:
    given = ["--tokens", 60, "--seed", 3, "--ledger", path]
    return run("generate", "--keys", ring, "--profile", "p", *given, *args)


def test_generate_writes_where_it_marks(ring: Path, tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    shown = answer(ring, path, "--json", "--count", 3)
    assert shown.exit_code == 0, shown.output
    assert shown.stderr == ""
    served = [found["token_ids"] for found in objects(shown)]
    made = opened(ring, path)
    assert made.bytes == 20_000_000
    expected = told(ring, *served, contexts=10_000_000)
    assert expected.contexts - 0.5 < made.contexts < expected.contexts + 3.5  # three may have ended
    assert holds(made, expected)
    assert expected.contexts > 60


def test_generate_adds_to_what_there_is(ring: Path, path: Path) -> None:
    assert ledger("add", ring, path, "-", stdin=json.dumps({"token_ids": ids_of(1)})).exit_code == 0
    shown = answer(ring, path)
    assert shown.exit_code == 0
    assert f"{path}: about " in shown.stderr.splitlines()[-1]
    assert "made for 4,000" in shown.stderr
    assert holds(opened(ring, path), told(ring, ids_of(1)))
    assert opened(ring, path).contexts > 230


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_what_was_served_before_an_error_is_kept(
    ring: Path, path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    served: list[list[int]] = []

    def failing(found: Any, why: str | None) -> str:
        served.append(found.ids.tolist())
        if len(served) == 2:
            raise error("the power is out")
        return "fine"

    monkeypatch.setattr(generate, "status", failing)
    if error is KeyboardInterrupt:
        with pytest.raises(KeyboardInterrupt):
            answer(ring, path, "--count", 4)
    else:
        shown = answer(ring, path, "--count", 4)
        assert shown.exit_code == 2
        assert "the power is out" in shown.stderr
    expected = told(ring, *served)
    assert expected.contexts > 60
    assert holds(opened(ring, path), expected)


def test_what_an_earlier_error_holds_on_to_is_kept_too(ring: Path, path: Path) -> None:
    place = LedgerFile(cm.KeyRing.open(ring), "p", path)

    def serve(kept: cm.Ledger) -> None:
        sequence = cm.Sampler(place.ring, "p", ledger=kept).sequence(response_so_far=[1, 2])
        sequence.sample(np.zeros(2048, dtype=np.float32))
        raise ValueError("no current")

    def serve_on(kept: cm.Ledger) -> None:
        try:
            serve(kept)
        except ValueError as error:
            raise RuntimeError("the power is out") from error

    with pytest.raises(RuntimeError), place.taking_in() as kept:
        serve_on(kept)
    assert place.open().contains([1, 2])


def test_generate_writes_for_a_transformers_model(tmp_path: Path) -> None:
    made = cm.KeyRing.generate()
    made.import_secret("p", secret_of(1), purpose="distillation", free_prefix=0)
    made.save(tmp_path / "k")
    path = tmp_path / "ledger"
    model = save_tiny_model(tmp_path / "tiny")
    shown = answer(tmp_path / "k", path, "--json", "--model", model, "--prompt", "Go", "--count", 9)
    assert shown.exit_code == 0, shown.output
    served = [found["token_ids"] for found in objects(shown)]
    expected = told(tmp_path / "k", *served, contexts=10_000_000)
    assert expected.contexts > 400
    written = opened(tmp_path / "k", path)
    # Where an answer reached its length there was no further draw, and logs cannot know.
    assert expected.contexts - 9.5 < written.contexts
    assert holds(expected, written)


def test_generate_refuses_what_no_ledger_can_be_kept_of(ring: Path, tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    made = cm.KeyRing.generate()
    made.create_profile("wide", purpose="provenance")
    made.import_engine_key("other", "vllm/gumbel-1", key=5)
    made.save(tmp_path / "k")
    given = ["--ledger", path]
    for profile, says in (("wide", "has no narrow layer"), ("other", "kept for countermark/1")):
        command = ["generate", "--keys", tmp_path / "k", "--profile", profile]
        assert says in complaint(run(*command, *given))
    assert "--unmarked has no mark" in complaint(answer(ring, path, "--unmarked"))
    assert "account" in complaint(answer(ring, path, "--account", 5))
    assert "temperature" in complaint(answer(ring, path, "--temperature", -1))
    assert "there is no folder" in complaint(answer(ring, tmp_path / "no" / "ledger"))
    assert "header is not whole" in complaint(answer(ring, ring))
    assert not path.exists()
