"""Ledgers on disk, which several programs may write to."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.filesize import decimal

from countermark._core import KeyRing, Ledger
from countermark._errors import CountermarkError
from countermark.cli.locks import taking_turns
from countermark.cli.pages import check_place

_BYTES_A_CONTEXT = 2
_RATE_WHEN_FULL = 0.01


@dataclass(frozen=True)
class LedgerFile:
    """Where a ledger of one profile lies."""

    ring: KeyRing
    profile: str
    path: Path

    def open(self) -> Ledger:
        """Read what is there."""
        return Ledger.open(self.ring, self.profile, self.path)

    def create(self, contexts: int) -> Ledger:
        """Write an empty one. Raises CountermarkError where there is a file already."""
        ledger = Ledger(self.ring, self.profile, contexts=contexts)
        with taking_turns(self.path) as path:
            if path.exists():
                raise CountermarkError(
                    f"cannot write {self.path}: there is a file already", "file_failure"
                )
            ledger.save(path)
        return ledger

    def save(self, ledger: Ledger) -> None:
        """Put it in place, with what others have put there since it was opened."""
        with taking_turns(self.path) as path:
            if path.exists():
                ledger.merge(self.open())
            ledger.save(path)

    @contextmanager
    def taking_in(self) -> Iterator[Ledger]:
        """Open it, or make it, and save what samplers of the block have written to it.

        Also where the block ends by an error: what was served was served.
        """
        check_place(self.path, [], lambda _: True, "")
        is_new = not self.path.exists()
        ledger = Ledger(self.ring, self.profile) if is_new else self.open()
        try:
            yield ledger
        except BaseException as error:
            _let_go(error)
            if ledger.contexts > 0:
                self.save(ledger)
            raise
        gc.collect()  # a sequence writes when it goes
        self.save(ledger)


def describe_ledger(ledger: Ledger) -> list[str]:
    """Say how much it holds, and what is wrong with that."""
    facts = ledger_facts(ledger)
    lines = [
        f"about {facts['contexts']:,} contexts, made for {facts['room']:,} in "
        f"{decimal(facts['bytes'])}; false positive rate {facts['false_positive_rate']:.2g}"
    ]
    if facts["is_overfull"]:
        lines.append(
            f"It is fuller than it was made for (a rate of {_RATE_WHEN_FULL:g}): no context is "
            "lost, but a test by it looks at more that was never served. Make one for more "
            "contexts, and add the logs to it."
        )
    return lines


def ledger_facts(ledger: Ledger) -> dict[str, Any]:
    """Return all that can be told of a ledger."""
    return {
        "contexts": round(ledger.contexts),
        "room": ledger.bytes // _BYTES_A_CONTEXT,
        "bytes": ledger.bytes,
        "false_positive_rate": ledger.false_positive_rate,
        "is_overfull": ledger.false_positive_rate > _RATE_WHEN_FULL,
    }


def _let_go(error: BaseException | None) -> None:
    """Let go of the sequences that the functions held on to which the error has ended."""
    while error:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
    gc.collect()
