"""What each engine's mark is worth: power, edits and error rates, on texts of one model.

    python bench/engines.py MODEL_FOLDER TEXT_FOLDER TOKENIZER [--what power edits rates other_keys]

Prints the tables of docs/detection.md. Answers are marked by countermark in the way of each
engine, each under a key of its own. TEXT_FOLDER is searched for human text, which is cut into
documents of 200 tokens.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.progress import track

import countermark as cm
from answers import Ids, Model, Settings
from countermark.demo import delete, substitute
from truth import read

SETTINGS = (Settings(1.0), Settings(0.8, 0.95), Settings(0.5))
LENGTHS = (100, 200, 400)
RATES = (0.1, 0.01, 0.001, 0.0001)
SHARES = (0.1, 0.2, 0.3)
LAYERS = 30
WHAT = ("power", "edits", "rates", "other_keys")

Marks = Sequence["Mark"]

# What is made of a text, given words of other answers and a seed.
Change = Callable[[str, list[str], int], str]


@dataclass(frozen=True)
class Mark:
    """A mark and how it is commonly run."""

    name: str
    words: int = 1
    parameters: dict[str, Any] = field(default_factory=dict)
    needs_vocab: bool = False
    note: str = ""
    #: Its detection takes milliseconds: fewer pairs are tried.
    is_slow: bool = False

    def __str__(self) -> str:
        return f"`{self.name}`{self.note}"

    def ring(self, key: int, vocab_size: int) -> cm.KeyRing:
        """Return a ring with the profile "test" under key number ``key``."""
        ring = cm.KeyRing.generate()
        if self.name == "countermark/1":
            ring.import_secret("test", key.to_bytes(32, "little"))
            return ring
        words = np.random.default_rng(key).integers(0, 2**63, self.words).tolist()
        parameters = dict(self.parameters)
        if self.needs_vocab:
            parameters["vocab_size"] = vocab_size
        ring.import_engine_key("test", self.name, words, **parameters)
        return ring


MARKS = (
    Mark("countermark/1"),
    Mark("vllm/gumbel-1"),
    Mark("vllm/dual-gumbel-1"),
    Mark("sglang/aaronson-1"),
    Mark("sglang/aaronson-dual-1", words=2),
    Mark("meta/textseal-2"),
    Mark("meta/textseal-2", words=2, note=", two keys"),
    Mark("deepmind/synthid-2", words=LAYERS, is_slow=True),
    Mark("hf/synthid-1", words=LAYERS, is_slow=True),
    Mark("hf/kgw-lefthash-1", needs_vocab=True, is_slow=True),
    Mark("hf/kgw-selfhash-1", parameters={"context_width": 4}, needs_vocab=True, is_slow=True),
    Mark("sbw/lefthash-1"),
    Mark("sbw/selfhash-1"),
)


def answers(model: Model, mark: Mark, settings: Settings, count: int, tokens: int) -> Iterator[Any]:
    """Yield the ring and the tokens of each of ``count`` answers."""
    vocab = len(model.tokenizer)
    rings = [mark.ring(key, vocab) for key in range(count)]
    ids = model.marked_by_many(
        [cm.Sampler(ring, "test") for ring in rings],
        model.start(count),
        tokens,
        settings,
        seed=1,
    )
    yield from zip(rings, ids, strict=True)


def power(model: Model, marks: Marks, count: int) -> None:
    """Print the median of -log10 p, and in brackets the share found at 10^-6, in per cent."""
    columns = [f"{s}: {n}" for s in SETTINGS for n in LENGTHS]
    head("mark", columns)
    for mark in track(marks, "power", transient=True):
        cells = []
        for settings in SETTINGS:
            found = [
                [cm.Detector(ring).detect(ids[:n]).log10_p for n in LENGTHS]
                for ring, ids in answers(model, mark, settings, count, max(LENGTHS))
            ]
            table = np.array(found)
            cells += [
                f"{-np.median(column):.1f} ({np.mean(column <= -6):.0%})" for column in table.T
            ]
        row(str(mark), cells)


def edits(model: Model, marks: Marks, count: int) -> None:
    """Print the share found at 10^-6 after words were changed."""
    tokenizer = cm.Tokenizer(model.tokenizer)
    changes: dict[str, Change] = {"none": lambda text, _, __: text}
    changes |= {f"{share:.0%} deleted": _deleting(share) for share in SHARES}
    changes |= {f"{share:.0%} substituted": _substituting(share) for share in SHARES}
    head("mark", [f"{s}: {name}" for s in SETTINGS[:2] for name in changes])
    for mark in track(marks, "edits", transient=True):
        cells = []
        for settings in SETTINGS[:2]:
            made = list(answers(model, mark, settings, count, max(LENGTHS)))
            texts = [tokenizer.decode(ids) for _, ids in made]
            words = " ".join(texts).split()
            for change in changes.values():
                found = [
                    cm.Detector(ring).detect(tokenizer.encode(change(text, words, i))).log10_p <= -6
                    for i, ((ring, _), text) in enumerate(zip(made, texts, strict=True))
                ]
                cells.append(f"{np.mean(found):.0%}")
        row(str(mark), cells)


def _deleting(share: float) -> Change:
    return lambda text, _, seed: delete(text, share, seed)


def _substituting(share: float) -> Change:
    return lambda text, words, seed: substitute(text, share, words, seed)


def rates(documents: list[Ids], marks: Marks, vocab: int, pairs: int) -> None:
    """Print realised over nominal error rates: ours, all tests together, the engine's own."""
    columns = [f"{name} at {r:g}" for name in ("sum", "all", "engine") for r in RATES]
    head("mark", ["pairs", *columns])
    for mark in track(marks, "error rates", transient=True):
        wanted = pairs // 10 if mark.is_slow else pairs
        keys = max(1, round(wanted / len(documents)))
        found = [
            [_numbers(a, b) for a, b in zip(*_detect(mark, key, documents, vocab), strict=True)]
            for key in range(keys)
        ]
        table = np.array(found).reshape(-1, 3)
        cells = [f"{len(table):.2g}"]
        for column in table.T:
            if np.isnan(column).all():
                cells += [""] * len(RATES)
                continue
            cells += [f"{np.mean(column <= np.log10(rate)) / rate:.2f}" for rate in RATES]
        row(str(mark), cells)


def other_keys(model: Model, marks: Marks, count: int, decoys: int) -> None:
    """Print the realised over nominal rates of keys on answers that other keys marked."""
    head("mark", ["pairs", *(f"at {rate:g}" for rate in RATES[:3])])
    for mark in track(marks, "other keys", transient=True):
        found = np.concatenate(
            [
                cm.Detector(ring).rank(ids, decoys=decoys, start="unknown").decoys
                for ring, ids in answers(model, mark, SETTINGS[0], count, max(LENGTHS))
            ]
        )
        cells = [f"{np.mean(found <= np.log10(rate)) / rate:.2f}" for rate in RATES[:3]]
        row(str(mark), [f"{len(found):.2g}", *cells])


def _detect(
    mark: Mark, key: int, documents: list[Ids], vocab: int
) -> tuple[list[cm.Detection], list[cm.Detection]]:
    detector = cm.Detector(mark.ring(key, vocab))
    return detector.detect_many(documents, start="unknown"), detector.detect_many(documents)


def _numbers(of_sum: cm.Detection, of_all: cm.Detection) -> tuple[float, float, float]:
    engine = of_sum.best.engine
    own = None if engine is None else engine.log10_p
    return of_sum.log10_p, of_all.log10_p, np.nan if own is None else own


def head(first: str, columns: list[str]) -> None:
    """Print the head of a table."""
    print()
    row(first, columns)
    row("---", ["---"] * len(columns))


def row(first: str, cells: list[str]) -> None:
    """Print a row of a table."""
    print("| " + " | ".join([first, *cells]) + " |", flush=True)


def spread(documents: dict[str, npt.NDArray[np.int32]]) -> list[Ids]:
    """Return the documents of all kinds."""
    return [document for kind in documents.values() for document in kind]


def main() -> None:
    """Print the tables asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("texts", type=Path)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("--answers", type=int, default=48)
    parser.add_argument("--pairs", type=float, default=1e5)
    parser.add_argument("--decoys", type=int, default=400, help="keys tried on a marked answer")
    parser.add_argument("--what", nargs="+", default=list(WHAT), choices=WHAT)
    parser.add_argument("--marks", nargs="+", help="these alone")
    parser.add_argument("--documents", type=int, default=60, help="of each kind at most")
    arguments = parser.parse_args()
    model = Model(arguments.model)
    marks = [m for m in MARKS if arguments.marks is None or m.name in arguments.marks]
    if "power" in arguments.what:
        power(model, marks, arguments.answers)
    if "edits" in arguments.what:
        edits(model, marks, arguments.answers)
    if "rates" in arguments.what:
        tokenizer = cm.Tokenizer.load(arguments.tokenizer)
        documents = spread(read(arguments.texts, tokenizer, arguments.documents))
        rates(documents, marks, tokenizer.vocab_size, round(arguments.pairs))
    if "other_keys" in arguments.what:
        other_keys(model, marks, arguments.answers, arguments.decoys)


if __name__ == "__main__":
    main()
