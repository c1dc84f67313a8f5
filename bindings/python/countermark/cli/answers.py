"""A file of a suspect's answers: JSON lines that are only ever appended to."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from countermark._errors import CountermarkError
from countermark.cli.console import note
from countermark.cli.prompts import Content, content_of

FORMAT = "countermark.answers/1"
_BEGIN = json.dumps({"format": FORMAT}).encode()[:-1]
_SYNC_EVERY = 1.0  # seconds
_FIRST = 3


@dataclass(frozen=True)
class Answer:
    """One answer to one prompt."""

    prompt: int
    """The prompt's number."""
    sample: int
    """Which of its answers, from 0."""
    id: str
    """The prompt's."""
    content: Content
    """What was asked."""
    text: str
    finish_reason: str | None
    tokens: int

    def line(self) -> bytes:
        """Return it as a line of the file."""
        asked = "prompt" if isinstance(self.content, str) else "messages"
        fields = {
            "number": self.prompt,
            "sample": self.sample,
            "id": self.id,
            asked: self.content,
            "text": self.text,
            "finish_reason": self.finish_reason,
            "tokens": self.tokens,
        }
        return json.dumps(fields, ensure_ascii=False).encode() + b"\n"


@dataclass
class AnswersFile:
    """An open file of answers, which no other run writes to meanwhile."""

    path: Path
    file: BinaryIO
    header: dict[str, Any]
    asked: set[tuple[int, int]] = field(default_factory=set)
    """Prompt and sample of every answer read or appended."""
    tokens: int = 0
    """Of all these answers."""
    first: list[Answer] = field(default_factory=list)
    """The first ones that say anything."""
    _synced: float = 0.0

    @classmethod
    @contextmanager
    def open(cls, path: Path, given: dict[str, Any]) -> Iterator[AnswersFile]:
        """Read what there is. Raises CountermarkError while a run appends to it.

        Also where its header says otherwise than what is ``given``.
        """
        with path.open("rb") as file:
            _lock(file, fcntl.LOCK_SH, path)
            answers = cls(path, file, _header_of(path, file))
            answers._require(given)
            yield answers

    @classmethod
    @contextmanager
    def resume(cls, path: Path, given: dict[str, Any]) -> Iterator[AnswersFile]:
        """Begin a file whose header says what is ``given``, or go on with one.

        A last line that was not written to its end is cut off. Raises CountermarkError where
        another run has the file, or it holds something else.
        """
        with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0) as file:
            _lock(file, fcntl.LOCK_EX, path)
            _mend(path, file)
            is_new = not file.seek(0, os.SEEK_END)
            if is_new:
                _write(path, file, json.dumps({"format": FORMAT, **given}).encode() + b"\n")
            answers = cls(path, file, _header_of(path, file))
            answers._require(given)
            try:
                yield answers
            finally:
                os.fsync(file.fileno())

    def read(self) -> Iterator[Answer]:
        """Yield the answers that there are, in their order; once, before any is appended."""
        places: dict[tuple[int, int], int] = {}
        for number, line in enumerate(_lines(self.file), 1):
            if not line.endswith(b"\n") and not _is_whole(line):
                note(f"Left out: line {number} of {self.path}, which was not written to its end")
                break
            if number == 1:
                continue
            answer = self._parse(line, number)
            place = answer.prompt, answer.sample
            if place in places:
                raise CountermarkError(
                    f"{self.path}:{number} answers prompt {answer.prompt}, sample "
                    f"{answer.sample}, as line {places[place]} did: every answer may count only "
                    "once",
                    "invalid_encoding",
                )
            places[place] = number
            self._count(answer)
            yield answer

    def append(self, answer: Answer) -> None:
        """Write an answer to the end, whole; to the disk at least once a second of answers."""
        self.file.seek(0, os.SEEK_END)
        _write(self.path, self.file, answer.line())
        self._count(answer)
        if time.monotonic() - self._synced >= _SYNC_EVERY:
            os.fsync(self.file.fileno())
            self._synced = time.monotonic()

    def _require(self, given: dict[str, Any]) -> None:
        there = {key: self.header.get(key) for key in given}
        if different := list(_differences(there, given)):
            raise CountermarkError(
                f"{self.path} holds answers that were asked for otherwise: "
                f"{'; '.join(different)}. Give what is there, or another --out"
            )

    def _count(self, answer: Answer) -> None:
        self.asked.add((answer.prompt, answer.sample))
        self.tokens += answer.tokens
        if answer.text and len(self.first) < _FIRST:
            self.first.append(answer)

    def _parse(self, line: bytes, number: int) -> Answer:
        try:
            content = json.loads(line)
            if not isinstance(content, dict):
                raise ValueError("it must be an object")
            counts = [content.get(key) for key in ("number", "sample", "tokens")]
            if any(type(n) is not int or n < 0 for n in counts):
                raise ValueError('"number", "sample" and "tokens" must be counts')
            if not isinstance(content.get("text"), str):
                raise ValueError('"text" must be a string')
            return Answer(
                content["number"],
                content["sample"],
                str(content.get("id")),
                content_of(content),
                content["text"],
                content.get("finish_reason"),
                content["tokens"],
            )
        except (ValueError, RecursionError) as error:
            raise CountermarkError(
                f"{self.path}:{number} is no answer: {error}", "invalid_encoding"
            ) from error


def _lock(file: BinaryIO, kind: int, path: Path) -> None:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise CountermarkError(
            f"another run has {path}: wait for it, or give another file", "file_failure"
        ) from error


def _mend(path: Path, file: BinaryIO) -> None:
    """Cut off what a run that died left of its last line."""
    number, end, last = 0, 0, b""
    for line in _lines(file):
        if not number and line[: len(_BEGIN)] != _BEGIN[: len(line)]:
            raise _no_answers(path)  # and nothing of it is cut off
        number, end, last = number + 1, end + len(line), line
    if not last or last.endswith(b"\n"):
        return
    if _is_whole(last):  # but for the end of the line
        file.seek(end)
        _write(path, file, b"\n")
        return
    file.truncate(end - len(last))
    note(f"Cut off: line {number} of {path}, which was not written to its end")


def _lines(file: BinaryIO) -> Iterator[bytes]:
    file.seek(0)
    with open(file.fileno(), "rb", closefd=False) as lines:
        yield from lines


def _is_whole(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _header_of(path: Path, file: BinaryIO) -> dict[str, Any]:
    try:
        header = json.loads(next(_lines(file), b""))
        if isinstance(header, dict) and header.pop("format", None) == FORMAT:
            return header
    except (ValueError, RecursionError):
        pass
    raise _no_answers(path)


def _no_answers(path: Path) -> CountermarkError:
    return CountermarkError(
        f"{path} holds no answers: its first line is not that of {FORMAT}", "unsupported_format"
    )


def _differences(there: dict[str, Any], given: dict[str, Any], of: str = "") -> Iterator[str]:
    for key in [*given, *(key for key in there if key not in given)]:
        a, b = there.get(key), given.get(key)
        name = f"{of} {key}".strip()
        if isinstance(a, dict) and isinstance(b, dict):
            yield from _differences(a, b, name)
        elif a != b:
            yield f"{name} {json.dumps(a)} there, {json.dumps(b)} now"


def _write(path: Path, file: BinaryIO, data: bytes) -> None:
    try:
        while data:
            data = data[file.write(data) :]
    except OSError as error:
        raise CountermarkError(f"cannot write {path}: {error.strerror}", "file_failure") from error
