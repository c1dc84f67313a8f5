"""``countermark detect``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from countermark import report
from countermark._core import AccountScore, DecoyRank, Detection, Profile
from countermark._errors import CountermarkError
from countermark.cli.app import app
from countermark.cli.console import STYLES, complain, note, out, print_json, progress
from countermark.cli.detectors import Bench, open_bench
from countermark.cli.logs import Response, read_responses
from countermark.cli.options import (
    AsIds,
    Calibrations,
    Json,
    Keys,
    Profiles,
    Rate,
    Start,
    Temperature,
    TokenizerPath,
    TopP,
)
from countermark.cli.pages import check_page, write_page
from countermark.cli.texts import name_of, read_input
from countermark.reading import Reading, detect_readings

if TYPE_CHECKING:
    from countermark.cli.causal_model import CausalModel

_DECOYS_OF_A_PAGE = 99


@app.command()
def detect(
    keys: Keys,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE]...",
            help="Texts in UTF-8, with --replay logs in JSON lines; none or - is standard input.",
        ),
    ] = None,
    profile: Profiles = None,
    tokenizer: TokenizerPath = None,
    rate: Rate = 1e-6,
    start: Start = None,
    ids: AsIds = False,
    account: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=2**64 - 1,
            metavar="N",
            help="Score this account too, under the one profile tried that has accounts.",
        ),
    ] = None,
    calibration: Calibrations = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|NAME",
            help="A transformers causal model with the same tokenizer, any one: a token is weighed "
            "by how likely it was. For --replay, the model that was sampled.",
        ),
    ] = None,
    temperature: Temperature = 1.0,
    top_p: TopP = 1.0,
    replay: Annotated[
        bool,
        typer.Option(
            "--replay",
            help="Replay responses: lines with prompt or prompt_ids, text or token_ids, "
            "temperature, top_k, top_p, min_p and account.",
        ),
    ] = False,
    decoys: Annotated[
        int,
        typer.Option(
            min=0,
            max=100_000,
            metavar="N",
            help="Rank the key among so many decoy keys too, which marked nothing.",
        ),
    ] = 0,
    html: Annotated[
        Path | None, typer.Option(metavar="OUT.html", help="Write a page for people.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say whether texts carry the mark of a key in RING.

    Exits with 0 if any text is marked, 1 if none is (or they are too short to say), 2 on an error.
    """
    names = files or ["-"]
    if "" in names:
        raise CountermarkError("a FILE is empty: give a path, or - for standard input")
    if html:
        check_page(html, [keys, *(Path(name) for name in names if name != "-")])
        if model:
            raise CountermarkError("--html shows what the key alone says: leave --model out")
    if replay and not model:
        raise CountermarkError("--replay needs the model that was sampled: give --model")
    if model and not replay and start is None and account is not None:
        raise CountermarkError("--account and --model do not go together without --replay")
    knower = _load(model) if model else None
    reader: Any = tokenizer
    if reader is None and knower is not None:
        reader = knower.tokenizer
    bench = open_bench(
        keys, profile, reader, rate=rate, ids=ids and not replay, calibrations=calibration
    )
    if replay:
        assert knower is not None
        raise typer.Exit(_replay(names, bench, knower, as_json))
    named = None if account is None else _with_accounts(bench.profiles)
    test = _tester(bench, knower, start, temperature, top_p)
    exhibits: list[report.Exhibit] = []
    any_marked = any_failed = False
    with progress("examining", len(names), hidden=out.is_terminal) as ticker:
        for file in names:
            try:
                readings = read_input(file, None if ids else bench.tokenizer, bench.profiles)
                if html:
                    exhibits.append(
                        report.examine(
                            name_of(file),
                            readings,
                            bench.detector,
                            start,
                            decoys or _DECOYS_OF_A_PAGE,
                        )
                    )
                    detection, rank = exhibits[-1].detection, exhibits[-1].decoys
                else:
                    detection, rank = test(readings), None
                tested = readings[-1 if knower else detection.variant]
                if decoys and rank is None:
                    rank = bench.detector.rank(tested.ids, detection.best.profile, decoys, start)
                score = None
                if named:
                    score = bench.detector.score_account(readings[0].ids, named.id, account, start)
            except (CountermarkError, OSError) as error:
                any_failed = True
                fail(file, error, as_json)
            else:
                any_marked |= detection.verdict == "marked"
                found = {"file": name_of(file), "tokens": len(detection.token_scores)}
                show(
                    found,
                    detection,
                    as_json,
                    changes=tested.variant.changes,
                    rank=rank if decoys else None,
                    account=account,
                    score=score,
                )
            ticker.advance()
    if html and exhibits:
        title = exhibits[0].title if len(exhibits) == 1 else f"{len(exhibits)} texts"
        write_page(html, report.render(f"Is it marked? {title}", exhibits, bench.profiles))
        if not as_json:
            note(f"Wrote {html}")
    raise typer.Exit(2 if any_failed else 0 if any_marked else 1)


def show(
    found: dict[str, Any],
    detection: Detection,
    as_json: bool,
    *,
    changes: dict[str, int] | None = None,
    rank: DecoyRank | None = None,
    account: int | None = None,
    score: AccountScore | None = None,
) -> None:
    """Print what was found in one text; ``found`` names it, ``changes`` were made to it before."""
    if as_json:
        found |= json.loads(detection.to_json())
        if rank:
            found |= {
                "decoy_rank": rank.rank,
                "decoys": len(rank.decoys),
                "decoys_agree": rank.agrees,
            }
        if score:
            found["account"] = {
                "account": str(account),
                "scored": score.scored,
                "score": score.score,
                "log10_p": score.log10_p,
            }
        print_json(found)
        return
    out.print(f"{found['file']}: ", end="")
    out.print(report.headline(detection), style=STYLES[detection.verdict])
    for line in report.explain(detection, changes):
        out.print(f"  {line}")
    if rank:
        out.print(f"  {report.explain_rank(rank)}")
        for line in report.warn(detection, rank):
            out.print(f"  {line}", style="bold red")
    if score:
        out.print(
            f"  account {account}: p = {report.power_of_ten(score.log10_p)} for this account "
            f"alone ({score.scored} tokens scored), not corrected for a search over accounts."
        )


def fail(file: str, error: CountermarkError | OSError, as_json: bool) -> None:
    """Say what is wrong with one input, and go on."""
    if isinstance(error, OSError):
        message, code = f"{name_of(file)}: {error.strerror}", "file_failure"
    else:
        message, code = str(error), error.code
        if name_of(file) not in message:
            message = f"{name_of(file)}: {message}"
    complain(message)
    if as_json:
        print_json({"file": name_of(file), "error": message, "code": code})


def _load(model: str) -> CausalModel:
    from countermark.cli.causal_model import CausalModel

    return CausalModel(model)


def _tester(
    bench: Bench,
    knower: CausalModel | None,
    start: Start,
    temperature: float,
    top_p: float,
) -> Callable[[list[Reading]], Detection]:
    """Return how to test one text."""
    if knower is None:
        return lambda readings: detect_readings(bench.detector, readings, start)
    proxy = knower.knower().proxy(temperature=temperature, top_p=top_p)

    def test(readings: list[Reading]) -> Detection:
        # Normalised, which is decided beforehand: to run the model over both forms costs more than
        # all that a detector does.
        detection = bench.detector.detect(readings[-1].ids, start, proxy=proxy)
        if readings[-1].spans is not None:
            detection._locate(readings[-1].spans)
        return detection

    return test


def _replay(names: list[str], bench: Bench, knower: CausalModel, as_json: bool) -> int:
    """Replay every response in some logs; return the exit status."""
    model = knower.knower()
    any_marked = any_failed = False

    def encode(text: str) -> list[int]:
        assert bench.tokenizer is not None
        return [int(i) for i in bench.tokenizer.encode(text)]

    with progress("replaying", unit="responses", hidden=out.is_terminal) as ticker:
        for file in names:
            for response in read_responses(file, encode, knower.read_prompt):
                name = response.name if isinstance(response, Response) else file
                try:
                    if isinstance(response, CountermarkError):
                        raise response
                    detection = bench.detector.replay(
                        response.prompt_ids,
                        response.token_ids,
                        model.logits,
                        account=response.account,
                        **response.sampling,
                    )
                except CountermarkError as error:
                    any_failed = True
                    fail(name, error, as_json)
                else:
                    any_marked |= detection.verdict == "marked"
                    show({"file": name, "tokens": len(response.token_ids)}, detection, as_json)
                ticker.advance()
    return 2 if any_failed else 0 if any_marked else 1


def _with_accounts(profiles: list[Profile]) -> Profile:
    """Return the one profile that has accounts."""
    having = [p for p in profiles if p.accounts]
    if not having:
        raise CountermarkError("--account: no profile that is tried has accounts")
    if len(having) > 1:
        named = ", ".join(p.id for p in having)
        raise CountermarkError(f"--account: say with --profile under which of {named}")
    return having[0]
