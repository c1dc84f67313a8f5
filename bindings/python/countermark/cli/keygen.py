"""``countermark keygen``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from countermark._core import Profile
from countermark.cli.app import app
from countermark.cli.console import note, out, print_json
from countermark.cli.options import Json, Ring, TokenizerPath, load_tokenizer
from countermark.cli.rings import changing


def _number(metavar: str, help: str) -> Any:
    # The library knows the bounds of each parameter, but takes no more than 32 bits.
    return typer.Option(min=0, max=2**31 - 1, metavar=metavar, help=help)


Purpose = Literal["balanced", "distillation", "provenance"]


@app.command()
def keygen(
    ring: Ring,
    profile: Annotated[
        str, typer.Option("--profile", metavar="ID", help="Name of the new profile.")
    ],
    purpose: Annotated[Purpose, typer.Option(help="Preset of the parameters.")] = "balanced",
    accounts: Annotated[
        bool, typer.Option("--accounts", help="Let the wide layer say which account.")
    ] = False,
    tokenizer: TokenizerPath = None,
    narrow_width: Annotated[int, _number("1-4", "Tokens of context of the narrow layer.")] = 2,
    wide_width: Annotated[int, _number("1-4", "Tokens of context of the wide layer.")] = 4,
    narrow_units: Annotated[int | None, _number("N", "Narrow contexts out of 65536.")] = None,
    free_units: Annotated[int | None, _number("N", "Unmarked contexts out of 65536.")] = None,
    free_prefix: Annotated[
        int | None, _number("N", "Tokens at the start that are drawn freely.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Draw a secret and add a profile for it to RING, which is made if it does not exist.

    Nothing that RING holds is changed or lost. The secret lies in RING alone: no command prints it.
    """
    loaded = load_tokenizer(tokenizer) if tokenizer else None
    with changing(ring, create=True) as keys:
        made = keys.create_profile(
            profile,
            purpose=purpose,
            accounts=accounts,
            narrow_width=narrow_width,
            wide_width=wide_width,
            narrow_units=narrow_units,
            free_units=free_units,
            free_prefix=free_prefix,
            tokenizer=loaded,
        )
    show_made(made, ring, as_json)
    if not as_json:
        out.print(
            f"{'secret':<11} in {ring}, readable by you alone; back it up, and never publish it"
        )


def show_made(made: Profile, ring: Path, as_json: bool) -> None:
    """Say what was added to a ring, and what may be wrong with it."""
    if as_json:
        print_json({"ring": str(ring), "profile": json.loads(made.to_json())})
        return
    for name, value in describe(made).items():
        out.print(f"{name:<11} {value}")
    if made.warning:
        note(f"{made.mark} is {made.warning}.")
    if made.tokenizer is None:
        note("No --tokenizer given: text tokenised with a wrong one will go unnoticed.")


def describe(profile: Profile) -> dict[str, Any]:
    """Return what a person wants to know of a profile, by name."""
    tokenizer = profile.tokenizer
    return {
        "profile": f"{profile.id} ({profile.status})",
        "mark": profile.mark,
        "parameters": " ".join(f"{k}={v}" for k, v in profile.parameters.items()),
        "tokenizer": f"{tokenizer['name']} {tokenizer['fingerprint']}" if tokenizer else "any",
        "key": profile.key_id,
    }
