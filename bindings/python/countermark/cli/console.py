"""What goes to stdout and to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

_PIPE_WIDTH = 400  # what another program reads does not wrap

out = Console(
    width=None if sys.stdout.isatty() else _PIPE_WIDTH,
    highlight=False,
    markup=False,
    emoji=False,
    soft_wrap=True,
)
err = Console(highlight=False, markup=False, emoji=False, soft_wrap=True, stderr=True)

STYLES = {
    "marked": "bold green",
    "not_marked_by_these_keys": "bold",
    "insufficient": "bold yellow",
}


def complain(message: object) -> None:
    """Print one line on stderr: what went wrong."""
    print("countermark:", " ".join(str(message).split()), file=sys.stderr)


def note(message: str) -> None:
    """Print a remark on stderr."""
    err.print(message, style="dim")


def print_json(value: dict[str, Any]) -> None:
    """Print one JSON object on one line."""
    print(json.dumps(value, ensure_ascii=False, allow_nan=False), flush=True)


class Ticker:
    """Counts steps towards an end; shown on a terminal, silent elsewhere."""

    def __init__(self, bar: Progress, what: str, total: int | None) -> None:
        self._bar = bar
        self._task = bar.add_task(what, total=total)

    def advance(self, steps: int = 1) -> None:
        """Count ``steps`` more."""
        self._bar.advance(self._task, steps)

    def say(self, what: str) -> None:
        """Name what is being done."""
        self._bar.update(self._task, description=what)


@contextmanager
def progress(what: str, total: int | None = None, *, hidden: bool = False) -> Iterator[Ticker]:
    """Show progress on stderr while the block runs, if a person is looking.

    A block that prints to stdout hides it where that is a terminal too.
    """
    columns = [
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    ]
    with Progress(
        *columns, console=err, transient=True, disable=hidden or not err.is_terminal
    ) as bar:
        yield Ticker(bar, what, total)
