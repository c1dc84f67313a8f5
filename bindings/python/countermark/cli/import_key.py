"""``countermark import``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from countermark._errors import CountermarkError
from countermark.cli.app import app
from countermark.cli.keygen import show_made
from countermark.cli.keys import read_key
from countermark.cli.options import Json, Ring, TokenizerPath, load_tokenizer
from countermark.cli.rings import changing

_RESERVED = {"id", "mark", "key", "config", "tokenizer"}

KeyFile = Annotated[
    str | None,
    typer.Option(
        "--key-file",
        metavar="FILE",
        help="The key: numbers, or hexadecimal digits after 0x, with white space between several; "
        "- is standard input.",
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="The engine's own configuration: vLLM's or SGLang's --watermark-config, a "
        "generation_config.json, TextSeal's parameters.",
    ),
]


@app.command("import")
def import_key(
    ring: Ring,
    profile: Annotated[
        str, typer.Option("--profile", metavar="ID", help="Name of the new profile.")
    ],
    mark: Annotated[
        str | None, typer.Option(metavar="MARK", help="The engine's mark, such as vllm/gumbel-1.")
    ] = None,
    config: Config = None,
    key_file: KeyFile = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            "--parameter",
            "-p",
            metavar="NAME=VALUE",
            help="A parameter of the mark that is not the engine's default; can be repeated.",
        ),
    ] = None,
    tokenizer: TokenizerPath = None,
    as_json: Json = False,
) -> None:
    """Add another engine's key to RING, so that its marks are read, and can be made, here.

    Give the engine's configuration, or the mark and a file with the key. Nothing that RING holds is
    changed or lost.
    """
    loaded = load_tokenizer(tokenizer) if tokenizer else None
    key = read_key(key_file) if key_file else None
    with changing(ring, create=True) as keys:
        made = keys.import_engine_key(
            profile,
            mark,
            key,
            config=config,
            tokenizer=loaded,
            **_parameters(parameter or []),
        )
    show_made(made, ring, as_json)


def _parameters(given: list[str]) -> dict[str, Any]:
    """Read NAME=VALUE; a value that is no JSON is a word."""
    parameters: dict[str, Any] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name.isidentifier():
            raise CountermarkError(f"--parameter must be NAME=VALUE, got {one!r}")
        if name in _RESERVED:
            raise CountermarkError(f"{name} is no parameter of a mark: it has an option of its own")
        try:
            parameters[name] = json.loads(value)
        except ValueError:
            parameters[name] = value
    return parameters
