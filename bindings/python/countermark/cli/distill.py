"""``countermark distill``, and its command ``run``."""

from __future__ import annotations

import math
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from countermark import report
from countermark._core import Ledger, Profile
from countermark._errors import CountermarkError
from countermark.cli.app import app
from countermark.cli.console import note, out, print_json
from countermark.cli.corpora import require_corpus
from countermark.cli.detectors import open_profile, tokenizer_for
from countermark.cli.endpoint import KEY_VARIABLE, Endpoint
from countermark.cli.findings import findings_json, show_findings
from countermark.cli.inquiries import ask, ask_control, read
from countermark.cli.interview import Limits
from countermark.cli.options import Json, KeyProfile, Ring, Threads, TokenizerPath, open_ring
from countermark.cli.pages import check_page, write_page
from countermark.cli.prompts import read_prompts
from countermark.cli.suspects import LocalSuspect, Sampling
from countermark.cli.terms import BY_REFERENCE, Terms, Weights
from countermark.report import Case
from countermark.tokenizers import Tokenizer, require_same_tokenizer

_DEFAULT = "run"

WeighedBy = Annotated[
    Weights, typer.Option(help="What a pair of context and token counts for; fix it first.")
]
References = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CORPUS",
        help="For --weights reference and most_powerful: texts like the answers that do not know "
        "the key, or another model's ANSWERS.jsonl; can be repeated.",
    ),
]


class _WithDefault(TyperGroup):
    """Takes what names no command for the arguments of ``run``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Name the command where nobody did."""
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)


group = typer.Typer(
    name="distill",
    cls=_WithDefault,
    help="Say whether a model was trained on marked answers. 'distill RING PROMPTS' is "
    "'distill run RING PROMPTS'.",
    rich_markup_mode=None,
)
app.add_typer(group)


@group.command(_DEFAULT)
def run(
    ring: Ring,
    prompts: Annotated[
        Path | None,
        typer.Argument(
            metavar="PROMPTS",
            help='What to ask: a .jsonl file of objects with "prompt" or "messages", and perhaps '
            '"id", or a text with one prompt a line.',
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="ANSWERS.jsonl",
            help="Where the answers go. The same command goes on where it stopped; without "
            "--endpoint and --suspect what is there is tested.",
        ),
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Ask an OpenAI-compatible server, as http://localhost:8000/v1."
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="The model's name at the endpoint.")
    ] = None,
    completions: Annotated[
        bool, typer.Option("--completions", help="Ask it for completions, not by chat.")
    ] = False,
    key_variable: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"The environment variable with the API key; {KEY_VARIABLE} if there is one.",
        ),
    ] = None,
    suspect: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|NAME",
            help="Ask a transformers causal model: a folder or a name on the hub.",
        ),
    ] = None,
    chat: Annotated[
        bool, typer.Option("--chat", help="With --suspect: apply its chat template.")
    ] = False,
    reads: Annotated[
        list[str] | None,
        typer.Option(
            "--read",
            metavar="CORPUS",
            help="Ask nothing, and test what the --suspect predicts for each token of texts, as "
            "'screen' takes them, that are not marked under this key; can be repeated.",
        ),
    ] = None,
    served: Annotated[
        bool,
        typer.Option(
            "--served", help="They are responses that the profile did mark, from the logs."
        ),
    ] = False,
    samples: Annotated[int, typer.Option(min=1, metavar="N", help="Answers to each prompt.")] = 1,
    max_tokens: Annotated[
        int, typer.Option(min=1, metavar="N", help="Most tokens of an answer.")
    ] = 256,
    temperature: Annotated[float, typer.Option(min=0, help="What the suspect samples at.")] = 1.0,
    top_p: Annotated[float, typer.Option(help="The same.")] = 1.0,
    concurrency: Annotated[
        int,
        typer.Option(
            min=1, max=1024, metavar="N", help="Requests at a time; of a --suspect, its batch."
        ),
    ] = 8,
    budget: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Ask no more once the answers have so many tokens; what is under way still "
            "counts. 0: no limit.",
        ),
    ] = 0,
    retries: Annotated[
        int, typer.Option(min=0, max=100, metavar="N", help="Of a request, before it is skipped.")
    ] = 5,
    timeout: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="Of a request.")
    ] = 120.0,
    profile: KeyProfile = None,
    tokenizer: TokenizerPath = None,
    ledger: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Look only at contexts that were served: what samplers wrote."
        ),
    ] = None,
    weights: WeighedBy = "log",
    reference: References = None,
    control: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="ANSWERS.jsonl",
            help="Answers of a model that is known not to have learned, tested in the same way; "
            "can be repeated.",
        ),
    ] = None,
    decoys: Annotated[
        int,
        typer.Option(
            min=0, max=100_000, metavar="N", help="Keys that marked nothing, tested beside."
        ),
    ] = 99,
    rate: Annotated[
        float,
        typer.Option(
            help="Probability of saying of a model that owes nothing to the key that it learned; "
            "at most 0.5."
        ),
    ] = 1e-6,
    stop_at: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="P",
            help="Ask no more once p is at most this; 0: never; default: --rate.",
        ),
    ] = None,
    threads: Threads = 0,
    html: Annotated[
        Path | None, typer.Option(metavar="OUT.html", help="Write a page for people.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Ask a suspect, and say whether it was trained on what a key of RING marked.

    Answers are tested as they come, and asking ends when the evidence suffices: p-values hold
    whenever one stops. Exits with 0 if it has learned, 1 if that is not shown, 2 on an error.
    """
    stop = rate if stop_at is None else stop_at
    asks = bool(endpoint or suspect) and not reads
    require(
        (endpoint and suspect, "give --endpoint or --suspect, not both"),
        (endpoint and not model, "--endpoint needs --model: what the model is called there"),
        (
            not endpoint and (model or completions or key_variable),
            "--model, --completions and --key-variable go with --endpoint",
        ),
        (chat and (reads or not suspect), "--chat is for a --suspect that is asked PROMPTS"),
        (reads and not suspect, "--read needs --suspect: the model whose predictions are tested"),
        (reads and (prompts or to), "--read asks nothing: leave PROMPTS and --out out"),
        (reads and control, "--control takes answers, and --read asks for none"),
        (reads and tokenizer, "--read takes the suspect's own tokenizer: leave --tokenizer out"),
        (served and not reads, "--served says what the texts of --read are"),
        (not reads and not to, "give --out: where the answers go, or where they are"),
        (asks and not prompts, "give PROMPTS: what to ask"),
        (to in (html, *(control or ())) and to, "--out, --html and --control are different files"),
        *wrong_with_weights(weights, reference),
        (not 0 < rate <= 0.5, f"--rate must be in (0, 0.5], got {rate:g}"),
        (stop > rate, f"--stop-at must be at most the --rate of {rate:g}, got {stop:g}"),
        (not 0 < top_p <= 1, f"--top-p must be in (0, 1], got {top_p:g}"),
    )
    require_corpus([*(reads or ()), *(reference or ())])
    if html:
        inputs = [ring, prompts, to, ledger, *(control or ()), *(reads or ()), *(reference or ())]
        check_page(html, [Path(path) for path in inputs if path and path != "-"])
    keys = open_ring(ring)
    key = open_profile(keys, ring, profile)
    questions = read_prompts(prompts) if prompts else None
    served_contexts = Ledger.open(keys, key.id, ledger) if ledger else None

    sampling = Sampling(max_tokens, temperature, top_p)
    who: Endpoint | LocalSuspect | None = None
    if endpoint and model:
        who = Endpoint(
            endpoint,
            model,
            sampling,
            chat=not completions,
            concurrency=concurrency,
            retries=retries,
            timeout=timeout,
            key_variable=key_variable,
        )
    elif suspect:
        who = LocalSuspect(suspect, sampling, batch=concurrency, chat=chat)
    own = who.model.tokenizer if isinstance(who, LocalSuspect) else None
    terms = Terms(
        keys,
        key,
        _tokenizer(tokenizer, key, own, must_be_own=bool(reads)),
        served_contexts,
        weights,
        decoys,
        threads,
        reference or (),
    )
    limits = Limits(math.log10(stop) if stop else -math.inf, budget)
    hidden = as_json and out.is_terminal
    with nullcontext() if who is None else closing(who):
        if reads:
            assert isinstance(who, LocalSuspect)
            found = read(terms, who, reads, served=served, limits=limits, hidden=hidden)
        else:
            assert to is not None
            found = ask(terms, who, questions, to, samples=samples, limits=limits, hidden=hidden)
    facts = {**found.inquiry.facts, **terms.facts()}
    case = Case(
        key,
        math.log10(rate),
        served or ledger is not None,
        replace(found.inquiry, facts=facts),
        [ask_control(terms, path, hidden=hidden) for path in control or ()],
    )
    if html:
        title = f"Was it trained on our answers? {found.inquiry.name}"
        write_page(html, report.render_distillation(title, case))
    if as_json:
        settings = {
            "profile": key.id,
            "weights": weights,
            "ledger": str(ledger) if ledger else None,
            "references": reference or [],
            "served": served,
            "rate": rate,
            "stop_at": stop,
            "budget": budget,
            "samples": samples,
            "sampling": found.sampling,
        }
        print_json(findings_json(case, found, settings, to))
    else:
        show_findings(case, found)
        if html:
            note(f"Wrote {html}")
    raise typer.Exit(0 if case.has_learned(case.suspect) else 1)


def require(*checks: tuple[object, str]) -> None:
    """Raise CountermarkError with the first message whose case is there."""
    for is_wrong, message in checks:
        if is_wrong:
            raise CountermarkError(message)


def wrong_with_weights(weights: Weights, references: list[str] | None) -> list[tuple[object, str]]:
    """Return what may be wrong with them, for :func:`require`."""
    return [
        (
            weights in BY_REFERENCE and not references,
            f"--weights {weights} needs --reference: texts to expect by",
        ),
        (
            references and weights not in BY_REFERENCE,
            f"--reference is for --weights {' and '.join(BY_REFERENCE)}",
        ),
        ("-" in (references or ()), "--reference cannot be standard input"),
    ]


def _tokenizer(
    given: str | None, profile: Profile, own: Tokenizer | None, must_be_own: bool
) -> Tokenizer:
    """Return what turns answers into the profile's tokens: never another model's tokenizer."""
    if own and must_be_own:
        require_same_tokenizer(profile, own, "the suspect's is")
        return own
    wanted = profile.tokenizer
    if given is None and own and wanted and wanted["fingerprint"] == own.fingerprint:
        return own
    return tokenizer_for(profile, given)
