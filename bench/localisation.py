"""Where in human texts marked parts are found, and how exactly.

    python bench/localisation.py MODEL_FOLDER TEXT_FOLDER [--documents 200] [--plots FOLDER]

Prints the table of docs/measurements.md. Parts of marked answers are put at random places of the
novels in TEXT_FOLDER/novels-en, as token ids, each document under keys of its own. A part is found
if a region under its key, of a corrected p-value of at most 10^-4, overlaps it; of its ends the
table has the median error in tokens. An answer's first 24 tokens are drawn without the mark.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import track
from scipy.stats import binomtest

import countermark as cm
import figures
from answers import Ids, Model, Settings, profile

SETTINGS = (Settings(1.0), Settings(0.8, 0.95))
RATE = 1e-4
TOKENS = 400
FREE_PREFIX = 24
FRAGMENTS, FRAGMENT_TOKENS = 5, 80
APART = 100  # tokens between two parts, at least
SMOOTHED = 64

# What is put into one document, as (profile, ids, free tokens), and a ring with its keys.
Planted = tuple[cm.KeyRing, list[tuple[str, Ids, int]]]
Plan = Callable[[int], Planted]


@dataclass
class Part:
    """Where a marked part is, and under which profile."""

    profile: str
    begin: int
    end: int
    first_marked: int


@dataclass
class Document:
    """A human text with marked parts, and what was found in it."""

    ids: Ids
    parts: list[Part]
    detection: cm.Detection
    seconds: float


def plant(
    human: Ids, answers: Sequence[tuple[str, Ids, int]], tokens: int, draw: np.random.Generator
) -> tuple[Ids, list[Part]]:
    """Put ``answers`` (profile, ids, free tokens) into ``tokens`` tokens, the rest of ``human``."""
    rest = tokens - sum(len(ids) for _, ids, _ in answers)
    begin = int(draw.integers(len(human) - rest + 1))
    text = human[begin : begin + rest]
    slack = rest - APART * (len(answers) - 1)
    places = np.sort(draw.integers(slack + 1, size=len(answers))) + APART * np.arange(len(answers))
    pieces, parts, done, length = [], [], 0, 0
    for place, (name, ids, free) in zip(places.tolist(), answers, strict=True):
        pieces += [text[done:place], ids]
        length += place - done
        parts.append(Part(name, length, length + len(ids), length + free))
        length += len(ids)
        done = place
    return np.concatenate([*pieces, text[done:]]), parts


def overlapping(part: Part, regions: Sequence[cm.Region]) -> list[cm.Region]:
    """Return the regions under a part's key that overlap it."""
    return [
        r
        for r in regions
        if r.profile == part.profile and r.begin < part.end and part.begin < r.end
    ]


class Answers:
    """Marked answers of one way of sampling, each under a key of its own."""

    def __init__(self, model: Model, settings: Settings, count: int, seed: int) -> None:
        self.model = model
        samplers = [cm.Sampler(profile(model, key), "test") for key in range(count)]
        tokens = FREE_PREFIX + FRAGMENTS * FRAGMENT_TOKENS
        self.ids = model.marked_by_many(samplers, model.start(count), tokens, settings, seed)

    def whole(self, i: int) -> Planted:
        """Return the beginning of answer ``i``, and a ring with its key."""
        return profile(self.model, i), [("test", self.ids[i, :TOKENS], FREE_PREFIX)]

    def fragments(self, i: int) -> Planted:
        """Return what answer ``i`` has after its free tokens, in fragments."""
        pieces = np.split(self.ids[i, FREE_PREFIX:], FRAGMENTS)
        return profile(self.model, i), [("test", piece, 0) for piece in pieces]

    def two(self, i: int) -> Planted:
        """Return answer ``i`` and the next one, and a ring with both keys."""
        ring, answers = self.whole(i)
        other = (i + 1) % len(self.ids)
        ring.import_secret("other", other.to_bytes(32, "little"), tokenizer=self.model.tokenizer)
        return ring, [*answers, ("other", self.ids[other, :TOKENS], FREE_PREFIX)]


def examine(
    ring: cm.KeyRing,
    answers: Sequence[tuple[str, Ids, int]],
    human: Ids,
    tokens: int,
    draw: np.random.Generator,
) -> Document:
    """Make a document and detect in it."""
    ids, parts = plant(human, answers, tokens, draw)
    detector = cm.Detector(ring, false_positive_rate=RATE)
    begin = time.perf_counter()
    detection = detector.detect(ids)
    return Document(ids, parts, detection, time.perf_counter() - begin)


def print_row(name: str, documents: Sequence[Document]) -> None:
    """Print what was found in documents of one kind."""
    begins, begins_marked, ends, regions = [], [], [], []
    found = parts = false = 0
    for document in documents:
        true: set[tuple[str, int]] = set()
        for part in document.parts:
            parts += 1
            hits = overlapping(part, document.detection.regions)
            if not hits:
                continue
            found += 1
            true |= {(r.profile, r.begin) for r in hits}
            regions.append(len(hits))
            begins.append(abs(hits[0].begin - part.begin))
            begins_marked.append(abs(hits[0].begin - part.first_marked))
            ends.append(abs(hits[-1].end - part.end))
        false += len(document.detection.regions) - len(true)
    exact = binomtest(found, parts).proportion_ci(0.95, method="exact")
    errors = [f"{np.median(e):.0f}" if e else "" for e in (begins, begins_marked, ends)]
    cells = [
        name,
        str(len(documents)),
        f"{found / parts:.1%} ({100 * exact.low:.1f} to {100 * exact.high:.1f})",
        *errors,
        f"{np.mean(regions):.2f}" if regions else "",
        f"{false / len(documents):.3f}",
        f"{1e3 * np.median([d.seconds for d in documents]):.3g} ms",
    ]
    print("| " + " | ".join(cells) + " |", flush=True)


def read_human(folder: Path, model: Model) -> Ids:
    """Return the tokens of all texts in ``folder``, one after another."""
    tokenizer = cm.Tokenizer(model.tokenizer)
    texts = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.txt"))]
    return np.concatenate([tokenizer.encode(text) for text in texts])


def plot(document: Document, folder: Path) -> None:
    """Scores of one document, smoothed, with what was planted and what was found."""
    scores = document.detection.token_scores
    places = np.flatnonzero(~np.isnan(scores))
    smooth = np.convolve(scores[places], np.full(SMOOTHED, 1 / SMOOTHED), mode="valid")
    centres = places[SMOOTHED // 2 :][: len(smooth)]
    figure, axis = figures.subplots(1, 1, (9, 3))
    axis.plot(centres[::8], smooth[::8], lw=0.7, label=f"mean score of {SMOOTHED} tokens")
    axis.axhline(1, color="grey", lw=0.7)
    for part in document.parts:
        axis.axvspan(part.begin, part.end, ymax=0.05, color="tab:green", label="planted")
    for region in document.detection.regions:
        axis.axvspan(region.begin, region.end, color="tab:orange", alpha=0.3, label="found")
    axis.set(xlabel="token", xlim=(0, len(scores)), ylim=(0, None))
    axis.legend(loc="upper left")
    figures.save(figure, folder / "localisation.svg")


def main() -> None:
    """Print one row for each kind of document."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("texts", type=Path)
    parser.add_argument("--documents", type=int, default=200)
    parser.add_argument("--plots", type=Path)
    arguments = parser.parse_args()
    model = Model(arguments.model)
    human = read_human(arguments.texts / "novels-en", model)
    count = arguments.documents
    warm, cool = (Answers(model, settings, count, seed=2) for settings in SETTINGS)

    kinds: list[tuple[str, Plan, int, int]] = [
        ("an answer in 12,000 tokens", warm.whole, 12_000, count),
        (f"the same at {SETTINGS[1]}", cool.whole, 12_000, count),
        ("five fragments in 4,000", warm.fragments, 4_000, count),
        (f"the same at {SETTINGS[1]}", cool.fragments, 4_000, count),
        ("answers under two keys in 12,000", warm.two, 12_000, count),
        (f"the same at {SETTINGS[1]}", cool.two, 12_000, count),
        ("an answer in 100,000", warm.whole, 100_000, count),
        (f"the same at {SETTINGS[1]}", cool.whole, 100_000, count),
        ("an answer in 1,000,000", warm.whole, 1_000_000, -(-count // 10)),
        (f"the same at {SETTINGS[1]}", cool.whole, 1_000_000, -(-count // 10)),
    ]
    print(
        "| document | documents | parts found | median error of the begin | from the first marked "
        "token | of the end | regions for a part found | false regions a document | time |"
    )
    print("|" + "---|" * 9)
    for name, plan, tokens, documents in kinds:
        draw = np.random.default_rng(tokens)
        examined = [
            examine(*plan(i), human, tokens, draw)
            for i in track(range(documents), name, transient=True)
        ]
        print_row(name, examined)
        if arguments.plots and plan == warm.whole and tokens == 12_000:
            plot(examined[0], arguments.plots)


if __name__ == "__main__":
    main()
