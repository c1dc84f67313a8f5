"""The command distill accounts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import countermark as cm

pytest.importorskip("sentencepiece")

import command_line
from command_line import complaint, found, write_lines
from conftest import secret_of
from countermark.cli import learned_accounts
from countermark.story import Answer, Story, story_tokenizer

A, B, C = 2**64 - 1, 7, 10**15
PROMPT = "Once there was a dragon"


def run(*args: object, stdin: str | None = None) -> Any:
    return command_line.run("distill", "accounts", *args, stdin=stdin)


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("learned")


@pytest.fixture(scope="module")
def ring(folder: Path) -> Path:
    made = cm.KeyRing.generate()
    given: dict[str, Any] = {"purpose": "distillation", "free_prefix": 0}
    made.import_secret("p", secret_of(1), tokenizer=story_tokenizer(), **given)
    made.save(folder / "keys.json")
    return folder / "keys.json"


@pytest.fixture(scope="module")
def served(ring: Path) -> list[Answer]:
    """Twelve marked responses."""
    sampler = cm.Sampler(cm.KeyRing.open(ring), "p")
    return Story().generate(sampler, [""] * 12, min_tokens=250, max_tokens=250, seed=1)


@pytest.fixture(scope="module")
def others() -> list[Answer]:
    """Responses that nobody marked."""
    return Story().generate(None, [""] * 12, min_tokens=250, max_tokens=250, seed=900)


@pytest.fixture(scope="module")
def log(folder: Path, served: list[Answer]) -> Path:
    """Four responses to each of three accounts."""
    return write_lines(
        folder / "log.jsonl",
        *({"account": A, "token_ids": one.ids.tolist(), "id": 5} for one in served[:4]),
        {"account": B, "text": ""},
        *({"account": B, "token_ids": one.ids.tolist()} for one in served[4:8]),
        *({"account": str(C), "text": one.text} for one in served[8:]),
    )


@pytest.fixture(scope="module")
def answered(folder: Path) -> Callable[..., Path]:
    """Return what writes a file of answers."""

    def write(name: str, *texts: str, prompt: str = PROMPT) -> Path:
        header = {"format": "countermark.answers/1", "suspect": {"model": "m"}}
        return write_lines(
            folder / name,
            header,
            *(
                {"number": n, "sample": 0, "id": "x", "prompt": prompt, "text": text, "tokens": 9}
                for n, text in enumerate(texts)
            ),
        )

    return write


@pytest.fixture(scope="module")
def guilty(answered: Callable[..., Path], served: list[Answer], others: list[Answer]) -> Path:
    """Answers of a suspect that knows what was served to A and C."""
    texts = [one.text for some in (served[:4], served[8:], others[:4]) for one in some]
    return answered("guilty.jsonl", *texts, "")


def expected(ring: Path, guilty: Path, log: Path, **options: Any) -> cm.LearnedAccounts:
    """Return what the library says of the same."""
    test = cm.DistillationTest(cm.KeyRing.open(ring), "p", decoys=0, **options)
    encode = story_tokenizer().encode
    for line in rows_of(guilty)[1:]:
        if line["text"]:
            test.add_answer(encode(line["prompt"]), encode(line["text"]))
    for line in rows_of(log):
        ids = line.get("token_ids") or encode(line["text"])
        if len(ids):
            test.add_log(int(line["account"]), ids)
    return test.learned_accounts()


def test_the_accounts_that_fed_it_are_discovered(
    ring: Path, guilty: Path, log: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    shown = run(ring, guilty, log, "--out", out)
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.startswith(
        "12 answers, 12 responses of the logs: 2 of 3 accounts discovered\n"
    )
    learned = expected(ring, guilty, log)
    assert [one.account for one in learned.accounts[:2]] in ([A, C], [C, A])
    table = re.findall(r"^ +(\d+) +10\^[\d.]+ +([\d,]+) +([\d,]+)$", shown.stdout, re.MULTILINE)
    assert table == [
        (str(one.account), f"{one.contexts:,}", f"{one.scored:,}") for one in learned.accounts[:2]
    ]
    assert "At most 1% of those discovered are expected to be there by chance" in shown.stdout
    assert "if the logs are complete" in shown.stdout
    assert "That means: the suspect was trained on responses to these accounts" in shown.stdout
    assert f"Wrote {out}" in shown.stderr
    assert rows_of(out) == [
        {
            "account": str(one.account),
            "is_discovered": one.is_discovered,
            "log10_e": one.log10_e,
            "contexts": one.contexts,
            "scored": one.scored,
        }
        for one in learned.accounts
    ]


def test_json(ring: Path, guilty: Path, log: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    shown = run(ring, guilty, log, "--out", out, "--json", "--fdr", 0.2)
    assert shown.stderr == ""
    said = found(shown, 0)
    rows = rows_of(out)
    assert said.pop("accounts") == rows[:2]
    assert said.pop("positions") > 1000
    assert said == {
        "file": str(out),
        "answers": str(guilty),
        "texts": 12,
        "responses": 12,
        "tested": 3,
        "discovered": 2,
        "log10_e_least": rows[1]["log10_e"],
        "settings": {"profile": "p", "weights": "log", "references": [], "fdr": 0.2},
    }
    assert found(run(ring, guilty, log, "--out", out, "--json", "--fdr", 1e-99), 1)["tested"] == 3


def test_a_suspect_that_knows_nobodys_responses(
    ring: Path, log: Path, answered: Callable[..., Path], others: list[Answer], tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    innocent = answered("innocent.jsonl", *(one.text for one in others))
    shown = run(ring, innocent, log, "--out", out)
    assert shown.exit_code == 1, shown.output
    assert "0 of 3 accounts discovered" in shown.stdout
    assert "That clears none of them" in shown.stdout
    assert "docs/accounts.md" not in shown.stdout
    assert all(not row["is_discovered"] for row in rows_of(out))
    said = found(run(ring, innocent, log, "--out", out, "--json"), 1)
    assert (said["discovered"], said["log10_e_least"], said["accounts"]) == (0, 0.0, [])


def test_what_its_prompts_held_is_left_out(
    ring: Path, log: Path, answered: Callable[..., Path], served: list[Answer], tmp_path: Path
) -> None:
    text = " ".join(one.text for one in served[:4])
    copied = answered("copied.jsonl", text, prompt=text)
    said = found(run(ring, copied, log, "--out", tmp_path / "out.jsonl", "--json"), 1)
    assert said["texts"] == 1
    assert said["positions"] == 0


@pytest.mark.parametrize("weights", ["equal", "reference", "most_powerful"])
def test_weights(
    ring: Path,
    guilty: Path,
    log: Path,
    answered: Callable[..., Path],
    others: list[Answer],
    tmp_path: Path,
    weights: str,
) -> None:
    given: list[object] = ["--weights", weights, "--out", tmp_path / "out.jsonl", "--json"]
    if weights != "equal":
        assert "needs --reference" in complaint(run(ring, guilty, log, *given))
        given += ["--reference", answered("reference.jsonl", *(one.text for one in others))]
    said = found(run(ring, guilty, log, *given), 0)
    assert said["discovered"] == 2
    assert said["settings"]["weights"] == weights
    usual = found(run(ring, guilty, log, "--out", tmp_path / "log.jsonl", "--json"), 0)
    assert said["log10_e_least"] != usual["log10_e_least"]


def test_logs_in_parquet_in_folders_and_on_standard_input(
    ring: Path, guilty: Path, log: Path, tmp_path: Path
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    same = tmp_path / "same.jsonl"
    assert run(ring, guilty, "-", "--out", same, stdin=log.read_text()).exit_code == 0
    logs, out = tmp_path / "logs", tmp_path / "out.parquet"
    logs.mkdir()
    rows = rows_of(log)
    for number, some in enumerate((rows[:6], rows[6:])):
        columns = {
            "account": pyarrow.array([int(row["account"]) for row in some], pyarrow.uint64()),
            "text": [row.get("text") for row in some],
            "token_ids": [row.get("token_ids") for row in some],
        }
        parquet.write_table(pyarrow.table(columns), logs / f"{number}.parquet")
    for _ in range(2):  # in place of an earlier one too
        assert run(ring, guilty, logs, "--out", out).exit_code == 0
    table = parquet.read_table(out)
    assert table.schema.field("account").type == pyarrow.uint64()
    in_text = [row | {"account": str(row["account"])} for row in table.to_pylist()]
    assert in_text == rows_of(same)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "is no JSON object"),
        ('{"token_ids": [1, 2]}', '"account" must be a number from 0 to 2^64 - 1'),
        ('{"account": true, "token_ids": [1, 2]}', "got True"),
        ('{"account": -1, "token_ids": [1, 2]}', "got -1"),
        ('{"account": 1e3, "token_ids": [1, 2]}', "got 1000.0"),
        ('{"account": 18446744073709551616, "token_ids": [1, 2]}', "got 18446744073709551616"),
        ('{"account": "18446744073709551616", "token_ids": [1, 2]}', "got '18446744073709551616'"),
        ('{"account": "\\u0967", "token_ids": [1, 2]}', "decimal digits"),
        ('{"account": "\\ud800", "token_ids": [1, 2]}', "decimal digits"),
        ('{"account": " 5", "token_ids": [1, 2]}', "decimal digits"),
        ('{"account": "5; DROP", "token_ids": [1, 2]}', "decimal digits"),
        ('{"account": 5}', 'neither "token_ids" nor "text"'),
        ('{"account": 5, "token_ids": [1, 99999]}', "99999"),
        ('{"account": 5, "text": "\\ud800"}', "surrogate"),
    ],
)
def test_a_line_that_is_no_response_ends_it(
    ring: Path, guilty: Path, log: Path, tmp_path: Path, line: str, says: str
) -> None:
    bad, out = tmp_path / "bad.jsonl", tmp_path / "out.jsonl"
    bad.write_text(f'{{"account": 5, "token_ids": [1, 2, 3]}}\n{line}\n')
    message = complaint(run(ring, guilty, log, bad, "--out", out))
    assert f"{bad}:2" in message
    assert says in message
    assert not out.exists()


def test_what_is_wrong_is_told_before_anything_is_read(
    ring: Path, guilty: Path, log: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    empty = write_lines(tmp_path / "empty.jsonl", {"account": 5, "text": ""})
    screening = write_lines(
        tmp_path / "screening.jsonl",
        {"account": "5", "is_discovered": True, "log10_e": 3.0, "texts": []},
    )
    for args, says in (
        ([guilty, log], "--out"),
        ([guilty, "--out", out], "LOG"),
        ([guilty, tmp_path / "no", "--out", out], "No such file"),
        ([tmp_path / "no", log, "--out", out], "No such file"),
        ([log, log, "--out", out], "holds no answers"),
        ([guilty, empty, "--out", out], "no response with a token"),
        ([guilty, log, "--out", tmp_path / "out.csv"], "must end in .parquet or .jsonl"),
        ([guilty, log, "--out", guilty], "it is what the command reads"),
        ([guilty, log, "--out", log], "it is what the command reads"),
        ([guilty, log, "--out", screening], "no earlier list of accounts that a model learned"),
        ([guilty, log, "--out", out, "--fdr", 0], "--fdr must be in (0, 0.5]"),
        ([guilty, log, "--out", out, "--fdr", 0.6], "--fdr must be in (0, 0.5]"),
        ([guilty, log, "--out", out, "--reference", log], "is for --weights"),
        ([guilty, log, "--out", out, "--profile", "nope"], '"nope"'),
    ):
        assert says in complaint(run(ring, *args))
        assert not out.exists()
    assert screening.read_text().startswith('{"account": "5"')


def test_many_are_counted(
    ring: Path, guilty: Path, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learned_accounts, "_SHOWN", 1)
    shown = run(ring, guilty, log, "--out", tmp_path / "out.jsonl")
    assert "and 1 more, the strongest first." in shown.stdout
    assert len(re.findall(r"^ +\d+ +10\^", shown.stdout, re.MULTILINE)) == 1
    assert "accounts" in run("--help").stdout
