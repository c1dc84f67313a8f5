"""Files with a row for each account: JSON lines or Parquet."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from countermark._errors import CountermarkError
from countermark.cli.corpora import import_pyarrow
from countermark.cli.pages import check_place, replacing


@dataclass(frozen=True)
class AccountTable:
    """What such files hold beside the account."""

    what: str
    """What an earlier file of the kind is called."""
    columns: Mapping[str, Callable[[Any], Any]]
    """Their names, and pyarrow's types of them."""

    @property
    def names(self) -> list[str]:
        """All columns."""
        return ["account", *self.columns]

    def check(self, path: Path, inputs: Iterable[Path]) -> None:
        """Raise unless rows can go to ``path``, which says by its suffix in which format."""
        if path.suffix not in (".parquet", ".jsonl"):
            raise CountermarkError(f"cannot write {path}: its name must end in .parquet or .jsonl")
        is_earlier = self._is_lines
        if path.suffix == ".parquet":
            import_pyarrow()
            is_earlier = self._is_parquet
        check_place(path, inputs, is_earlier, f"the file there is no {self.what}")

    def write(self, path: Path, rows: Iterable[dict[str, Any]]) -> None:
        """Put the rows at ``path``, all of them or nothing."""
        with replacing(path) as made:
            if path.suffix == ".parquet":
                self._write_parquet(made, list(rows))
            else:
                with made.open("w", encoding="utf-8", errors="backslashreplace") as lines:
                    for row in rows:
                        # As text: many readers take numbers for doubles, and an id for another one.
                        row["account"] = str(row["account"])
                        lines.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")

    def _write_parquet(self, path: Path, rows: list[dict[str, Any]]) -> None:
        pa = import_pyarrow()
        kinds = [pa.uint64(), *(kind(pa) for kind in self.columns.values())]
        schema = pa.schema(zip(self.names, kinds, strict=True))
        pa.parquet.write_table(pa.Table.from_pylist(rows, schema), path)

    def _is_lines(self, path: Path) -> bool:
        with path.open("rb") as lines:
            try:
                first = lines.readline()
                return not first or list(json.loads(first)) == self.names
            except (ValueError, TypeError, RecursionError):
                return False

    def _is_parquet(self, path: Path) -> bool:
        pa = import_pyarrow()
        try:
            return bool(pa.parquet.read_schema(path).names == self.names)
        except (pa.ArrowException, OSError):
            return False
