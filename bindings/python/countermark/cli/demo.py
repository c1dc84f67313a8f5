"""``countermark demo``."""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import Annotated

import typer
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from countermark import demo as showcase
from countermark import report
from countermark.cli.app import app
from countermark.cli.console import STYLES, out, print_json, program, progress
from countermark.cli.options import Json
from countermark.cli.pages import check_page, write_page

_CHARACTERS_SHOWN = 900
_NOTABLE = 2.0  # one token in seven scores as much without the mark


@app.command()
def demo(
    html: Annotated[
        Path, typer.Option(metavar="PATH", help="Where the page with all texts goes.")
    ] = Path("countermark-demo.html"),
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Decides the key, the stories and the edits. Default: a new one each time.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Mark an answer, find it, damage it, find it again; leave an HTML page with it all."""
    check_page(html)
    if seed is None:
        seed = secrets.randbelow(10**6)
    with progress("telling two stories", 1000) as ticker:
        shown = showcase.run(seed, ticker.advance)
    page = report.render(
        "What a mark survives",
        shown.exhibits,
        [shown.profile],
        f"Made by countermark demo with seed {seed}: the embedded story model, its answers as "
        f"they came. The human text is from {shown.human_source}.",
    )
    write_page(html, page)
    if as_json:
        print_json(
            {
                "seed": seed,
                "human_text": shown.human_source,
                "html": str(html),
                "rows": [_row(exhibit) for exhibit in shown.exhibits],
            }
        )
        return
    answer = _coloured(shown.exhibits[0])
    answer.truncate(_CHARACTERS_SHOWN, overflow="ellipsis")
    out.print(
        Panel(answer, title="a marked answer, from its beginning", title_align="left"),
        soft_wrap=False,
        width=min(out.width, 80),
    )
    out.print(_table(shown), soft_wrap=False)
    out.print(f"human text: {shown.human_source}", style="dim")
    name = program()
    out.print(f"seed:       {seed} ({name} demo --seed {seed} shows this again)", style="dim")
    out.print(f"page:       {html}")
    out.print(f"next:       {name} keygen keys.json --profile mine --tokenizer story")
    out.print(f"            {name} generate --keys keys.json --profile mine > answer.txt")
    out.print(f"            {name} detect --keys keys.json answer.txt")


def _coloured(exhibit: report.Exhibit) -> Text:
    """Return the text on one line, in green where the key would hardly have it by chance."""
    text = Text()
    for piece in report.segments(len(exhibit.text), exhibit.spans, exhibit.detection.token_scores):
        characters = re.sub(r"\s+", " ", exhibit.text[piece.begin : piece.end])
        text.append(characters, "green" if piece.score and piece.score >= _NOTABLE else None)
    return text


def _table(shown: showcase.Demo) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("text")
    table.add_column("scored", justify="right")
    table.add_column("by chance")
    table.add_column("verdict")
    for exhibit in shown.exhibits:
        detection = exhibit.detection
        verdict = "marked" if detection.verdict == "marked" else report.headline(detection)
        table.add_row(
            exhibit.title,
            str(detection.scored),
            report.one_in(detection.log10_p),
            Text(verdict, STYLES[detection.verdict]),
        )
    return table


def _row(exhibit: report.Exhibit) -> dict[str, object]:
    detection = exhibit.detection
    return {
        "what": exhibit.title,
        "scored": detection.scored,
        "log10_p": detection.log10_p,
        "verdict": detection.verdict,
        "text": exhibit.text,
    }
