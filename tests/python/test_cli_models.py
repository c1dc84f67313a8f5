"""``countermark detect`` with a model at hand: proxies, and logs replayed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from command_line import objects, run
from conftest import save_tiny_model

PROMPT = "The cat"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="module")
def keys(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ring") / "keys.json"
    for profile, more in (("p", []), ("acc", ["--accounts"])):
        result = run("keygen", path, "--profile", profile, "--tokenizer", model, *more)
        assert result.exit_code == 0, result.output
    return path


def answers(keys: Path, model: Path, *options: object, profile: str = "p") -> list[dict[str, Any]]:
    arguments = ["generate", "--keys", keys, "--profile", profile, "--model", model, "--json"]
    result = run(*arguments, "--prompt", PROMPT, "--tokens", 60, "--seed", 1, *options)
    return objects(result)


def replay(keys: Path, model: Path, log: Path, *options: object) -> Any:
    return run("detect", "--keys", keys, "--replay", "--model", model, log, *options)


def test_logs_are_replayed_line_by_line(keys: Path, model: Path, tmp_path: Path) -> None:
    marked, other = (answers(keys, model, "--temperature", 0.9, *o) for o in ([], ["--unmarked"]))
    line = {"prompt": PROMPT, "temperature": 0.9}
    lines = [
        {**line, "token_ids": marked[0]["token_ids"], "id": "first"},
        {**line, "token_ids": other[0]["token_ids"]},
    ]
    log = tmp_path / "log.jsonl"
    log.write_text("\n\n".join(map(json.dumps, lines)) + "\n")
    result = replay(keys, model, log, "--profile", "p", "--json")
    assert result.exit_code == 0
    found = objects(result)
    assert [f["file"] for f in found] == [f"{log}:1 (first)", f"{log}:3"]
    assert [f["verdict"] == "marked" for f in found] == [True, False]
    assert found[0]["results"][0]["tests"][0]["statistic"] == "replay"
    assert found[0]["entropy_bits"] > 20
    only_unmarked = tmp_path / "other.jsonl"
    only_unmarked.write_text(json.dumps(lines[1]))
    assert replay(keys, model, only_unmarked, "--profile", "p").exit_code == 1


def test_a_replay_takes_the_account_of_the_line(keys: Path, model: Path, tmp_path: Path) -> None:
    (answer,) = answers(keys, model, "--account", 7, profile="acc")
    log = tmp_path / "log.jsonl"
    log.write_text(
        "\n".join(
            json.dumps({"prompt": PROMPT, "token_ids": answer["token_ids"], "account": account})
            for account in (7, 8)
        )
    )
    result = replay(keys, model, log, "--profile", "acc", "--json")
    right, wrong = (json.loads(line)["log10_e"] for line in result.stdout.splitlines())
    assert right > wrong + 10


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "is no JSON"),
        ("[1]", "must be a JSON object"),
        ("{}", 'neither "token_ids" nor "text"'),
        ('{"text": 5}', '"text" must be a string'),
        ('{"token_ids": ["a"]}', '"token_ids" must be a list of token ids'),
        ('{"token_ids": [1, true]}', '"token_ids" must be a list of token ids'),
        ('{"token_ids": [1], "temperature": "hot"}', '"temperature" must be a number'),
        ('{"token_ids": [1], "temperature": -1}', "temperature must be finite"),
        ('{"token_ids": [1], "account": "me"}', '"account" must be a number'),
        ('{"token_ids": [999]}', "999"),
        ('{"token_ids": []}', "empty"),
    ],
)
def test_a_bad_line_is_named_and_the_others_are_replayed(
    keys: Path, model: Path, tmp_path: Path, line: str, says: str
) -> None:
    log = tmp_path / "log.jsonl"
    good = json.dumps({"prompt": PROMPT, "text": "Some text."})
    log.write_text(f"{good}\n{line}\n{good}\n")
    result = replay(keys, model, log, "--profile", "p", "--json")
    assert result.exit_code == 2
    assert says in result.stderr
    found = objects(result)
    assert [("error" in f) for f in found] == [False, True, False]
    assert ":2" in found[1]["error"]


def test_a_model_adds_evidence(keys: Path, model: Path, tmp_path: Path) -> None:
    (answer,) = answers(keys, model, "--temperature", 0.5)
    ids = tmp_path / "ids.json"
    ids.write_text(json.dumps(answer["token_ids"]))
    common = ["detect", "--keys", keys, "--profile", "p", "--ids", "--json", ids]
    alone = json.loads(run(*common).stdout)
    knowing = json.loads(run(*common, "--model", model, "--temperature", 0.5).stdout)
    assert alone["entropy_bits"] is None
    assert knowing["entropy_bits"] > 20
    statistics = [test["statistic"] for test in knowing["results"][0]["tests"]]
    assert statistics[:2] == ["likelihood", "sum"]
    assert knowing["log10_p"] < alone["log10_p"]


def test_options_that_do_not_go_together_are_refused(keys: Path, model: Path) -> None:
    for arguments, says in (
        (["--replay"], "give --model"),
        (["--model", model, "--html", "out.html"], "leave --model out"),
        (["--model", model, "--temperature", 0], "temperature"),
        (["--model", "/nowhere/at/all"], "no model at"),
    ):
        result = run("detect", "--keys", keys, "--profile", "p", *arguments, keys)
        assert result.exit_code == 2
        assert says in result.stderr
