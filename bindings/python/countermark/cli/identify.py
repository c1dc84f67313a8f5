"""``countermark identify``."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from countermark import engines
from countermark._core import ContractFit, identify
from countermark._errors import CountermarkError
from countermark.cli.app import app
from countermark.cli.console import out, print_json, progress
from countermark.cli.import_key import Config, KeyFile
from countermark.cli.keys import read_key
from countermark.cli.options import AsIds, Json, Rate, TokenizerPath, load_tokenizer
from countermark.cli.texts import read_ids, read_text
from countermark.report.numbers import power_of_ten

_SHOWN = 5
#: What a reader needs to tell variants of one mark apart.
_TELLING = (
    "context_width",
    "context_window",
    "ngram",
    "ngram_len",
    "alpha",
    "mixing_probability",
    "greenlist_ratio",
    "gamma",
    "generator",
)


@app.command("identify")
def identify_command(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE]...", help="What the engine wrote; none or - is standard input."
        ),
    ] = None,
    config: Config = None,
    key_file: KeyFile = None,
    tokenizer: TokenizerPath = None,
    ids: AsIds = False,
    vocab_size: Annotated[
        int | None,
        typer.Option(
            min=2,
            max=2**31 - 1,
            metavar="N",
            help="The length of the model's logits, which marks that permute the vocabulary need.",
        ),
    ] = None,
    rate: Rate = 1e-6,
    as_json: Json = False,
) -> None:
    """Say which engine's contract some texts follow, when their key is known.

    Every contract known here is tried, with the parameters in use, on all texts together; a few
    hundred tokens do for most. Exits with 0 if one fits, 1 if none does, 2 on an error.
    """
    if (config is None) == (key_file is None):
        raise CountermarkError("give --config or --key-file: the key that the engine marked with")
    if key_file:
        words = engines.words_of(read_key(key_file))
    else:
        found = engines.read_config(config)
        words = found.words
        known = found.parameters.get("vocab_size")
        if vocab_size is None and isinstance(known, int):
            vocab_size = known
    names = files or ["-"]
    if ids == (tokenizer is not None):
        raise CountermarkError("give --tokenizer for texts, or --ids for token ids")
    if tokenizer:
        reader = load_tokenizer(tokenizer)
        texts: list[Any] = [reader.encode(read_text(name)) for name in names]
        vocab_size = vocab_size or reader.vocab_size
    else:
        texts = [read_ids(name) for name in names]
    with progress("trying contracts"):
        fits = identify(texts, words, vocab_size=vocab_size, false_positive_rate=rate)
    for fit in fits if as_json else ():
        print_json(_json(fit))
    if not as_json:
        _show(fits, vocab_size)
    raise typer.Exit(0 if fits[0].fits else 1)


def _show(fits: list[ContractFit], vocab_size: int | None) -> None:
    best = fits[0]
    p = power_of_ten(best.log10_p_adjusted)
    tried = f"{len(fits)} contracts and variants tried and paid for"
    if best.fits:
        out.print(f"{best.mark}", style="bold green", end="")
        out.print(f" fits: p = {p} ({best.scored} tokens scored; {tried})")
    else:
        out.print(f"No contract fits: the best has p = {p} ({tried})", style="bold yellow")
        if vocab_size is None:
            out.print("Marks that permute the vocabulary were left out: give --vocab-size.")
    table = Table(box=None, pad_edge=False)
    for name in ("mark", "parameters", "numbers of the key", "tokens", "p, corrected"):
        table.add_column(name, overflow="fold")
    for fit in fits[:_SHOWN]:
        telling = {k: v for k, v in fit.parameters.items() if k in _TELLING}
        table.add_row(
            fit.mark,
            " ".join(f"{k}={v}" for k, v in telling.items()),
            str(fit.key_words),
            str(fit.scored),
            power_of_ten(fit.log10_p_adjusted),
            style=None if fit.fits else "dim",
        )
    out.print(table, soft_wrap=False)


def _json(fit: ContractFit) -> dict[str, Any]:
    return {
        "mark": fit.mark,
        "parameters": fit.parameters,
        "key_words": fit.key_words,
        "scored": fit.scored,
        "score": fit.score,
        "log10_p": fit.log10_p,
        "log10_p_adjusted": fit.log10_p_adjusted,
        "fits": fit.fits,
    }
