"""Changing a key ring file without losing anything."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from countermark._core import KeyRing
from countermark.cli.console import note
from countermark.cli.locks import taking_turns

_PRIVATE = 0o600


@contextmanager
def changing(path: Path, *, create: bool = False) -> Iterator[KeyRing]:
    """Open the ring at ``path``, and save it where the block ends well.

    Two commands at once wait for each other. With ``create`` a ring that does not exist is made.
    """
    with taking_turns(path) as path:
        ring = KeyRing.generate() if create and not path.exists() else KeyRing.open(path)
        yield ring
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else _PRIVATE
        ring.save(path)
        if mode != _PRIVATE:
            note(f"{path} had mode {mode:04o} and has {_PRIVATE:04o} now: you alone can read it.")
