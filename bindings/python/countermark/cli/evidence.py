"""The files of accounts that a corpus holds evidence for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from countermark._core import ScreeningResult
from countermark.cli.account_tables import AccountTable


def _texts(pa: Any) -> Any:
    text = {"id": pa.string(), "log10_e": pa.float64(), "scored": pa.int64()}
    return pa.list_(pa.struct(text.items()))


_TABLE = AccountTable(
    "earlier screening",
    {"is_discovered": lambda pa: pa.bool_(), "log10_e": lambda pa: pa.float64(), "texts": _texts},
)


def check_evidence(path: Path, inputs: Iterable[Path]) -> None:
    """Raise unless the evidence can go to ``path``, which says by its suffix in which format."""
    _TABLE.check(path, inputs)


def write_evidence(path: Path, result: ScreeningResult, names: Mapping[int, str]) -> None:
    """Put a row for each account at ``path``, all of them or nothing; ``names`` are the texts'."""
    _TABLE.write(path, _rows(result, names))


def _rows(result: ScreeningResult, names: Mapping[int, str]) -> Iterator[dict[str, Any]]:
    for evidence in result.accounts:
        texts = [
            {"id": names[text.text], "log10_e": text.log10_e, "scored": text.scored}
            for text in evidence.texts
        ]
        values = (evidence.account, evidence.is_discovered, evidence.log10_e, texts)
        yield dict(zip(_TABLE.names, values, strict=True))
