"""The command distill: asking a suspect, its answers on disk, and the page about it."""

from __future__ import annotations

import fcntl
import html
import itertools
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

import countermark as cm

tokenizers = pytest.importorskip("tokenizers")
pytest.importorskip("openai")

import command_line  # noqa: E402
from command_line import found  # noqa: E402
from conftest import save_tiny_model, secret_of  # noqa: E402
from countermark import report  # noqa: E402
from countermark.cli import answers  # noqa: E402
from countermark.cli.answers import Answer  # noqa: E402
from countermark.cli.causal_model import CausalModel  # noqa: E402
from countermark.cli.trials import Trial  # noqa: E402

LETTERS = [i for i in range(33, 127) if chr(i) not in "'`\""]  # tokens of text that stays as it is
TOKENS = 500  # of an answer: nine make a first look
PROMPTS = [f"What is {n}?" for n in range(12)]
KEY = "sk-very-secret-0123456789"


def run(*args: object) -> Any:
    return command_line.run("distill", *args)


def complaint(result: Any) -> str:
    """Return the one line that an error is."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if line.startswith("countermark: ")]
    assert "unexpected" not in result.stderr
    return str(lines[-1])


def lines_of(path: Path) -> list[dict[str, Any]]:
    """Return the answers in a file, without its header."""
    return [json.loads(line) for line in path.read_text().split("\n")[1:] if line]


def asked_of(path: Path) -> list[tuple[int, int]]:
    return sorted((line["number"], line["sample"]) for line in lines_of(path))


def byte_tokenizer() -> Any:
    """Return a tokenizer whose tokens are bytes, as that of the tiny model."""
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    backend = tokenizers.Tokenizer(
        tokenizers.models.BPE({letter: i for i, letter in enumerate(letters)}, [])
    )
    backend.decoder = tokenizers.decoders.ByteLevel()
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    return backend


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("distill")


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Path:
    path = folder / "tokenizer.json"
    byte_tokenizer().save(str(path))
    return path


@pytest.fixture(scope="module")
def ring(folder: Path, tokenizer: Path) -> Path:
    made = cm.KeyRing.generate()
    given: dict[str, Any] = {"purpose": "distillation", "free_prefix": 0}
    made.import_secret("prod", secret_of(1), tokenizer=str(tokenizer), **given)
    made.save(folder / "keys.json")
    return folder / "keys.json"


@pytest.fixture(scope="module")
def prompts(folder: Path) -> Path:
    path = folder / "prompts.txt"
    path.write_text("\n".join(PROMPTS) + "\n")
    return path


class Student:
    """Goes on as the key would have it, or as chance does."""

    def __init__(self, ring: Path | None) -> None:
        self.sampler = cm.Sampler(cm.KeyRing.open(ring), "prod") if ring else None
        self.random = np.random.default_rng(5)
        self.tokenizer = cm.Tokenizer(byte_tokenizer())
        self.letters = [int(self.tokenizer.encode(chr(letter))[0]) for letter in LETTERS]

    def answer(self, number: int, tokens: int = TOKENS) -> str:
        ids = self.ids(number, tokens)
        return self.tokenizer.decode(ids)

    def ids(self, number: int, tokens: int) -> list[int]:
        if self.sampler is None:
            return [self.letters[i] for i in self.random.integers(0, len(self.letters), tokens)]
        logits = np.full(256, -np.inf, dtype=np.float32)
        sequence = self.sampler.sequence(seed=number)
        for _ in range(tokens):
            logits[self.letters] = self.random.normal(0, 1, len(self.letters))
            sequence.sample(logits)
        return [int(i) for i in sequence.tokens]


@dataclass
class Server:
    """An OpenAI-compatible server on the loopback."""

    student: Student
    key: str | None = None
    trouble: Callable[[int, dict[str, Any]], tuple[int, dict[str, Any]] | None] = (
        lambda number, body: None
    )
    """What is wrong with a request, by its number: a status and an error."""
    wait: float = 0.0
    say: Callable[[str], str] | None = None
    tokens: int | None = TOKENS
    requests: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""
    lock: Any = field(default_factory=threading.Lock)

    def prompts_asked(self) -> list[str]:
        return sorted(
            body["prompt"] if "prompt" in body else body["messages"][-1]["content"]
            for body in self.requests
        )

    def reply(self, path: str, headers: Any, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        with self.lock:
            number = len(self.requests)
            self.requests.append({**body, "path": path})
            text = self.say(str(body)) if self.say else self.student.answer(number)
        if self.key and headers["Authorization"] != f"Bearer {self.key}":
            given = headers["Authorization"].removeprefix("Bearer ")
            return 401, {"message": f"Incorrect API key provided: {given}", "code": "invalid_key"}
        if wrong := self.trouble(number, body):
            return wrong
        time.sleep(self.wait)
        choice: dict[str, Any] = {"index": 0, "finish_reason": "length"}
        if path == "/v1/chat/completions":
            choice["message"] = {"role": "assistant", "content": text}
        else:
            assert path == "/v1/completions"
            choice["text"] = text
        usage = {"prompt_tokens": 1, "completion_tokens": self.tokens, "total_tokens": 1}
        return 200, {
            "id": "x",
            "object": "completion",
            "created": 0,
            "model": body["model"],
            "choices": [choice],
            **({"usage": usage} if self.tokens is not None else {}),
        }


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    """Return what starts a server."""
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    running = []

    def start(student: Student, **options: Any) -> Server:
        server = Server(student, **options)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, said = server.reply(self.path, self.headers, body)
                data = json.dumps(said if status == 200 else {"error": said}).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.send_header("Retry-After-Ms", "1")
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: object) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, *args: object) -> None:
                """A client may go away."""

        http = Quiet(("127.0.0.1", 0), Handler)
        http.daemon_threads = True
        threading.Thread(target=http.serve_forever, daemon=True, args=(0.02,)).start()
        running.append(http)
        server.url = f"http://127.0.0.1:{http.server_port}/v1"
        return server

    yield start
    for http in running:
        http.shutdown()
        http.server_close()


@pytest.fixture
def ask(ring: Path, prompts: Path, tokenizer: Path, tmp_path: Path) -> Callable[..., Any]:
    """Return what runs the command against a server."""

    def command(server: Server | None, *options: object, asked: Path | None = prompts) -> Any:
        given: list[object] = [ring]
        if asked:
            given.append(asked)
        if server:
            given += ["--endpoint", server.url, "--model", "m"]
        if "--out" not in options:
            given += ["--out", tmp_path / "answers.jsonl"]
        return run(*given, "--tokenizer", tokenizer, "--decoys", 9, *options)

    return command


Serve = Callable[..., Server]
Ask = Callable[..., Any]


# Verdicts


def test_a_student_is_found_out_and_asked_no_further(
    serve: Serve, ask: Ask, ring: Path, tmp_path: Path
) -> None:
    server = serve(Student(ring))
    shown = ask(server, "--concurrency", 1, "--json", "--max-tokens", 700, "--top-p", 0.9)
    said = found(shown, 0)
    assert said["verdict"] == "learned"
    assert said["ended"] == "decided"
    assert said["log10_p"] <= -6
    assert said["texts"] == len(server.requests) == 9
    assert said["decoy_rank"] == 1
    assert said["decoys_agree"]
    assert len(said["decoys"]) == 9
    (look,) = said["looks"]
    assert look["share"] == 0.5
    assert said["suspect"] == {"endpoint": server.url, "model": "m", "interface": "chat"}
    assert said["settings"]["sampling"] == {"max_tokens": 700, "temperature": 1.0, "top_p": 0.9}
    assert said["tokens"] == 9 * TOKENS
    assert said["failed"] == said["skipped"] == 0
    assert said["controls"] == []
    request = server.requests[0]
    assert request["path"] == "/v1/chat/completions"
    assert request["messages"] == [{"role": "user", "content": PROMPTS[0]}]
    assert (request["max_tokens"], request["temperature"], request["top_p"]) == (700, 1.0, 0.9)
    header, *_ = (tmp_path / "answers.jsonl").read_text().split("\n")
    assert json.loads(header)["format"] == "countermark.answers/1"
    first, *_ = lines_of(tmp_path / "answers.jsonl")
    assert first.pop("text") == Student(ring).answer(0)
    assert first == {
        "number": 0,
        "sample": 0,
        "id": "0",
        "prompt": PROMPTS[0],
        "finish_reason": "length",
        "tokens": TOKENS,
    }


def test_a_model_that_has_not_learned_is_asked_everything(
    serve: Serve, ask: Ask, tmp_path: Path
) -> None:
    server = serve(Student(None))
    shown = ask(server, "--completions", "--samples", 2)
    assert shown.exit_code == 1, shown.output
    assert shown.stdout.startswith(f"m at {server.url}: not shown: p = ")
    assert "That does not clear it" in shown.stdout
    assert "innocent" not in shown.stdout
    assert asked_of(tmp_path / "answers.jsonl") == [(n, s) for n in range(12) for s in range(2)]
    assert server.requests[0]["path"] == "/v1/completions"
    assert server.prompts_asked() == sorted(PROMPTS * 2)
    numbers = [line["sample"] for line in lines_of(tmp_path / "answers.jsonl")]
    assert sum(numbers[:4]) == 0  # every prompt once before any again


def test_nothing_ends_the_asking_where_it_is_not_to(serve: Serve, ask: Ask, ring: Path) -> None:
    server = serve(Student(ring))
    said = found(ask(server, "--stop-at", 0, "--json"), 0)
    assert said["ended"] is None
    assert said["texts"] == len(server.requests) == 12


def test_what_is_there_is_tested_again(serve: Serve, ask: Ask, ring: Path, tmp_path: Path) -> None:
    server = serve(Student(ring))
    assert ask(server, "--concurrency", 3, "--stop-at", 0).exit_code == 0
    first = found(ask(None, "--json"), 0)
    assert first["ended"] is None
    assert len(server.requests) == first["texts"] == 12
    assert first["suspect"]["endpoint"] == server.url
    other = found(ask(None, "--json", "--weights", "equal", asked=None), 0)
    assert other["looks"][0]["positions"] == first["looks"][0]["positions"]
    assert other["log10_p"] != first["log10_p"]
    text = tmp_path / "other.txt"
    text.write_text("Something else?\n")
    assert "prompts number 12 there, 1 now" in complaint(ask(None, asked=text))


def test_references_and_a_ledger(serve: Serve, ask: Ask, ring: Path, tmp_path: Path) -> None:
    keys = cm.KeyRing.open(ring)
    ledger = cm.Ledger(keys, "prod", contexts=20_000)
    student = Student(ring)
    for n in range(12):
        ledger.add_response(student.ids(n, TOKENS))
    ledger.save(tmp_path / "ledger")
    assert ask(serve(Student(ring)), "--stop-at", 0).exit_code == 0
    control = tmp_path / "control.jsonl"
    assert ask(serve(Student(None)), "--out", control).exit_code == 1
    by_ledger = found(ask(None, "--ledger", tmp_path / "ledger", "--json"), 0)
    assert by_ledger["log10_p"] == -by_ledger["log10_e"]
    assert by_ledger["log10_rank_p"] == 0
    shown = ask(None, "--ledger", tmp_path / "ledger").stdout
    assert "The key decided what was looked at" in shown
    given = ["--weights", "reference", "--reference", control]
    said = found(ask(None, *given, "--json"), 0)
    assert said["settings"]["references"] == [str(control)]
    strongest = found(ask(None, "--weights", "most_powerful", *given[2:], "--json"), 0)
    assert strongest["settings"]["weights"] == "most_powerful"
    assert strongest["log10_p"] != said["log10_p"]
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"id": 5}\n')
    assert f"{bad}:1: there is neither" in complaint(ask(None, *given[:2], "--reference", bad))


def test_too_little_is_said_to_be_too_little(serve: Serve, ask: Ask, ring: Path) -> None:
    server = serve(Student(ring))
    shown = ask(server, "--budget", 1)
    assert shown.exit_code == 1
    assert "not shown: too little for a first look" in shown.stdout
    assert "The first look is at 4,096 positions, and there are " in shown.stdout
    assert "The budget is used up" in shown.stdout


def test_a_test_is_asked_where_it_has_looked_alone() -> None:
    asked = []

    class Counting:
        positions = 0

        def add_answer(self, prompt: list[int], ids: list[int]) -> None:
            self.positions += len(ids) - len(prompt)

        def result(self) -> Any:
            asked.append(self.positions)
            return SimpleNamespace(log10_p=-1.0 * len(asked))

    counting: Any = Counting()
    trial = Trial(counting, lambda text: [0] * len(text))
    for n in range(100):
        trial.add_answer(Answer(n, 0, "", "x" * 80, "x" * (180 if n != 98 else 8000), None, 0))
        if n == 39:
            assert (asked, trial.evidence()) == ([], "no look yet")
    assert asked == [4100, 5800, 8200, 17720]  # the last jumps over one
    assert trial.evidence() == "p = 10^-4"


# The file of answers


def test_a_run_that_died_is_gone_on_with(
    serve: Serve, ask: Ask, ring: Path, tmp_path: Path
) -> None:
    path = tmp_path / "answers.jsonl"
    server = serve(Student(None))
    assert ask(server, "--budget", 5 * TOKENS, "--concurrency", 1).exit_code == 1
    assert len(server.requests) == 5
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])  # in the middle of the fifth answer
    shown = ask(server, "--samples", 2)
    assert shown.exit_code == 1
    assert f"Cut off: line 6 of {path}" in shown.stderr
    assert asked_of(path) == [(n, s) for n in range(12) for s in range(2)]
    assert len(server.requests) == 5 + 24 - 4
    assert path.read_bytes().startswith(whole[: whole[:-40].rindex(b"\n") + 1])
    again = ask(server, "--samples", 2, "--json")
    assert found(again, 1)["texts"] == 24
    assert len(server.requests) == 25
    # Of a line that lacks its end alone nothing is lost.
    path.write_bytes(path.read_bytes()[:-1])
    assert "Left out" not in ask(None).stderr
    assert found(ask(server, "--samples", 2, "--json"), 1)["texts"] == 24
    assert len(server.requests) == 25
    assert path.read_bytes().endswith(b"\n")
    # Without a suspect nothing is written.
    torn = path.read_bytes()[:-40]
    path.write_bytes(torn)
    shown = ask(None, "--json")
    assert f"Left out: line 25 of {path}" in shown.stderr
    assert found(shown, 1)["texts"] == 23
    assert path.read_bytes() == torn


def test_a_header_that_was_half_written_is_written_anew(
    serve: Serve, ask: Ask, tmp_path: Path
) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text('{"format": "countermark.answers/1", "susp')
    server = serve(Student(None))
    assert ask(server, "--budget", 1).exit_code == 1
    assert json.loads(path.read_text().split("\n")[0])["suspect"]["model"] == "m"


def test_a_resumed_test_looks_where_the_first_did(serve: Serve, ask: Ask, ring: Path) -> None:
    server = serve(Student(ring))
    some = ["--stop-at", 0, "--json"]
    early = found(ask(server, *some, "--budget", 6 * TOKENS, "--concurrency", 1), 1)
    assert early["looks"] == []
    late = found(ask(server, *some), 0)
    assert [look["positions"] for look in late["looks"]] == [
        look["positions"] for look in found(ask(None, "--json"), 0)["looks"]
    ]
    assert late["tokens"] == 12 * TOKENS


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--model", "other"], 'suspect model "m" there, "other" now'),
        (["--temperature", 0.5], "sampling temperature 1.0 there, 0.5 now"),
        (["--max-tokens", 9], "sampling max_tokens 256 there, 9 now"),
        (["--completions"], 'suspect interface "chat" there, "completions" now'),
    ],
)
def test_what_was_asked_otherwise_is_not_gone_on_with(
    serve: Serve, ask: Ask, tmp_path: Path, options: list[object], says: str
) -> None:
    path = tmp_path / "answers.jsonl"
    server = serve(Student(None))
    assert ask(server, "--budget", 1, "--concurrency", 1).exit_code == 1
    before = path.read_bytes()
    assert says in complaint(ask(server, *options))
    assert path.read_bytes() == before
    assert len(server.requests) == 1


def test_other_prompts_and_other_files_are_left_alone(
    serve: Serve, ask: Ask, ring: Path, prompts: Path, tmp_path: Path
) -> None:
    path = tmp_path / "answers.jsonl"
    server = serve(Student(None))
    assert ask(server, "--budget", 1).exit_code == 1
    other = tmp_path / "prompts.txt"
    other.write_text(prompts.read_text().replace("What", "Who"))
    assert "prompts sha256 " in complaint(ask(server, asked=other))
    asked = len(server.requests)
    same = tmp_path / "prompts.jsonl"  # what is asked is the same
    same.write_text("".join(json.dumps({"id": 7, "prompt": p}) + "\n" for p in PROMPTS))
    assert ask(server, "--budget", 1, asked=same).exit_code == 1
    for precious in (b"precious\n", b"precious", b'{"format": "else"}\n', ring.read_bytes()):
        path.write_bytes(precious)
        assert "holds no answers" in complaint(ask(server))
        assert "holds no answers" in complaint(ask(None))
        assert path.read_bytes() == precious
    assert len(server.requests) == asked


def test_an_answer_may_count_only_once(serve: Serve, ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    server = serve(Student(None))
    assert ask(server).exit_code == 1
    lines = path.read_text().split("\n")
    path.write_text("\n".join([*lines[:-1], lines[3], ""]))
    for suspect in (None, server):
        message = complaint(ask(suspect))
        assert f"{path}:14 answers prompt " in message
        assert "as line 4 did" in message
    assert len(server.requests) == 12


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "is no answer"),
        ("[]", "it must be an object"),
        ('{"number": 1, "sample": 0, "tokens": -1, "text": "", "prompt": ""}', "must be counts"),
        ('{"number": 1, "sample": 0, "tokens": 1, "prompt": ""}', '"text" must be a string'),
        ('{"number": 1, "sample": 0, "tokens": 1, "text": ""}', '"prompt" or "messages"'),
    ],
)
def test_a_line_that_is_no_answer_is_named(
    serve: Serve, ask: Ask, tmp_path: Path, line: str, says: str
) -> None:
    path = tmp_path / "answers.jsonl"
    assert ask(serve(Student(None)), "--budget", 1, "--concurrency", 1).exit_code == 1
    path.write_text(path.read_text() + line + "\n")
    message = complaint(ask(None))
    assert f"{path}:3 is no answer" in message
    assert says in message


def test_two_runs_at_once_are_one_too_many(serve: Serve, ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    server = serve(Student(None))
    assert ask(server, "--budget", 1).exit_code == 1
    before, asked = path.read_bytes(), len(server.requests)
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        for suspect in (server, None):
            assert f"another run has {path}" in complaint(ask(suspect))
    assert path.read_bytes() == before
    assert len(server.requests) == asked
    assert ask(server).exit_code == 1


def test_a_budget_ends_the_asking(serve: Serve, ask: Ask, tmp_path: Path) -> None:
    server = serve(Student(None), tokens=None)  # then they are counted here
    said = found(ask(server, "--budget", 3 * TOKENS, "--concurrency", 1, "--json"), 1)
    assert (said["ended"], said["tokens"], len(server.requests)) == ("budget", 3 * TOKENS, 3)
    said = found(ask(server, "--budget", 3 * TOKENS, "--json"), 1)
    assert len(server.requests) == 3
    # What is under way still counts.
    said = found(ask(server, "--budget", 4 * TOKENS, "--concurrency", 4, "--json"), 1)
    assert 4 < len(server.requests) <= 8
    assert said["texts"] == len(server.requests)


def test_what_was_answered_is_on_the_disk(
    serve: Serve, ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "answers.jsonl"
    sizes: list[int] = []
    monkeypatch.setattr("os.fsync", lambda file: sizes.append(os.fstat(file).st_size))
    for seconds, times in ((0.0, 13), (1e9, 1)):  # after each of 12 answers, or at the end alone
        path.unlink(missing_ok=True)
        sizes.clear()
        monkeypatch.setattr(answers, "_SYNC_EVERY", seconds)
        assert ask(serve(Student(None)), "--concurrency", 1).exit_code == 1
        assert len(sizes) == times
        assert sizes[-1] == path.stat().st_size


# Trouble


def test_a_server_that_stumbles_is_asked_again(serve: Serve, ask: Ask, tmp_path: Path) -> None:
    def stumbling(number: int, body: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
        if body["messages"][-1]["content"] == PROMPTS[3]:
            return 400, {"message": "that is <b>not</b>\n\x1b[2Jallowed"}
        return [(500, {"message": "oops"}), (429, {"message": "slowly"}), None][number % 3]

    server = serve(Student(None), trouble=stumbling)
    shown = ask(server, "--retries", 20, "--samples", 2, "--json")
    said = found(shown, 1)
    assert said["failed"] == 1
    assert said["texts"] == 22
    (named,) = [s for s in shown.stderr.splitlines() if s.startswith("countermark: ")]
    assert named == "countermark: prompt 3 got no answer: 400: that is <b>not</b> [2Jallowed"
    assert asked_of(tmp_path / "answers.jsonl") == [
        (n, s) for n in range(12) for s in range(2) if n != 3
    ]
    # Later it may answer.
    server.trouble = lambda number, body: None
    assert found(ask(server, "--samples", 2, "--json"), 1)["texts"] == 24


def test_ten_failures_in_a_row_are_enough(serve: Serve, ask: Ask, tmp_path: Path) -> None:
    server = serve(
        Student(None), trouble=lambda number, body: (500, {"message": "down"}) if number else None
    )
    shown = ask(server, "--retries", 0, "--concurrency", 1)
    assert "10 questions in a row got no answer" in complaint(shown)
    assert len(server.requests) == 11
    assert asked_of(tmp_path / "answers.jsonl") == [(0, 0)]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, {"message": "who are you"}),
        (403, {"message": "go away"}),
        (404, {"message": "no such model"}),
        (400, {"message": "no such model", "code": "model_not_found"}),
        (429, {"message": "you owe us", "code": "insufficient_quota"}),
    ],
)
def test_what_will_not_go_away_ends_the_asking(
    serve: Serve, ask: Ask, status: int, error: dict[str, Any]
) -> None:
    server = serve(Student(None), trouble=lambda number, body: (status, error))
    message = complaint(ask(server, "--retries", 0, "--concurrency", 1))
    assert f"{server.url} refuses to answer ({status}: " in message
    assert error["message"] in message
    assert len(server.requests) == 1


def test_nobody_there_is_told(ask: Ask, serve: Serve) -> None:
    server = serve(Student(None))
    server.url = "http://127.0.0.1:9/v1"
    shown = ask(server, "--retries", 0)
    assert "10 questions in a row" in complaint(shown)
    assert "Connection refused" in shown.stderr


def test_what_is_no_completion_is_no_answer(serve: Serve, ask: Ask, tmp_path: Path) -> None:
    server = serve(Student(None), trouble=lambda number, body: (200, {"hello": "world"}))
    one = tmp_path / "prompt.txt"
    one.write_text("A?")
    shown = ask(server, "--retries", 0, asked=one)
    assert "prompt 0 got no answer: what came is no completion" in shown.stderr
    assert "no prompt got an answer" in complaint(shown)


def test_empty_answers_are_kept_and_left_out(serve: Serve, ask: Ask, tmp_path: Path) -> None:
    server = serve(Student(None), say=lambda body: "" if "1?" in body else "abc \ud800.")
    said = found(ask(server, "--json"), 1)
    assert said["skipped"] == 2  # 1 and 11
    assert said["texts"] == 10
    texts = {line["number"]: line["text"] for line in lines_of(tmp_path / "answers.jsonl")}
    assert texts[1] == ""
    assert texts[2] == "abc \N{REPLACEMENT CHARACTER}."
    assert "2 answers without a token left out" in ask(None).stdout


def test_newer_names_of_the_limit_are_tried(serve: Serve, ask: Ask) -> None:
    def newer(number: int, body: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
        if "max_tokens" in body:
            return 400, {"message": "not this", "param": "max_tokens"}
        return None

    server = serve(Student(None), trouble=newer)
    assert found(ask(server, "--json", "--concurrency", 4), 1)["texts"] == 12
    assert server.requests[-1]["max_completion_tokens"] == 256
    assert "max_tokens" not in server.requests[-1]


def test_the_key_goes_to_the_server_and_nowhere_else(
    serve: Serve, ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTHER_KEY", KEY)
    page = tmp_path / "page.html"
    server = serve(Student(None), key=KEY)
    given = ["--key-variable", "OTHER_KEY", "--html", page]
    shown = [ask(server, *given), ask(server, *given, "--json")]
    assert [one.exit_code for one in shown] == [1, 1]
    assert len(server.requests) == 12
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert ask(server, "--samples", 2).exit_code == 1
    assert len(server.requests) == 24
    server.key = "another"
    shown.append(ask(server, *given, "--samples", 3))
    assert "Incorrect API key provided: [key]" in complaint(shown[-1])
    assert not any(KEY in one.output for one in shown)
    assert not any(KEY.encode() in path.read_bytes() for path in tmp_path.iterdir())
    monkeypatch.delenv("OTHER_KEY")
    assert "the environment has no variable OTHER_KEY" in complaint(ask(server, *given))


def test_an_interrupted_run_is_gone_on_with(
    serve: Serve, ask: Ask, ring: Path, prompts: Path, tokenizer: Path, tmp_path: Path
) -> None:
    path = tmp_path / "answers.jsonl"
    server = serve(Student(None))
    screen, terminal = pty.openpty()
    command = [sys.executable, "-m", "countermark", "distill", ring, prompts, "--out", path]
    options = ["--endpoint", server.url, "--model", "m", "--concurrency", 2]
    with subprocess.Popen(
        [str(word) for word in [*command, *options, "--tokenizer", tokenizer]],
        stdout=subprocess.PIPE,
        stderr=terminal,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    ) as child:
        os.close(terminal)
        while len(server.requests) < 4:
            time.sleep(0.001)
        server.wait = 60.0
        time.sleep(0.3)
        child.send_signal(signal.SIGINT)
        out, _ = child.communicate(timeout=30)  # whatever the server does
    shown = os.read(screen, 100_000).decode()
    os.close(screen)
    assert child.returncode == 130
    assert out == b""
    assert re.search(r"asking, [\d,]+ tokens, no look yet", shown)
    kept = asked_of(path)
    assert f"keeps {len(kept)} answers; the same command goes on" in " ".join(shown.split())
    assert 2 <= len(kept) < 12
    asked = len(server.requests)
    server.wait = 0
    assert ask(server).exit_code == 1
    assert asked_of(path) == [(n, 0) for n in range(12)]
    assert len(server.requests) == asked + 12 - len(kept)


# What to ask


def test_prompts_can_be_chats(serve: Serve, ask: Ask, tmp_path: Path) -> None:
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello?"}]
    asked = tmp_path / "prompts.jsonl"
    asked.write_text(json.dumps({"messages": chat, "id": "greeting"}) + "\n\n")
    server = serve(Student(None))
    assert ask(server, asked=asked).exit_code == 1
    assert server.requests[0]["messages"] == chat
    (line,) = lines_of(tmp_path / "answers.jsonl")
    assert line["messages"] == chat
    assert line["id"] == "greeting"
    message = complaint(ask(server, "--completions", "--out", tmp_path / "b", asked=asked))
    assert "prompt 0 (greeting) is a chat" in message
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "is no prompt"),
        ("[]", "it must be an object"),
        ("{}", 'it must have "prompt" or "messages"'),
        ('{"prompt": 5}', '"prompt" must be a string'),
        ('{"prompt": "\\ud800"}', "surrogates"),
        ('{"prompt": "A?", "id": "\\ud800"}', "surrogates"),
        ('{"messages": []}', '"messages" must be a list'),
        ('{"messages": [{"role": "user"}]}', 'must have "content"'),
        ('{"messages": [{"content": ""}]}', 'with "role"'),
    ],
)
def test_a_prompt_that_is_none_is_named(
    serve: Serve, ask: Ask, tmp_path: Path, line: str, says: str
) -> None:
    asked = tmp_path / "prompts.jsonl"
    asked.write_text('{"prompt": "A?"}\n' + line + "\n")
    server = serve(Student(None))
    message = complaint(ask(server, asked=asked))
    assert f"{asked}:2 is no prompt" in message
    assert says in message
    assert server.requests == []


def test_a_prompt_that_is_copied_does_not_count(serve: Serve, ask: Ask, ring: Path) -> None:
    def copying(body: str) -> str:
        return str(re.findall(r"'content': '(.*?)'", body)[-1]) * 20

    said = found(ask(serve(Student(ring), say=copying), "--json"), 1)
    assert said["texts"] == 12
    # But for the context where the copy begins anew.
    assert said["positions"] < 12 * 20 * 4


def test_what_does_not_go_together_is_told(
    serve: Serve, ring: Path, prompts: Path, tokenizer: Path, tmp_path: Path
) -> None:
    server = serve(Student(None))
    corpus = tmp_path / "text.txt"
    corpus.write_text("Some text.")
    to = ["--out", tmp_path / "a"]
    url = ["--endpoint", server.url]
    for args, says in (
        ([prompts, *to, *url], "--endpoint needs --model"),
        ([prompts, *to, *url, "--model", "m", "--suspect", "s"], "not both"),
        ([prompts, *to, "--model", "m"], "go with --endpoint"),
        ([prompts, *to, "--key-variable", "K"], "go with --endpoint"),
        ([prompts, *to, *url, "--model", "m", "--chat"], "--chat is for a --suspect"),
        ([prompts, *url, "--model", "m"], "give --out"),
        ([*to, *url, "--model", "m"], "give PROMPTS"),
        ([*to, "--read", corpus], "--read needs --suspect"),
        ([*to, "--read", corpus, "--suspect", "s"], "leave PROMPTS and --out out"),
        (["--read", corpus, "--suspect", "s", "--control", corpus], "--control takes answers"),
        (["--read", corpus, "--suspect", "s", "--tokenizer", "t"], "suspect's own tokenizer"),
        (["--read", tmp_path / "no", "--suspect", "s"], "No such file"),
        ([*to, "--served"], "--served says"),
        ([*to, "--html", to[1]], "different files"),
        ([*to, "--control", to[1]], "different files"),
        ([*to, "--weights", "reference"], "needs --reference"),
        ([*to, "--weights", "most_powerful"], "needs --reference"),
        ([*to, "--reference", corpus], "is for --weights reference and most_powerful"),
        ([*to, "--weights", "reference", "--reference", "-"], "standard input"),
        ([*to, "--rate", 0.9], "--rate must be in (0, 0.5]"),
        ([*to, "--rate", 1e-9, "--stop-at", 1e-6], "--stop-at must be at most"),
        ([prompts, *to, *url, "--model", "m", "--top-p", 0], "--top-p must be in (0, 1]"),
        ([prompts, *to, "--endpoint", "localhost:80", "--model", "m"], "must be the URL"),
        (
            [prompts, *to, "--endpoint", f"http://me:{KEY}@localhost/v1", "--model", "m"],
            "no name, password or query",
        ),
        ([*to, "--tokenizer", tokenizer], "No such file"),
        ([prompts, *to, *url, "--model", "m", "--html", prompts], "cannot write"),
        ([prompts, *to, *url, "--model", "m", "--tokenizer", "story"], "is for the tokenizer"),
        ([prompts, *to, *url, "--model", "m"], "give it with --tokenizer"),
    ):
        message = complaint(run(ring, *args))
        assert says in message
        assert KEY not in message
        assert not (tmp_path / "a").exists()
    assert server.requests == []


def test_an_endpoint_needs_the_package_openai(
    ask: Ask, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    assert "pip install 'countermark[distill]'" in complaint(ask(serve(Student(None))))


def test_run_is_what_distill_does() -> None:
    shown = run("--help")
    assert shown.exit_code == 0
    assert re.search(r"^  run ", shown.stdout, re.MULTILINE)
    assert "distill" in command_line.run("--help").stdout
    assert run("run", "--help").stdout == run("keys.json", "--help").stdout
    assert "--endpoint" in run("run", "--help").stdout
    assert "Missing argument 'RING'" in complaint(run("run"))
    assert "give --out" in complaint(run("keys.json"))
    assert "give --out" in complaint(run("--json", "keys.json"))


# Pages


def test_the_page_shows_the_evidence_and_escapes_what_was_said(
    serve: Serve, ask: Ask, ring: Path, tmp_path: Path
) -> None:
    evil = "<script>alert('x')</script> & \"quotes\" </div>"
    asked = tmp_path / "prompts.jsonl"
    asked.write_text("".join(json.dumps({"prompt": f"{evil} {n}"}) + "\n" for n in range(12)))
    control, page = tmp_path / "control.jsonl", tmp_path / "page.html"
    other = serve(Student(None))
    assert ask(other, "--out", control, "--model", "<i>known</i>").exit_code == 1
    student = Student(ring)
    numbers = itertools.count()
    server = serve(student, say=lambda body: evil + student.answer(next(numbers)))
    options = ["--control", control, "--html", page, "--stop-at", 0, "--model", "<b>sus</b>"]
    shown = ask(server, *options, asked=asked)
    assert shown.exit_code == 0, shown.output
    assert f"Wrote {page}" in shown.stderr
    assert f"Control <i>known</i> at {other.url} (control.jsonl): not shown: p = " in shown.stdout
    said = found(ask(None, *options[:2], "--json", asked=None), 0)
    assert [one["verdict"] for one in said["controls"]] == ["not_shown"]
    assert said["controls"][0]["texts"] == 12
    assert said["controls"][0]["looks"][0]["log10_p"] > -4

    text = page.read_text()
    for tag in ("<script", "<b>sus", "<i>known", "</div> "):
        assert tag not in text
    assert text.count(html.escape(evil)) == 6
    words = " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())
    for word in (
        "Was it trained on our answers? <b>sus</b> at",
        "learned: p",
        "What it does not",
        f"endpoint {server.url}",
        "max_tokens 256, temperature 1.0, top_p 1.0",
        "12 answers of 6,000 tokens in answers.jsonl",
        "weights log",
        "Grey: the controls.",
        "This key ranks 1 of 10.",
        "over the draw of the key",
        "Learned means: trained on text that this key marked, or on text copied from such text.",
        "holds whenever one stops",
        "Profiles tried",
    ):
        assert word in words, word
    assert text.count("<polyline class=control") == 1
    assert text.count("<polyline class=line") == 1
    assert text.count("<circle class=decoy") == 9
    assert len(re.findall(r"<circle class=line-look", text)) == len(said["looks"])


def test_a_control_that_shows_it_too_speaks_against_the_verdict(
    serve: Serve, ask: Ask, ring: Path, tmp_path: Path
) -> None:
    control, page = tmp_path / "control.jsonl", tmp_path / "page.html"
    for to in (control, tmp_path / "answers.jsonl"):
        assert ask(serve(Student(ring)), "--out", to).exit_code == 0
    shown = ask(None, "--control", control, "--html", page)
    assert shown.exit_code == 0
    assert "Do not rely on this verdict: the control" in shown.stdout
    assert "<div class=warning" in page.read_text()


@pytest.mark.parametrize("by_key", [False, True])
def test_the_curve_ends_where_the_test_does(ring: Path, by_key: bool) -> None:
    keys, student, other = cm.KeyRing.open(ring), Student(ring), Student(None)
    ledger = cm.Ledger(keys, "prod", contexts=50_000) if by_key else None
    test = cm.DistillationTest(keys, "prod", ledger, sequential=True, decoys=0)
    for n in range(40):
        ids = [*other.ids(n, TOKENS - 7), *student.ids(n, 7)]
        if ledger:
            ledger.add_response(ids)
        test.add_answer([], ids)
        result = test.result()
        case = report.Case(keys.profile("prod"), -6.0, by_key, report.Inquiry("it", {}, result), [])
        curve = case.curve(case.suspect)
        assert [at for at, _ in curve] == [look.positions for look in result.looks]
        if curve:
            assert curve[-1][1] == pytest.approx(result.log10_p, abs=1e-9)
    assert len(curve) > 3
    assert -30 < result.log10_p < -1
    page = report.render_distillation("A title", case)
    assert ("multiplied its stake" in page) == by_key
    assert "This key among others" not in page


# A transformers model


@pytest.fixture(scope="module")
def tiny(folder: Path) -> Path:
    return save_tiny_model(folder / "tiny")


def test_a_transformers_model_is_asked_batch_by_batch(
    ring: Path, prompts: Path, tiny: Path, tmp_path: Path
) -> None:
    path = tmp_path / "answers.jsonl"
    long = tmp_path / "prompts.jsonl"
    some = [*PROMPTS[:3], "x" * 250, "Go on: "]
    long.write_text("".join(json.dumps({"prompt": p}) + "\n" for p in some))
    given: list[object] = [
        ring,
        long,
        "--out",
        path,
        "--suspect",
        tiny,
        "--max-tokens",
        20,
        "--decoys",
        3,
    ]
    given += ["--concurrency", 2]
    shown = run(*given, "--json")
    said = found(shown, 1)
    assert said["suspect"] == {"model": str(tiny), "interface": "completions"}
    assert said["failed"] == 1
    assert "prompt 3 got no answer: 250 tokens" in shown.stderr
    assert asked_of(path) == [(n, 0) for n in (0, 1, 2, 4)]
    assert {line["tokens"] for line in lines_of(path)} == {20}
    # Another process must not draw the same.
    assert run(*given, "--samples", 2).exit_code == 1
    texts = [line["text"] for line in lines_of(path)]
    assert len(set(texts)) == len(texts) == 8
    greedy = [*given, "--out", tmp_path / "greedy", "--temperature", 0, "--samples", 2]
    assert run(*greedy).exit_code == 1
    texts = [line["text"] for line in lines_of(tmp_path / "greedy")]
    assert len(set(texts)) <= 4
    assert "has no chat template" in complaint(run(*given, "--chat", "--out", tmp_path / "c"))


def test_padding_does_not_change_what_a_model_says(tiny: Path) -> None:
    model = CausalModel(str(tiny))
    for weights in model._model.parameters():  # so small that all but the last token is forgotten
        weights.data *= 20
    options = {"max_tokens": 12, "temperature": 0.0, "top_p": 1.0}
    asked = [model.encode(text, chat=False) for text in ("A", "A longer prompt than that")]
    together = model.sample(asked, **options)  # type: ignore[arg-type]
    assert together == [model.sample([ids], **options)[0] for ids in asked]  # type: ignore[arg-type]


class Knower:
    """Expects every token of a text that is there."""

    asked: ClassVar[list[int]] = []

    def proxy(self) -> Callable[[list[int]], Iterator[Any]]:
        def rows(ids: list[int]) -> Iterator[Any]:
            self.asked.append(len(ids))
            for i in range(0, len(ids), 100):
                some = ids[i : i + 100]
                chunk = np.full((len(some), 300), 0.1 / 256)  # wider than the vocabulary
                chunk[np.arange(len(some)), some] += 0.8
                yield chunk

        return rows


def test_predictions_are_read(
    ring: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    student = Student(ring)
    logs, page = tmp_path / "logs.jsonl", tmp_path / "page.html"
    bad = ['{"id": 1}', '{"token_ids": [5, 256]}', '{"token_ids": []}']
    lines = [json.dumps({"token_ids": student.ids(n, TOKENS)}) for n in range(20)]
    logs.write_text("\n".join([lines[0], *bad, *lines[1:]]) + "\n")
    given = [ring, "--suspect", tiny, "--read", logs, "--decoys", 9]
    shown = run(*given, "--json", "--budget", 1000)
    said = found(shown, 1)
    assert said["tokens"] == 1000
    assert said["ended"] == "budget"
    assert said["failed"] == 3
    assert said["answers"] is None
    assert f"{logs}:3: token 1 is 256, and the suspect has ids 0..255" in shown.stderr
    assert f"{logs}:2: there is neither" in shown.stderr

    monkeypatch.setattr(CausalModel, "knower", lambda self: Knower())
    said = found(run(*given, "--served", "--json", "--html", page), 0)
    assert said["ended"] == "decided"
    assert said["log10_p"] == -said["log10_e"] <= -6
    assert said["settings"]["served"]
    # What came after a response, too: the token that ended it is seldom in the logs.
    assert set(Knower.asked) == {0, TOKENS + 1}
    assert "which were served" in page.read_text()
    assert "3 texts failed" in run(*given, "--served").stdout
