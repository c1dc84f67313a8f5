"""Where files that are written go: to new places, or in place of earlier ones of their kind."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from countermark._errors import CountermarkError

_BEGIN = b"<!doctype html"


def check_page(path: Path, inputs: Iterable[Path] = ()) -> None:
    """Raise unless a page can go to ``path``: to a new file, or in place of an earlier page.

    The ``inputs`` are kept even where they are pages.
    """
    check_place(path, inputs, _is_page, "the file there is no HTML page")


def check_place(
    path: Path, inputs: Iterable[Path], is_earlier: Callable[[Path], bool], else_: str
) -> None:
    """Raise unless a file can go to ``path``: to a new place, or where it ``is_earlier``.

    ``else_`` says what is wrong with another file there. The ``inputs`` are kept.
    """
    try:
        if any(path.exists() and file.exists() and path.samefile(file) for file in inputs):
            raise _cannot_write(path, "it is what the command reads")
        folder = path.resolve().parent
        if path.exists():
            if not path.is_file():
                raise _cannot_write(path, "it is not a file")
            if not is_earlier(path):
                raise _cannot_write(path, else_)
        elif not folder.is_dir():
            raise _cannot_write(path, f"there is no folder {folder}")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise _cannot_write(path, f"nothing can be written to {folder}")
    except OSError as error:
        raise _cannot_write(path, error.strerror) from error


def write_page(path: Path, page: str) -> None:
    """Put ``page`` at ``path``, all of it or nothing."""
    with replacing(path) as made, made.open("w", encoding="utf-8", errors="backslashreplace") as to:
        to.write(page)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Let the block write another file, which takes the place of ``path`` where it ends well."""
    target = path.resolve()  # a link goes on pointing at the file
    made = target.with_name(f".countermark-{secrets.token_hex(8)}{target.suffix}")
    try:
        try:
            yield made
            if target.exists():
                shutil.copymode(target, made)
            made.replace(target)
        finally:
            made.unlink(missing_ok=True)
    except OSError as error:
        raise _cannot_write(path, error.strerror or str(error)) from error


def _is_page(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_BEGIN)).lower() == _BEGIN


def _cannot_write(path: Path, why: str | None) -> CountermarkError:
    return CountermarkError(f"cannot write {path}: {why}", "file_failure")
