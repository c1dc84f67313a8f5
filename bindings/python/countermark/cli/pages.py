"""Where the pages for people go."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path

from countermark._errors import CountermarkError

_BEGIN = b"<!doctype html"


def check_page(path: Path, inputs: Iterable[Path] = ()) -> None:
    """Raise unless a page can go to ``path``: to a new file, or in place of an earlier page.

    The ``inputs`` are kept even where they are pages.
    """
    try:
        if any(path.exists() and file.exists() and path.samefile(file) for file in inputs):
            raise _cannot_write(path, "it is what the command reads")
        folder = path.resolve().parent
        if path.exists():
            if not path.is_file():
                raise _cannot_write(path, "it is not a file")
            with path.open("rb") as file:
                if file.read(len(_BEGIN)).lower() != _BEGIN:
                    raise _cannot_write(path, "the file there is no HTML page")
        elif not folder.is_dir():
            raise _cannot_write(path, f"there is no folder {folder}")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise _cannot_write(path, f"nothing can be written to {folder}")
    except OSError as error:
        raise _cannot_write(path, error.strerror) from error


def write_page(path: Path, page: str) -> None:
    """Put ``page`` at ``path``, all of it or nothing."""
    target = path.resolve()  # a link goes on pointing at the page
    made = target.with_name(f".countermark-{secrets.token_hex(8)}.html")
    try:
        try:
            with made.open("x", encoding="utf-8", errors="backslashreplace") as file:
                file.write(page)
            if target.exists():
                shutil.copymode(target, made)
            made.replace(target)
        finally:
            made.unlink(missing_ok=True)
    except OSError as error:
        raise _cannot_write(path, error.strerror) from error


def _cannot_write(path: Path, why: str | None) -> CountermarkError:
    return CountermarkError(f"cannot write {path}: {why}", "file_failure")
