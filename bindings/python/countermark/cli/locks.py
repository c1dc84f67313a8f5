"""Commands that change one file take turns."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def taking_turns(path: Path) -> Iterator[Path]:
    """Wait for others that change a file beside ``path``; yield where the file itself lies."""
    path = path.resolve()  # a link goes on pointing at the file
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield path
    finally:
        os.close(folder)
