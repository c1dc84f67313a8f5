"""``countermark report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from countermark import report as pages
from countermark._errors import CountermarkError
from countermark.cli.app import app
from countermark.cli.console import note, out, progress
from countermark.cli.detect import fail, show
from countermark.cli.detectors import open_bench
from countermark.cli.options import AsIds, Calibrations, Json, Keys, Profiles, Rate, TokenizerPath
from countermark.cli.pages import check_page, write_page
from countermark.cli.texts import name_of, read_input


@app.command()
def report(
    keys: Keys,
    to: Annotated[Path, typer.Option("--out", metavar="OUT.html", help="Where the page goes.")],
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE]...", help="Texts in UTF-8; none or - is standard input."),
    ] = None,
    profile: Profiles = None,
    tokenizer: TokenizerPath = None,
    rate: Rate = 1e-6,
    ids: AsIds = False,
    calibration: Calibrations = None,
    decoys: Annotated[
        int,
        typer.Option(min=1, max=100_000, metavar="N", help="Decoy keys to rank the key among."),
    ] = 99,
    title: Annotated[str | None, typer.Option(help="The page's title.")] = None,
    as_json: Json = False,
) -> None:
    """Write one self-contained page about texts: what is marked in them, and how sure that is.

    Exits as detect does.
    """
    names = files or ["-"]
    if "" in names:
        raise CountermarkError("a FILE is empty: give a path, or - for standard input")
    check_page(to, [keys, *(Path(name) for name in names if name != "-")])
    bench = open_bench(keys, profile, tokenizer, rate=rate, ids=ids, calibrations=calibration)
    exhibits: list[pages.Exhibit] = []
    any_failed = False
    with progress("examining", len(names), hidden=out.is_terminal) as ticker:
        for file in names:
            try:
                readings = read_input(file, None if ids else bench.tokenizer, bench.profiles)
                exhibit = pages.examine(name_of(file), readings, bench.detector, decoys=decoys)
            except (CountermarkError, OSError) as error:
                any_failed = True
                fail(file, error, as_json)
            else:
                exhibits.append(exhibit)
                found = {"file": name_of(file), "tokens": len(exhibit.detection.token_scores)}
                show(
                    found,
                    exhibit.detection,
                    as_json,
                    changes=exhibit.changes,
                    rank=exhibit.decoys,
                )
            ticker.advance()
    if exhibits:
        name = exhibits[0].title if len(exhibits) == 1 else f"{len(exhibits)} texts"
        write_page(to, pages.render(title or f"Is it marked? {name}", exhibits, bench.profiles))
        if not as_json:
            note(f"Wrote {to}")
    any_marked = any(e.detection.verdict == "marked" for e in exhibits)
    raise typer.Exit(2 if any_failed else 0 if any_marked else 1)
