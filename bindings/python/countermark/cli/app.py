"""The application, and what becomes of errors."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from countermark._core import __version__
from countermark._errors import CountermarkError
from countermark.cli.console import complain


class _Commands(TyperGroup):
    """Every error is one line on stderr and exit status 2."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        arguments = list(sys.argv[1:] if args is None else args) or ["--help"]
        try:
            status = self._run(arguments, extra)
            sys.stdout.flush()
            sys.exit(status)
        except BrokenPipeError:
            sys.exit(141)
        except CountermarkError as error:
            complain(error)
        except OSError as error:
            complain(f"{error.filename}: {error.strerror}" if error.filename else error)
        except Exception as error:
            # Usage errors have no public type that old and new typer share.
            message = getattr(error, "format_message", None)
            complain(message() if message else f"unexpected {type(error).__name__}: {error}")
        sys.exit(2)

    def _run(self, arguments: list[str], extra: dict[str, Any]) -> int:
        # Not by way of typer's own main, which turns a broken pipe into exit status 1.
        try:
            with self.make_context("countermark", arguments, **extra) as context:
                self.invoke(context)
        except typer.Exit as end:
            return end.exit_code
        return 0


app = typer.Typer(
    cls=_Commands,
    name="countermark",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"countermark {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Mark what a model samples, and find the mark in any text.

    Every command takes --json and then prints one JSON object for each result, and nothing else.
    """
