"""What goes to stdout and to stderr."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

_PIPE_WIDTH = 400  # what another program reads does not wrap


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Let the command line see it; rich would exit with 1, which says "not marked"."""
        raise


out = _Console(
    width=None if sys.stdout.isatty() else _PIPE_WIDTH,
    highlight=False,
    markup=False,
    emoji=False,
    soft_wrap=True,
)
err = _Console(highlight=False, markup=False, emoji=False, soft_wrap=True, stderr=True)

STYLES = {
    "marked": "bold green",
    "not_marked_by_these_keys": "bold",
    "insufficient": "bold yellow",
    "account": "bold green",
    "no_account": "bold",
    "learned": "bold green",
    "not_shown": "bold",
}


def complain(message: object) -> None:
    """Print one line on stderr: what went wrong."""
    with suppress(OSError):  # the exit status says it too
        print("countermark:", " ".join(str(message).split()), file=sys.stderr)


def program() -> str:
    """Return what to type to run this program again."""
    if shutil.which("countermark"):
        return "countermark"
    if Path(sys.argv[0]).name == "countermark":
        return shlex.quote(sys.argv[0])
    return f"{shlex.quote(sys.executable)} -m countermark"


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

    def reach(self, done: int, total: int) -> None:
        """Have done ``done`` of ``total`` steps."""
        self._bar.update(self._task, completed=done, total=total)

    def say(self, what: str) -> None:
        """Name what is being done."""
        self._bar.update(self._task, description=what)

    def make_way(self) -> None:
        """Show nothing more if stdout is a terminal, which would show both in one place."""
        if out.is_terminal:
            self._bar.stop()


@contextmanager
def progress(
    what: str, total: int | None = None, *, unit: str = "", hidden: bool = False
) -> Iterator[Ticker]:
    """Show progress on stderr while the block runs, if a person is looking.

    Without a ``total`` it counts the ``unit``. A block that prints to stdout hides it where that
    is a terminal too.
    """
    columns: list[ProgressColumn] = [TextColumn("{task.description}", markup=False), BarColumn()]
    if total is not None:
        columns += [TaskProgressColumn(), TimeRemainingColumn()]
    elif unit:
        columns.append(TextColumn("{task.completed:,.0f} " + unit))
    with Progress(
        *columns,
        console=err,
        transient=True,
        redirect_stdout=False,  # else what is printed goes to stderr
        disable=hidden or not err.is_terminal,
    ) as bar:
        yield Ticker(bar, what, total)
