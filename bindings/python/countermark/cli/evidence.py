"""The files of accounts that a corpus holds evidence for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from countermark._core import ScreeningResult
from countermark._errors import CountermarkError
from countermark.cli.corpora import import_pyarrow
from countermark.cli.pages import check_place, replacing

_COLUMNS = ["account", "is_discovered", "log10_e", "texts"]


def check_evidence(path: Path, inputs: Iterable[Path]) -> None:
    """Raise unless the evidence can go to ``path``, which says by its suffix in which format."""
    if path.suffix not in (".parquet", ".jsonl"):
        raise CountermarkError(f"cannot write {path}: its name must end in .parquet or .jsonl")
    is_earlier = _is_lines
    if path.suffix == ".parquet":
        import_pyarrow()
        is_earlier = _is_parquet
    check_place(path, inputs, is_earlier, "the file there is no earlier screening")


def write_evidence(path: Path, result: ScreeningResult, names: Mapping[int, str]) -> None:
    """Put a row for each account at ``path``, all of them or nothing; ``names`` are the texts'."""
    with replacing(path) as made:
        if path.suffix == ".parquet":
            _write_parquet(made, list(_rows(result, names)))
        else:
            with made.open("w", encoding="utf-8", errors="backslashreplace") as lines:
                for row in _rows(result, names):
                    # As text: many readers take numbers for doubles, and an id for another one.
                    row["account"] = str(row["account"])
                    lines.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")


def _rows(result: ScreeningResult, names: Mapping[int, str]) -> Iterator[dict[str, Any]]:
    for evidence in result.accounts:
        texts = [
            {"id": names[text.text], "log10_e": text.log10_e, "scored": text.scored}
            for text in evidence.texts
        ]
        values = (evidence.account, evidence.is_discovered, evidence.log10_e, texts)
        yield dict(zip(_COLUMNS, values, strict=True))


def _write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    pa = import_pyarrow()
    text = {"id": pa.string(), "log10_e": pa.float64(), "scored": pa.int64()}
    kinds = (pa.uint64(), pa.bool_(), pa.float64(), pa.list_(pa.struct(text.items())))
    schema = pa.schema(zip(_COLUMNS, kinds, strict=True))
    pa.parquet.write_table(pa.Table.from_pylist(rows, schema), path)


def _is_lines(path: Path) -> bool:
    with path.open("rb") as lines:
        try:
            first = lines.readline()
            return not first or list(json.loads(first)) == _COLUMNS
        except (ValueError, TypeError, RecursionError):
            return False


def _is_parquet(path: Path) -> bool:
    pa = import_pyarrow()
    try:
        return bool(pa.parquet.read_schema(path).names == _COLUMNS)
    except (pa.ArrowException, OSError):
        return False
