"""Reading a corpus text by text, without holding it."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from countermark._errors import CountermarkError
from countermark.cli.console import note
from countermark.cli.texts import files_in, name_of, read_text, standard_input

_ROWS = 256  # read from Parquet at once
_COLUMNS = ("text", "token_ids", "id", "account")


@dataclass(frozen=True)
class Document:
    """One text of a corpus, or its tokens."""

    place: str
    """Where it stands: a file, and its line or row."""
    id: str
    content: dict[str, Any]
    """With "text" or "token_ids"; what else there is, is left alone."""


@dataclass(frozen=True)
class Unreadable:
    """What could not be read, and why."""

    place: str
    error: CountermarkError | OSError


def import_pyarrow() -> Any:
    """Return pyarrow with its parquet. Raises CountermarkError where it is missing."""
    try:
        importlib.import_module("pyarrow.parquet")
        return importlib.import_module("pyarrow")
    except ImportError as error:
        raise CountermarkError(
            f"Parquet files need pyarrow: pip install 'countermark[parquet]' ({error})"
        ) from error


def require_corpus(paths: Iterable[str]) -> None:
    """Raise unless there is something at every path: else it would show after hours."""
    for path in paths:
        if path == "":
            raise CountermarkError("a CORPUS is empty: give a path, or - for standard input")
        if path != "-":
            Path(path).stat()
        if path.endswith(".parquet"):
            import_pyarrow()


def read_corpus(paths: Iterable[str]) -> Iterator[Document | Unreadable]:
    """Yield every text of some files and folders, or what is wrong where one should be.

    A .jsonl or .parquet file, and standard input ("-", JSON lines), hold objects with ``text`` or
    ``token_ids``, and perhaps ``id`` and ``account``; any other file is one text. Without an id a
    text is called by its file, and its line or row, counted from 1.
    """
    for path in paths:
        if path == "-":
            yield from _lines(name_of(path), standard_input())
            continue
        for file in files_in(Path(path)):
            try:
                yield from _documents(file)
            except (CountermarkError, OSError) as error:
                if Path(path).is_dir() and file.suffix not in (".jsonl", ".parquet"):
                    note(f"Left out: {file}, which holds no text")  # a picture among the texts
                else:
                    yield Unreadable(str(file), error)


def _documents(file: Path) -> Iterator[Document | Unreadable]:
    if file.suffix == ".jsonl":
        with file.open("rb") as lines:
            yield from _lines(str(file), lines)
    elif file.suffix == ".parquet":
        yield from _rows(file)
    else:
        yield _document(str(file), {"text": read_text(str(file))})


def _lines(name: str, lines: Iterable[bytes]) -> Iterator[Document | Unreadable]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place = f"{name}:{number}"
        try:
            content = json.loads(line.decode())
            if not isinstance(content, dict):
                raise ValueError("it must be an object")
        except (ValueError, RecursionError) as error:
            wrong = f"{place} is no JSON object: {error}"
            yield Unreadable(place, CountermarkError(wrong, "invalid_encoding"))
            continue
        yield _document(place, content)


def _rows(file: Path) -> Iterator[Document | Unreadable]:
    pyarrow = import_pyarrow()
    number = 0
    try:
        with pyarrow.parquet.ParquetFile(file) as table:
            columns = [c for c in _COLUMNS if c in table.schema_arrow.names]
            if not {"text", "token_ids"} & set(columns):
                raise CountermarkError(
                    f'{file} has neither a column "text" nor "token_ids"', "invalid_encoding"
                )
            for batch in table.iter_batches(batch_size=_ROWS, columns=columns):
                for content in batch.to_pylist():
                    number += 1
                    yield _document(f"{file}:{number}", content)
    except (pyarrow.ArrowException, OSError) as error:
        where = f"{file} after row {number}" if number else f"{file}"
        raise CountermarkError(f"cannot read {where}: {error}", "invalid_encoding") from error


def _document(place: str, content: dict[str, Any]) -> Document:
    id = content.get("id")
    return Document(place, place if id is None else str(id), content)
