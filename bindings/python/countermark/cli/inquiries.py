"""Inquiring into a model: by asking it, by what it said once, or by what it predicts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from countermark._errors import CountermarkError
from countermark.cli.answers import AnswersFile
from countermark.cli.console import note, progress
from countermark.cli.corpora import Unreadable
from countermark.cli.detect import fail
from countermark.cli.interview import Interview, Limits
from countermark.cli.logs import ids_of
from countermark.cli.prompts import Prompt, digest_of, texts_of
from countermark.cli.suspects import LocalSuspect, Question, Suspect
from countermark.cli.terms import Terms, documents_of
from countermark.report import Inquiry
from countermark.report.numbers import count, listed


@dataclass(frozen=True)
class Findings:
    """What an inquiry has found, and how it went."""

    inquiry: Inquiry
    suspect: dict[str, Any]
    """Which model it was."""
    sampling: dict[str, Any] | None
    """How it answered; None where it was not asked."""
    tokens: int
    failed: int
    skipped: int
    ended: str | None
    """Why not everything was asked or read."""


def ask(
    terms: Terms,
    suspect: Suspect | None,
    prompts: Sequence[Prompt] | None,
    to: Path,
    *,
    samples: int,
    limits: Limits,
    hidden: bool,
) -> Findings:
    """Ask what was not asked yet; without a ``suspect`` test the answers that there are."""
    given: dict[str, Any] = {}
    if suspect:
        described = suspect.describe()
        given |= {"suspect": described, "sampling": asdict(suspect.sampling)}
        for prompt in prompts or ():
            if isinstance(prompt.content, list) and described["interface"] != "chat":
                raise CountermarkError(
                    f"{prompt} is a chat: ask an --endpoint without --completions, or a --suspect "
                    "with --chat"
                )
    if prompts is not None:
        given["prompts"] = {"number": len(prompts), "sha256": digest_of(prompts)}
    trial = terms.trial()
    opened = AnswersFile.resume(to, given) if suspect else AnswersFile.open(to, given)
    with opened as answers:
        with progress(f"testing {to.name}", unit="answers", hidden=hidden) as ticker:
            for answer in answers.read():
                trial.add_answer(answer)
                ticker.advance()
        interview = Interview(answers, trial, limits)
        if suspect and prompts:
            total = sum(1 for _ in _questions(prompts, samples, answers))
            try:
                with progress("asking", total, hidden=hidden) as ticker:
                    interview.hold(suspect, _questions(prompts, samples, answers), ticker)
            except KeyboardInterrupt:
                kept = count(len(answers.asked), "answer")
                note(f"{to} keeps {kept}; the same command goes on from there.")
                raise
        inquiry = Inquiry(
            _name(answers.header),
            _facts(answers, len(interview.failed), trial.skipped),
            trial.result(),
            [("\n".join(texts_of(a.content)), a.text) for a in answers.first],
        )
        return Findings(
            inquiry,
            answers.header.get("suspect") or {},
            answers.header.get("sampling"),
            answers.tokens,
            len(interview.failed),
            trial.skipped,
            interview.ended if suspect else None,
        )


def ask_control(terms: Terms, path: Path, *, hidden: bool) -> Inquiry:
    """Test the answers that another model once gave."""
    found = ask(terms, None, None, path, samples=0, limits=Limits(), hidden=hidden).inquiry
    return Inquiry(f"{found.name} ({path.name})", found.facts, found.result)


def read(
    terms: Terms,
    suspect: LocalSuspect,
    corpus: Sequence[str],
    *,
    served: bool,
    limits: Limits,
    hidden: bool,
) -> Findings:
    """Test what the suspect predicts for texts; a text that is none is named and left out."""
    trial = terms.trial()
    proxy = suspect.model.knower().proxy()
    tokens = failed = 0
    ended = None

    with progress("reading", unit="texts", hidden=hidden) as ticker:
        for document in documents_of(corpus):
            try:
                if isinstance(document, Unreadable):
                    raise document.error
                ids = ids_of(document, terms.encode_as_served if served else terms.encode)
                _require_known(ids, suspect.model.vocab_size)
                # Of a response what came after it, too: logs seldom have the token that ended it.
                asked = [*ids, *ids[-1:]] if served else ids
                trial.add_reading(ids, _within(terms, proxy(asked)), served=served)
                tokens += len(ids)
            except (CountermarkError, OSError) as error:
                failed += 1
                fail(document.place, error, as_json=False)
            ticker.advance()
            ticker.say(f"reading, {tokens:,} tokens, {trial.evidence()}")
            if ended := limits.reached(trial.log10_p, tokens):
                break
    described, result = suspect.describe(), trial.result()
    what = count(tokens, "token") + " of " + count(result.texts, "text")
    facts = {
        "model": described["model"],
        "read": f"{what} of {listed(list(corpus))}" + (", which were served" if served else ""),
    }
    inquiry = Inquiry(_name({"suspect": described}), facts, result)
    return Findings(inquiry, described, None, tokens, failed, 0, ended)


def _questions(prompts: Sequence[Prompt], samples: int, answers: AnswersFile) -> Iterator[Question]:
    """Yield what is not answered; every prompt once before any again, since that tells more."""
    for sample in range(samples):
        for prompt in prompts:
            if (prompt.number, sample) not in answers.asked:
                yield Question(prompt, sample)


def _require_known(ids: list[int], vocab_size: int) -> None:
    for i, token in enumerate(ids):
        if not 0 <= token < vocab_size:
            raise CountermarkError(
                f"token {i} is {token}, and the suspect has ids 0..{vocab_size - 1}",
                "token_out_of_range",
            )


def _within(terms: Terms, rows: Iterator[Any]) -> Iterator[Any]:
    """Leave out what only pads a model's vocabulary."""
    vocab_size = (terms.profile.tokenizer or {}).get("vocab_size")
    return (chunk[:, :vocab_size] for chunk in rows)


def _name(header: dict[str, Any]) -> str:
    suspect = header.get("suspect") or {}
    model = str(suspect.get("model", "a model"))
    if "endpoint" in suspect:
        return f"{model} at {suspect['endpoint']}"
    return model.rstrip("/").rpartition("/")[2]


def _facts(answers: AnswersFile, failed: int, skipped: int) -> dict[str, str]:
    header = answers.header
    suspect, prompts = header.get("suspect") or {}, header.get("prompts") or {}
    sampling = header.get("sampling") or {}
    facts = {
        "model": suspect.get("model"),
        "endpoint": suspect.get("endpoint"),
        "asked by": suspect.get("interface"),
        "sampling": ", ".join(f"{key} {value}" for key, value in sampling.items()),
        "prompts": f"{prompts.get('number')}, SHA-256 {prompts.get('sha256')}",
        "answers": f"{count(len(answers.asked), 'answer')} of {count(answers.tokens, 'token')} in "
        f"{answers.path.name}",
        "left out": f"{count(skipped, 'answer')} without a token" if skipped else None,
        "failed": f"{count(failed, 'prompt')} got no answer" if failed else None,
    }
    return {name: str(value) for name, value in facts.items() if value}
