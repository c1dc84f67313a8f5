"""``countermark calibrate``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

from countermark import report
from countermark._core import Calibration
from countermark._errors import CountermarkError
from countermark.cli.app import app
from countermark.cli.console import note, out, print_json, progress
from countermark.cli.detectors import calibration_path, open_profile, tokenizer_for
from countermark.cli.options import Json, KeyProfile, Keys, TokenizerPath, open_ring
from countermark.cli.pages import check_page, write_page
from countermark.cli.texts import files_in, read_text


@app.command()
def calibrate(
    keys: Keys,
    documents: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...",
            help="Unmarked text of the kind to come: files, folders of them, or .jsonl files with "
            'one {"text": ...} a line.',
        ),
    ],
    profile: KeyProfile = None,
    tokenizer: TokenizerPath = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="Default: RING.ID.calibration, where detect looks."
        ),
    ] = None,
    common_in: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="An n-gram that so many documents share is not scored; 0: one in a thousand, at "
            "least 4.",
        ),
    ] = 0,
    html: Annotated[
        Path | None, typer.Option(metavar="OUT.html", help="Write a page with plots.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure what a key does on unmarked text, so that its error rates hold for it too.

    Repeat it when the key, its parameters or the kind of text changes.
    """
    if html:
        check_page(html, [keys, *documents])
    ring = open_ring(keys)
    its_profile = open_profile(ring, keys, profile)
    path = to or calibration_path(keys, its_profile.id)
    _check(path)
    reader = tokenizer_for(its_profile, tokenizer)
    texts: list[npt.NDArray[np.int32]] = []
    with progress("reading", unit="documents") as ticker:
        for text in _documents(documents):
            texts.append(reader.encode(text))
            ticker.advance()
    with progress("measuring"):
        calibration = Calibration.build(ring, its_profile.id, texts, common_in=common_in)
    calibration.save(path)
    if html:
        write_page(html, report.render_calibration(calibration, its_profile))
    if as_json:
        print_json(_summary(calibration, path))
        return
    for line in report.explain_calibration(calibration):
        out.print(line)
    note(f"Wrote {path}" + (f" and {html}" if html else ""))


def _check(path: Path) -> None:
    """Raise unless a calibration can go to ``path``: to a new file, or in place of an earlier."""
    if path.exists():
        try:
            Calibration.open(path)
        except CountermarkError as error:
            raise CountermarkError(
                f"cannot write {path}: what is there is no calibration", "file_failure"
            ) from error
    elif not path.resolve().parent.is_dir():
        raise CountermarkError(
            f"cannot write {path}: there is no folder {path.resolve().parent}", "file_failure"
        )


def _documents(paths: list[Path]) -> Iterator[str]:
    for path in paths:
        for file in files_in(path):
            try:
                text = read_text(str(file))
            except CountermarkError:
                if path.is_dir():  # a picture among the texts
                    note(f"Left out: {file}, which holds no text")
                    continue
                raise
            if file.suffix == ".jsonl":
                yield from _lines(file, text)
            else:
                yield text


def _lines(file: Path, text: str) -> Iterator[str]:
    for number, line in enumerate(text.split("\n"), 1):  # other ends of lines may be in a text
        if not line.strip():
            continue
        try:
            found: object = json.loads(line)["text"]
        except (ValueError, KeyError, TypeError):
            found = None
        if not isinstance(found, str):
            raise CountermarkError(f'{file}:{number} is no object with "text"', "invalid_encoding")
        yield found


def _summary(calibration: Calibration, path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(calibration.to_json())
    found["common_ngrams"] = calibration.common_ngrams
    return {"file": str(path), **found}
