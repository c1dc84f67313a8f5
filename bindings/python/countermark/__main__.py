"""The command ``countermark``."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import signal
import sys

_FAILED, _INTERRUPTED = 2, 130


def main() -> None:
    """Run the command line and exit.

    0 is well, 1 is the "no" of ``detect`` and ``selftest`` and nothing else, 2 an error, 130 an
    interruption, and 141 a reader of the output that went away.
    """
    try:
        status = _run()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else _FAILED
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        status = _fail("interrupted", _INTERRUPTED)
    except Exception as error:
        status = _fail(f"unexpected {type(error).__name__}: {error}")
    _let_go()
    sys.exit(status)


def _run() -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None where the shell closed it
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - lives as long as the process
    if sys.stdout is None:
        return _fail("standard output is closed")
    missing = [name for name in ("typer", "rich") if importlib.util.find_spec(name) is None]
    if missing:
        return _fail(f"the command line needs {' and '.join(missing)}: pip install typer rich")
    from countermark.cli import app

    app()
    return 0


def _fail(message: str, status: int = _FAILED) -> int:
    with contextlib.suppress(OSError):
        print("countermark:", " ".join(message.split()), file=sys.stderr)
    return status


def _let_go() -> None:
    """Keep Python from failing, as it exits, over output that nobody takes."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, AttributeError):
            with contextlib.suppress(OSError, AttributeError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


if __name__ == "__main__":
    main()
