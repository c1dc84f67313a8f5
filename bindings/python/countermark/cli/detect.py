"""``countermark detect``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

from countermark import report
from countermark._core import AccountScore, Detection, Detector, Profile
from countermark._errors import CountermarkError
from countermark.cli.app import app
from countermark.cli.console import STYLES, complain, note, out, print_json, progress
from countermark.cli.options import Json, Keys, TokenizerPath, load_tokenizer, open_ring
from countermark.cli.pages import check_page, write_page
from countermark.cli.texts import name_of, read_ids, read_text
from countermark.story import STORY_FINGERPRINT, story_tokenizer
from countermark.tokenizers import Span, Tokenizer, require_same_tokenizer


class Start(str, Enum):
    """What is assumed of where the response starts."""

    unknown = "unknown"
    response = "response"


@app.command()
def detect(
    keys: Keys,
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE]...", help="Texts in UTF-8; none or - is standard input."),
    ] = None,
    profile: Annotated[
        list[str] | None,
        typer.Option("--profile", metavar="ID", help="Try this profile only; can be repeated."),
    ] = None,
    tokenizer: TokenizerPath = None,
    rate: Annotated[
        float,
        typer.Option(help="Probability of calling an unmarked text marked; at most 0.5."),
    ] = 1e-6,
    start: Annotated[
        Start | None,
        typer.Option(help="Where in a response the text begins; without it both are tried."),
    ] = None,
    ids: Annotated[bool, typer.Option("--ids", help="The input is token ids.")] = False,
    account: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=2**64 - 1,
            metavar="N",
            help="Score this account too, under the one profile tried that has accounts.",
        ),
    ] = None,
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
    ring = open_ring(keys)
    asked = [ring.profile(id) for id in profile] if profile else ring.profiles
    if not asked:
        raise CountermarkError(f"{keys} holds no profile to try", "unknown_profile")
    reader = load_tokenizer(tokenizer) if tokenizer else None
    if reader is None and not ids:
        reader = _default_tokenizer(asked)
    tried = _fitting(asked, reader, bool(profile))
    detector = Detector(ring, [p.id for p in tried], false_positive_rate=rate)

    named = None if account is None else _with_accounts(tried)
    exhibits: list[report.Exhibit] = []
    any_marked = any_failed = False
    with progress("examining", len(names), hidden=out.is_terminal) as ticker:
        for file in names:
            try:
                text = _read(file, ids, reader)
                if html:
                    exhibits.append(_examine(file, text, detector, start))
                    detection = exhibits[-1].detection
                else:
                    detection = detector.detect(text.ids, start.value if start else None)
                score = None
                if named:
                    score = detector.score_account(
                        text.ids, named.id, account, start.value if start else None
                    )
            except (CountermarkError, OSError) as error:
                any_failed = True
                _fail(file, error, as_json)
            else:
                any_marked |= detection.verdict == "marked"
                found = {"file": name_of(file), "tokens": len(text.ids)}
                _show(found, detection, account, score, as_json)
            ticker.advance()
    if html and exhibits:
        title = exhibits[0].title if len(exhibits) == 1 else f"{len(exhibits)} texts"
        write_page(html, report.render(f"Is it marked? {title}", exhibits, tried))
        if not as_json:
            note(f"Wrote {html}")
    raise typer.Exit(2 if any_failed else 0 if any_marked else 1)


@dataclass(frozen=True)
class _Text:
    characters: str
    ids: npt.NDArray[Any]
    spans: list[Span]


def _read(file: str, as_ids: bool, tokenizer: Tokenizer | None) -> _Text:
    if as_ids:
        ids = read_ids(file)
        words = [str(i) for i in ids]
        ends = np.cumsum([len(word) + 1 for word in words]) - 1
        spans = [(int(end) - len(word), int(end)) for end, word in zip(ends, words, strict=True)]
        return _Text(" ".join(words), ids, spans)
    assert tokenizer is not None
    text = read_text(file)
    return _Text(text, *tokenizer.encode_with_spans(text))


def _default_tokenizer(profiles: list[Profile]) -> Tokenizer:
    """Return the story model's tokenizer, if that is what one of the profiles is for."""
    kinds = {p.tokenizer["fingerprint"]: p.tokenizer["name"] for p in profiles if p.tokenizer}
    if STORY_FINGERPRINT in kinds:
        return story_tokenizer()
    what = (
        f"the profiles are for the tokenizer {', '.join(sorted(kinds.values()))}: give it"
        if kinds
        else "the profiles name no tokenizer: give the one of the model that was marked"
    )
    raise CountermarkError(
        f"{what} with --tokenizer (a file, a folder, or the word story for the embedded model's)",
        "tokenizer_mismatch",
    )


def _fitting(
    profiles: list[Profile], tokenizer: Tokenizer | None, are_named: bool
) -> list[Profile]:
    """Return the profiles that were made for the tokenizer."""
    if tokenizer is None:
        kinds = {p.tokenizer["fingerprint"] for p in profiles if p.tokenizer}
        if len(kinds) > 1:
            raise CountermarkError(
                "the profiles are for different tokenizers: say which made the ids, with "
                "--profile or --tokenizer",
                "tokenizer_mismatch",
            )
        return profiles
    fitting = [
        p
        for p in profiles
        if p.tokenizer is None or p.tokenizer["fingerprint"] == tokenizer.fingerprint
    ]
    if are_named or not fitting:
        for profile in profiles:
            require_same_tokenizer(profile, tokenizer)
    for profile in profiles:
        if profile not in fitting:
            assert profile.tokenizer is not None
            note(f"Left out: {profile.id}, which is for the tokenizer {profile.tokenizer['name']}")
    return fitting


def _with_accounts(profiles: list[Profile]) -> Profile:
    """Return the one profile that has accounts."""
    having = [p for p in profiles if p.accounts]
    if not having:
        raise CountermarkError("--account: no profile that is tried has accounts")
    if len(having) > 1:
        named = ", ".join(p.id for p in having)
        raise CountermarkError(f"--account: say with --profile under which of {named}")
    return having[0]


def _examine(file: str, text: _Text, detector: Detector, start: Start | None) -> report.Exhibit:
    return report.examine(
        name_of(file),
        text.characters,
        text.ids,
        text.spans,
        detector,
        start.value if start else None,
    )


def _show(
    found: dict[str, Any],
    detection: Detection,
    account: int | None,
    score: AccountScore | None,
    as_json: bool,
) -> None:
    if as_json:
        found |= json.loads(detection.to_json())
        if score:
            found["account"] = {
                "account": account,
                "scored": score.scored,
                "score": score.score,
                "log10_p": score.log10_p,
            }
        print_json(found)
        return
    out.print(f"{found['file']}: ", end="")
    out.print(report.headline(detection), style=STYLES[detection.verdict])
    for line in report.explain(detection):
        out.print(f"  {line}")
    if score:
        out.print(
            f"  account {account}: p = {report.power_of_ten(score.log10_p)} for this account "
            f"alone ({score.scored} tokens scored), not corrected for a search over accounts."
        )


def _fail(file: str, error: CountermarkError | OSError, as_json: bool) -> None:
    if isinstance(error, OSError):
        message, code = f"{name_of(file)}: {error.strerror}", "file_failure"
    else:
        message, code = str(error), error.code
        if name_of(file) not in message:
            message = f"{name_of(file)}: {message}"
    complain(message)
    if as_json:
        print_json({"file": name_of(file), "error": message, "code": code})
