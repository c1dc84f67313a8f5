"""Files of account ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from countermark._errors import CountermarkError

_MAGIC = b"\x93NUMPY"
_END = 2**64
_DIGITS = 20  # of the largest id
_SHOWN = 40


def index_beside(path: Path) -> Path:
    """Return where the index of a file of accounts lies: beside it."""
    return path.with_name(f"{path.name}.index")


def read_accounts(path: Path) -> npt.NDArray[np.integer]:
    """Read decimal ids, one a line, or map a .npy file of integers into memory.

    Raises CountermarkError where an id is none, with its line, or OSError.
    """
    with path.open("rb") as file:
        is_array = file.read(len(_MAGIC)) == _MAGIC
        file.seek(0)
        ids = _array(path) if is_array else np.fromiter(_numbers(path, file), dtype=np.uint64)
    if not len(ids):
        raise CountermarkError(f"{path} holds no account id", "invalid_accounts")
    return ids


def account_of(value: object) -> int:
    """Read the account of a response: a number, or its decimal digits, as programs write them."""
    if isinstance(value, str) and value.isascii() and _is_id(value.encode()):
        return int(value)
    if type(value) is int and 0 <= value < _END:
        return value
    shown = str(value) if type(value) is int else repr(value)
    raise CountermarkError(
        '"account" must be a number from 0 to 2^64 - 1, or its decimal digits, got '
        f"{shown[:_SHOWN]}",
        "invalid_accounts",
    )


def _is_id(word: bytes) -> bool:
    return word.isdigit() and len(word) <= _DIGITS and int(word) < _END


def _numbers(path: Path, lines: Iterable[bytes]) -> Iterator[int]:
    for number, line in enumerate(lines, 1):
        word = line.strip()
        if number == 1:
            word = word.removeprefix(b"\xef\xbb\xbf")
        if not word:
            continue
        if not _is_id(word):
            shown = word[:_SHOWN].decode(errors="replace")
            raise CountermarkError(
                f"{path}:{number} is no account id: {shown!r}; give one decimal number from 0 to "
                "2^64 - 1 a line, or a .npy file of uint64",
                "invalid_accounts",
            )
        yield int(word)


def _array(path: Path) -> npt.NDArray[np.integer]:
    try:
        ids: npt.NDArray[np.integer] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise CountermarkError(f"{path} is no .npy file: {error}", "invalid_accounts") from error
    if ids.ndim != 1 or ids.dtype.kind not in "ui":
        raise CountermarkError(
            f"{path} must hold a one-dimensional array of uint64, it holds {ids.dtype} of "
            f"{ids.ndim} dimensions",
            "invalid_accounts",
        )
    if ids.dtype.kind == "i" and len(ids) and (least := int(ids.min())) < 0:
        row = int(np.argmin(ids))
        raise CountermarkError(
            f"{path}: row {row} is {least}, and ids are 0 or more", "invalid_accounts"
        )
    return ids
