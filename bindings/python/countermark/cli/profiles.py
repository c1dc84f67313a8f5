"""``countermark profiles``."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.table import Table

from countermark._core import KeyRing, Profile
from countermark.cli.app import app
from countermark.cli.console import out, print_json
from countermark.cli.options import Json, Ring
from countermark.cli.rings import changing

_PURPOSES = {(32768, 0): "balanced", (65536, 0): "distillation", (0, 0): "provenance"}


@app.command()
def profiles(
    ring: Ring,
    retire: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Retire a profile: it detects, and marks nothing new."),
    ] = None,
    export: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Print a profile's JSON, which can be published."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the profiles of RING."""
    if retire is not None:
        with changing(ring) as keys:
            keys.retire(retire)
    else:
        keys = KeyRing.open(ring)
    if export is not None:
        print(keys.profile(export).to_json())
    elif as_json:
        for profile in keys.profiles:
            print_json(json.loads(profile.to_json()))
    elif keys.profiles:
        out.print(_table(keys.profiles), soft_wrap=False)
    else:
        out.print("no profiles")


def _table(found: list[Profile]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("profile", "status", "accounts", "purpose", "mark", "tokenizer", "key"):
        table.add_column(name, overflow="fold", no_wrap=name == "key")
    for profile in found:
        table.add_row(
            profile.id,
            profile.status,
            "yes" if profile.accounts else "no",
            _purpose(profile),
            profile.mark,
            profile.tokenizer["name"] if profile.tokenizer else "any",
            profile.key_id,
            style="dim" if profile.status == "retired" else None,
        )
    return table


def _purpose(profile: Profile) -> str:
    """Name the preset that the parameters follow."""
    if profile.commitment is None:
        return "engine's"
    units = profile.parameters["narrow_units"], profile.parameters["free_units"]
    return _PURPOSES.get(units, "own")
