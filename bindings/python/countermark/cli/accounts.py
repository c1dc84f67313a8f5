"""``countermark accounts``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.filesize import decimal
from rich.table import Table

from countermark._core import (
    AccountPlan,
    Detector,
    _log10_gamma_tail,
    build_account_index,
    plan_accounts,
)
from countermark._errors import CountermarkError
from countermark.cli.account_ids import index_beside, read_accounts
from countermark.cli.app import app
from countermark.cli.console import note, out, print_json, progress
from countermark.cli.detectors import default_tokenizer, open_profile
from countermark.cli.options import (
    ALL_UNITS,
    AccountsProfile,
    AccusationRate,
    AsIds,
    Json,
    KeyProfile,
    Keys,
    Rate,
    Threads,
    TokenizerPath,
    load_tokenizer,
    open_ring,
)
from countermark.cli.texts import read_input
from countermark.cli.tracers import Registry
from countermark.report.numbers import count, power_of_ten

_UNITS = (8192, 16384, 24576, 32768, 40960, 49152, 57344)
_TYPICAL_SCORE = 1.5
_FREE_PREFIX = 24
_LOG10_SURE = -6.0  # that texts are marked, so that what they score is what a mark does

group = typer.Typer(
    name="accounts",
    help="Prepare to say whose a text is: an index of the accounts' keys, and how much text it "
    "takes.",
    rich_markup_mode=None,
)
app.add_typer(group)


@group.command()
def index(
    keys: Keys,
    accounts: Annotated[
        Path,
        typer.Argument(metavar="ACCOUNTS", help="One decimal id a line, or a .npy file of uint64."),
    ],
    profile: AccountsProfile = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="Default: ACCOUNTS.index, where trace and screen look."
        ),
    ] = None,
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Write the keys of ACCOUNTS to a file for trace and screen.

    They need not derive them then. Where the file is there already, the keys of accounts that were
    added to the end of ACCOUNTS since are appended. It is as secret as RING.
    """
    registry = Registry.find(keys, profile, accounts)
    path = to or index_beside(accounts)
    with progress("reading the accounts"):
        ids = read_accounts(accounts)
    is_new = not path.exists()
    with registry.watch.showing("deriving the keys"):
        added = build_account_index(
            registry.ring,
            registry.profile.id,
            ids,
            path,
            threads=threads,
            progress=registry.watch,
        )
    size = path.stat().st_size
    if as_json:
        made = {"file": str(path), "accounts": len(ids), "added": added, "bytes": size}
        print_json({**made, "profile": registry.profile.id})
        return
    what = "Wrote" if is_new else "Appended"
    out.print(
        f"{what} the keys of {count(added, 'account')} to {path}: {len(ids):,} now, {decimal(size)}"
    )
    note("It is as secret as the key ring: who has it can mark text for any account in it.")


@group.command()
def plan(
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TEXT]...",
            help="Marked responses, a file each: what their tokens score on average is measured.",
        ),
    ] = None,
    accounts: Annotated[
        int, typer.Option(min=1, max=2**63 - 1, metavar="N", help="How many will be searched.")
    ] = 1_000_000,
    rate: Rate = 1e-6,
    accusation_rate: AccusationRate = 1e-3,
    score: Annotated[
        float | None,
        typer.Option(
            help="What a marked token scores on average, above 1; 1.5 is typical of a moderate "
            "temperature. Or give texts."
        ),
    ] = None,
    units: Annotated[
        list[int] | None,
        typer.Option(
            min=0,
            max=ALL_UNITS,
            metavar="N",
            help="A --narrow-units of keygen, out of 65536; can be repeated.",
        ),
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(
            "--keys",
            envvar="COUNTERMARK_KEYS",
            metavar="RING",
            help="The key ring whose key marked the texts.",
        ),
    ] = None,
    profile: KeyProfile = None,
    tokenizer: TokenizerPath = None,
    ids: AsIds = False,
    as_json: Json = False,
) -> None:
    """Say how many tokens show whose a response is.

    The two layers share the tokens: what the narrow one has, which says "ours", the wide one lacks,
    which says whose. A profile's share is chosen when it is made: keygen --narrow-units.
    """
    if texts and score is not None:
        raise CountermarkError("give --score or texts to measure it on, not both")
    typical = _Typical(score if score is not None else _TYPICAL_SCORE)
    if texts:
        if keys is None:
            raise CountermarkError("texts need --keys: the ring whose key marked them")
        typical = _measure(texts, keys, profile, tokenizer, ids)
    plans = plan_accounts(
        units or _UNITS,
        accounts,
        false_accusation_rate=accusation_rate,
        false_positive_rate=rate,
        marked_score=typical.score,
        free_prefix=typical.free_prefix,
    )
    if as_json:
        for one in plans:
            print_json(_json(one, accounts, typical))
        return
    where = f"measured over {count(typical.tokens, 'token')}" if typical.tokens else "assumed"
    out.print(
        "Tokens of a response that show it as likely as not, where a marked one scores "
        f"{typical.score:.3g} on average ({where}) and {count(accounts, 'account')} are searched:"
    )
    out.print(_table(plans), soft_wrap=False)
    out.print(
        f"ours: at a rate of {rate:g}, by the narrow layer. whose: at a rate of "
        f"{accusation_rate:g}, by the wide one. both: ours, by both layers under the best account."
    )


@dataclass(frozen=True)
class _Typical:
    """What marked responses are like."""

    score: float
    free_prefix: int = _FREE_PREFIX
    tokens: int = 0
    """Tokens that it was measured over; 0 if it was not."""


def _measure(
    texts: list[str], keys: Path, profile_id: str | None, tokenizer: str | None, ids: bool
) -> _Typical:
    """Return what a token of marked responses scores."""
    ring = open_ring(keys)
    profile = open_profile(ring, keys, profile_id)
    if profile.commitment is None:
        raise CountermarkError(f"{profile.id} is another engine's mark, which has no two layers")
    reader = None
    if not ids:
        reader = load_tokenizer(tokenizer) if tokenizer else default_tokenizer([profile])
    detector = Detector(ring, [profile.id])
    scored, score = 0, 0.0
    for text in texts:
        result = detector.detect(read_input(text, reader, [profile])[0].ids, "response").best
        scored += result.scored
        score += result.score
    log10_p = float(_log10_gamma_tail(scored, np.array([score]))[0])
    if log10_p > _LOG10_SURE:
        raise CountermarkError(
            f"these texts do not show the mark of {profile.id} ({count(scored, 'token')} scored, "
            f"p = {power_of_ten(log10_p)}): give more responses that it marked, one a file"
        )
    return _Typical(score / scored, profile.parameters.get("free_prefix", _FREE_PREFIX), scored)


def _table(plans: list[AccountPlan]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("narrow units", "share", "ours", "whose", "both"):
        table.add_column(name, justify="right")
    for plan in plans:
        tokens = (plan.tokens_for_ours, plan.tokens_for_account, plan.tokens_for_combined)
        table.add_row(
            str(plan.narrow_units),
            f"{plan.narrow_units / ALL_UNITS:.1%}",
            *("never" if n is None else f"{n:,}" for n in tokens),
        )
    return table


def _json(plan: AccountPlan, accounts: int, typical: _Typical) -> dict[str, Any]:
    return {
        "narrow_units": plan.narrow_units,
        "tokens_for_ours": plan.tokens_for_ours,
        "tokens_for_account": plan.tokens_for_account,
        "tokens_for_combined": plan.tokens_for_combined,
        "accounts": accounts,
        "marked_score": typical.score,
        "scored": typical.tokens,
    }
