"""``countermark selftest``."""

from __future__ import annotations

from dataclasses import asdict

import typer
from rich.table import Table
from rich.text import Text

from countermark import selftest as checks
from countermark.cli.app import app
from countermark.cli.console import out, print_json, progress
from countermark.cli.options import Json

_STYLES = {"ok": "green", "failed": "bold red", "skipped": "yellow"}


@app.command()
def selftest(as_json: Json = False) -> None:
    """Check this installation: frozen vectors, marking, detection, tokenizers.

    Exits with 0 if nothing failed, else with 1.
    """
    with progress("testing") as ticker:
        made = checks.run(ticker.say)
    passed = all(check.outcome != "failed" for check in made)
    if as_json:
        print_json({"passed": passed, "checks": [asdict(check) for check in made]})
    else:
        table = Table(box=None, pad_edge=False, show_header=False)
        for check in made:
            table.add_row(check.name, Text(check.outcome, _STYLES[check.outcome]), check.detail)
        out.print(table, soft_wrap=False)
        out.print("everything holds" if passed else "this installation must not be used")
    raise typer.Exit(0 if passed else 1)
