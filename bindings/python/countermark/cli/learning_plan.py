"""``countermark distill plan``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Annotated, Any

import typer
from rich.table import Table

from countermark._core import DistillationTest
from countermark._errors import CountermarkError
from countermark.cli.console import out, print_json
from countermark.cli.detectors import open_profile
from countermark.cli.distill import group
from countermark.cli.options import ALL_UNITS, Json, Rate, open_ring
from countermark.report.numbers import count

_SHARES = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0)
_MOST_TOKENS = 1e11


@dataclass(frozen=True)
class Learning:
    """How the evidence of the students in docs/distillation.md grew: fitted to their tests.

    ``z``, in standard deviations, is ``at[width] * share ** by_share * (tokens / 250,000) **
    by_tokens`` for a mark that is all narrow and whose tokens score ``SCORE`` on average.
    """

    at: dict[int, float]
    by_share: float
    by_tokens: float

    SCORE = 2.24
    TOKENS = 250_000

    def z(self, width: int, share: float, tokens: float, strength: float) -> float:
        """Return how far from chance so many tokens of answers are expected to be."""
        grown = math.pow(share, self.by_share) * math.pow(tokens / self.TOKENS, self.by_tokens)
        return self.at[width] * strength * grown

    def tokens(self, width: int, share: float, z: float, strength: float) -> float:
        """Return how many tokens of answers bring ``z``."""
        alone = self.z(width, share, self.TOKENS, strength)
        return self.TOKENS * math.exp(math.log(z / alone) / self.by_tokens)


# tools/distillation/tables.py prints them.
_LEARNING = {
    "log": Learning({1: 31.3, 2: 20.4, 3: 7.4, 4: 3.9}, by_share=1.18, by_tokens=0.19),
    "reference": Learning({1: 49.9, 2: 36.6, 3: 19.3, 4: 8.9}, by_share=1.05, by_tokens=0.30),
}


@group.command()
def plan(
    keys: Annotated[
        Path | None,
        typer.Option(
            "--keys",
            envvar="COUNTERMARK_KEYS",
            metavar="RING",
            help="Take the narrow layer's width and share from a profile of this ring.",
        ),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option("--profile", metavar="ID", help="Which; the only one if there is one."),
    ] = None,
    width: Annotated[
        int | None, typer.Option(min=1, max=4, metavar="N", help="A --narrow-width of keygen.")
    ] = None,
    units: Annotated[
        int | None,
        typer.Option(min=1, max=ALL_UNITS, metavar="N", help="A --narrow-units of keygen."),
    ] = None,
    score: Annotated[
        float,
        typer.Option(
            help="What a marked token scores on average, above 1: less where the model is sure of "
            "what it says. 2.24 is what the students of docs/distillation.md were taught with."
        ),
    ] = Learning.SCORE,
    share: Annotated[
        list[float] | None,
        typer.Option(
            metavar="S",
            help="Of the suspect's training texts that were marked, in (0, 1]; can be repeated.",
        ),
    ] = None,
    tokens: Annotated[
        int | None,
        typer.Option(
            min=1000, metavar="N", help="Say what so many tokens of answers would show, too."
        ),
    ] = None,
    rate: Rate = 1e-6,
    as_json: Json = False,
) -> None:
    """Say how many tokens of a suspect's answers show that it learned from marked ones.

    An order of magnitude, from small students that were trained from nothing: larger ones learn
    more from each answer, and those trained on less of everything else less.
    """
    if keys is None and profile is not None:
        raise CountermarkError("--profile needs --keys: the ring that it is in")
    if not score > 1 or math.isinf(score):
        raise CountermarkError(f"--score must be above 1, what unmarked tokens score: {score:g}")
    if not 0 < rate <= 0.5:
        raise CountermarkError(f"--rate must be in (0, 0.5], got {rate:g}")
    shares = share or list(_SHARES)
    for one in shares:
        if not 0 < one <= 1:
            raise CountermarkError(f"--share must be in (0, 1], got {one:g}")
    if keys is not None:
        if width is not None or units is not None:
            raise CountermarkError("give --keys or the layer's --width and --units, not both")
        width, units = _layer_of(keys, profile)
    width, units = width or 2, units or ALL_UNITS
    strength = math.sqrt(units / ALL_UNITS) * (score - 1) / (Learning.SCORE - 1)
    rows = [_row(one, width, strength, rate, tokens) for one in shares]
    if as_json:
        for row in rows:
            print_json({**row, "width": width, "units": units, "score": score, "rate": rate})
        return
    out.print(
        f"Tokens of answers for p = {rate:g}, where the narrow layer has width {width} and "
        f"{units / ALL_UNITS:.0%} of the contexts, and a marked token scores {score:g}:"
    )
    out.print(_table(rows, tokens), soft_wrap=False)
    out.print(
        "log needs nothing beside the answers; reference, the answers of a model trained alike on "
        "unmarked text. An order of magnitude: docs/distillation.md says where it is from."
    )


def _layer_of(keys: Path, profile_id: str | None) -> tuple[int, int]:
    profile = open_profile(open_ring(keys), keys, profile_id)
    if profile.commitment is None:
        raise CountermarkError(f"{profile.id} is another engine's mark, which has no narrow layer")
    units = int(profile.parameters["narrow_units"])
    if units == 0:
        raise CountermarkError(f"{profile.id} has no narrow layer: nothing of it is learned")
    return int(profile.parameters["narrow_width"]), units


def _row(
    share: float, width: int, strength: float, rate: float, tokens: int | None
) -> dict[str, Any]:
    z = -NormalDist().inv_cdf(rate)
    row: dict[str, Any] = {"share": share}
    for weights, learning in _LEARNING.items():
        needed = max(DistillationTest.positions_at(0), learning.tokens(width, share, z, strength))
        row[f"tokens_{weights}"] = round(needed) if needed < _MOST_TOKENS else None
        if tokens is not None:
            expected = learning.z(width, share, tokens, strength)
            row[f"log10_p_{weights}"] = _log10_p(expected)
    return row


def _log10_p(z: float) -> float:
    """Return log10 of the normal tail, by its first term where it is small."""
    if z < 5:
        return math.log10(0.5 * math.erfc(z / math.sqrt(2)))
    return (-0.5 * z * z - math.log(z * math.sqrt(2 * math.pi))) / math.log(10)


def _table(rows: list[dict[str, Any]], tokens: int | None) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("marked", justify="right")
    for weights in _LEARNING:
        table.add_column(f"by {weights}", justify="right")
    if tokens is not None:
        for weights in _LEARNING:
            table.add_column(f"p after {count(tokens, 'token')}, {weights}", justify="right")
    for row in rows:
        cells = [_tokens(row[f"tokens_{weights}"]) for weights in _LEARNING]
        if tokens is not None:
            cells += [f"10^{row[f'log10_p_{weights}']:.1f}" for weights in _LEARNING]
        table.add_row(f"{row['share']:.0%}", *cells)
    return table


def _tokens(needed: int | None) -> str:
    if needed is None:
        return "out of reach"
    digits = max(0, len(str(needed)) - 2)
    return f"{round(needed, -digits):,}"
