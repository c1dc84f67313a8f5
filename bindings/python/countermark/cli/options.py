"""Options that several commands share, and how to open what they name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from countermark._core import KeyRing
from countermark._errors import CountermarkError
from countermark.story import story_tokenizer
from countermark.tokenizers import Tokenizer

ALL_UNITS = 65536
"""The units that the layers share."""

Keys = Annotated[
    Path,
    typer.Option("--keys", envvar="COUNTERMARK_KEYS", metavar="RING", help="The key ring file."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
TokenizerPath = Annotated[
    str | None,
    typer.Option(
        "--tokenizer",
        metavar="PATH|story",
        help="The model's tokenizer: a tokenizer.json, SentencePiece or tiktoken file, a folder "
        "with one, or the word story for the embedded model's.",
    ),
]
Profiles = Annotated[
    list[str] | None,
    typer.Option("--profile", metavar="ID", help="Try this profile only; can be repeated."),
]
Rate = Annotated[
    float, typer.Option(help="Probability of calling an unmarked text marked; at most 0.5.")
]
Calibrations = Annotated[
    list[Path] | None,
    typer.Option(
        "--calibration",
        metavar="FILE",
        help="What 'calibrate' measured; RING.ID.calibration is used unasked.",
    ),
]
AsIds = Annotated[bool, typer.Option("--ids", help="The input is token ids.")]
Start = Annotated[
    Literal["unknown", "response"] | None,
    typer.Option(
        help="The text is one response, from anywhere in it or whole. Without it nothing is "
        "assumed: edited texts, and texts of which a part is marked, are tried too."
    ),
]
Temperature = Annotated[
    float, typer.Option(help="With --model: what the text was probably sampled at.")
]
TopP = Annotated[float, typer.Option(help="The same.")]
Accounts = Annotated[
    Path,
    typer.Option(
        "--accounts",
        metavar="ACCOUNTS",
        help="The accounts to search: one decimal id a line, or a .npy file of uint64.",
    ),
]
AccountsProfile = Annotated[
    str | None,
    typer.Option(
        "--profile", metavar="ID", help="Whose accounts; the only profile that has any, if one has."
    ),
]
KeyProfile = Annotated[
    str | None,
    typer.Option("--profile", metavar="ID", help="Whose key; the only one if there is one."),
]
Index = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="What 'accounts index' made of ACCOUNTS; ACCOUNTS.index is used unasked.",
    ),
]
AccusationRate = Annotated[
    float,
    typer.Option(
        help="Probability of accusing any account if a text owes nothing to the keys of all; at "
        "most 0.5."
    ),
]
Threads = Annotated[int, typer.Option(min=0, max=1024, metavar="N", help="0: one for each core.")]
Ring = Annotated[Path, typer.Argument(metavar="RING", help="The key ring file.")]


def open_ring(path: Path) -> KeyRing:
    """Open the key ring that ``--keys`` names."""
    if path == Path():
        raise CountermarkError("--keys is empty: give the path of a key ring", "file_failure")
    return KeyRing.open(path)


def load_tokenizer(path: str) -> Tokenizer:
    """Read the tokenizer that ``--tokenizer`` names."""
    return story_tokenizer() if path == "story" else Tokenizer.load(os.path.expanduser(path))
