"""What screening a corpus finds of a ring of accounts, and how many innocents it takes for guilty.

    python bench/ring.py MODEL_FOLDER TEXT_FOLDER [--rings 3]

Prints the tables of docs/accounts.md. 200 of 10^6 accounts have 5 answers each in a corpus of
21,000 texts in random order; the others are parts of the novels in TEXT_FOLDER and answers that
nobody marked, half of them sampled in each of the two ways. Every text has 300 tokens. Each ring
has a key of its own (the secrets 0, 1, 2, ...).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.progress import track

import countermark as cm
from answers import Ids, Model, Settings, profile
from localisation import read_human

REGISTERED = 10**6
GUILTY, EACH = 200, 5
TOKENS = 300
UNMARKED = 20_000
SMALL_GUILTY, SMALL_UNMARKED = 20, 1900
SETTINGS = (Settings(1.0), Settings(0.8, 0.95))
AT_ONCE = 500
RATES = (0.01, 0.1, 0.5)  # the first one is screened with
E_VALUES = (10, 100, 1000)

NULL_REGISTERED, NULL_TEXTS = 1000, 100


@dataclass
class Screened:
    """What became of one corpus."""

    texts: int
    searched: int
    marked_searched: float
    # log10 of the e-values above 1, largest first, and whose they are.
    log10_e: npt.NDArray[np.float64]
    is_guilty: npt.NDArray[np.bool_]
    tested: int
    seconds: float

    def discovered(self, rate: float) -> tuple[int, int]:
        """Return how many guilty and innocent accounts e-BH discovers at a rate."""
        order = np.arange(1, len(self.log10_e) + 1)
        enough = np.flatnonzero(self.log10_e >= np.log10(self.tested / rate / order))
        count = int(enough[-1]) + 1 if len(enough) else 0
        guilty = int(self.is_guilty[:count].sum())
        return guilty, count - guilty


def screen(
    tracer: cm.Tracer, texts: Sequence[tuple[Ids, bool]], guilty: Iterable[int], ours_rate: float
) -> Screened:
    """Screen texts, of which some are marked."""
    screening = cm.Screening(tracer, false_discovery_rate=RATES[0], ours_rate=ours_rate)
    begin = time.process_time()
    searched = [is_marked for ids, is_marked in texts if screening.add(ids).is_searched]
    result = screening.result()
    seconds = time.process_time() - begin
    some = [evidence for evidence in result.accounts if evidence.log10_e > 0]
    screened = Screened(
        len(texts),
        result.searched,
        sum(searched) / max(1, sum(is_marked for _, is_marked in texts)),
        np.array([evidence.log10_e for evidence in some]),
        np.isin([evidence.account for evidence in some], list(guilty)),
        result.tested,
        seconds,
    )
    assert result.discovered == sum(screened.discovered(RATES[0]))
    return screened


def unmarked_texts(model: Model, folder: Path) -> Ids:
    """Return texts [20000, 300], half of them by people."""
    half = UNMARKED // 2
    human = np.concatenate([read_human(folder / f"novels-{x}", model) for x in ("en", "de")])
    pieces = human[: len(human) // TOKENS * TOKENS].reshape(-1, TOKENS)
    texts = [pieces[np.linspace(0, len(pieces) - 1, half).astype(int)]]
    batches = [(s, i) for s in SETTINGS for i in range(half // len(SETTINGS) // AT_ONCE)]
    for number, (settings, _) in enumerate(track(batches, "unmarked", transient=True)):
        texts.append(model.unmarked(model.start(AT_ONCE), TOKENS, settings, number))
    return np.concatenate(texts)


class Ring:
    """Guilty accounts and their answers."""

    def __init__(self, model: Model, settings: Settings, key: int) -> None:
        self.draw = np.random.default_rng(key)
        self.ring = profile(model, key, accounts=True)
        self.guilty = self.draw.choice(REGISTERED, GUILTY, replace=False).tolist()
        samplers = [cm.Sampler(self.ring, "test")] * AT_ONCE
        accounts = np.repeat(self.guilty, EACH).tolist()
        self.answers = np.concatenate(
            [
                model.marked_by_many(
                    samplers,
                    model.start(AT_ONCE),
                    TOKENS,
                    settings,
                    begin,
                    accounts[begin : begin + AT_ONCE],
                )
                for begin in range(0, GUILTY * EACH, AT_ONCE)
            ]
        )

    def corpus(self, guilty: int, unmarked: Ids) -> list[tuple[Ids, bool]]:
        """Mix the answers of the first guilty accounts into ``unmarked``."""
        texts = [(ids, True) for ids in self.answers[: guilty * EACH]]
        texts += [(ids, False) for ids in unmarked]
        return [texts[i] for i in self.draw.permutation(len(texts))]


def print_head(*columns: str) -> None:
    """Print the head of a table."""
    print("\n| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))


def row_of(settings: Settings, ours_rate: float, guilty: int, runs: Sequence[Screened]) -> str:
    """Say what was found in several corpora."""
    cells = [
        str(settings),
        f"{ours_rate:g}",
        str(len(runs)),
        f"{runs[0].texts:,}",
        f"{np.mean([run.searched for run in runs]):,.0f}",
        f"{np.mean([run.marked_searched for run in runs]):.1%}",
    ]
    for rate in RATES:
        found = np.array([run.discovered(rate) for run in runs])
        recall = found[:, 0].sum() / guilty / len(runs)
        proportion = np.mean(found[:, 1] / np.maximum(1, found.sum(1)))
        cells.append(f"{recall:.1%}, {found[:, 1].sum()} ({proportion:.2%})")
    for e in E_VALUES:
        innocent = sum(int(np.sum(r.log10_e[~r.is_guilty] >= np.log10(e))) for r in runs)
        cells.append(f"{innocent / sum(run.tested - guilty for run in runs) * e:.4f}")
    cells.append(f"{np.mean([run.seconds for run in runs]):.0f} s")
    return "| " + " | ".join(cells) + " |"


def print_null(model: Model, unmarked: Ids, repeats: int) -> None:
    """Screen many small corpora without a guilty account."""
    runs = []
    for key in track(range(repeats), "null", transient=True):
        draw = np.random.default_rng(key)
        tracer = cm.Tracer(
            profile(model, key, accounts=True), "test", np.arange(NULL_REGISTERED), threads=1
        )
        rows = draw.choice(len(unmarked), NULL_TEXTS, replace=False)
        runs.append(screen(tracer, [(unmarked[row], False) for row in rows], [], 1.0))
    print(
        f"\n{repeats} corpora of {NULL_TEXTS} unmarked texts, all searched for "
        f"{NULL_REGISTERED} accounts each under a key of its own: corpora with a discovery, and "
        "the share of e-values of so much or more, of what there may be at most:"
    )
    print_head(*(f"at {rate:g}" for rate in RATES), *(f"{e} or more, of 1/{e}" for e in E_VALUES))
    cells = []
    for rate in RATES:
        hits = sum(run.discovered(rate)[1] > 0 for run in runs)
        cells.append(f"{hits} of {rate * repeats:g}")
    for e in E_VALUES:
        count = sum(int(np.sum(run.log10_e >= np.log10(e))) for run in runs)
        cells.append(f"{count / repeats / NULL_REGISTERED * e:.4f}")
    print("| " + " | ".join(cells) + " |")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("texts", type=Path)
    parser.add_argument("--rings", type=int, default=3)
    parser.add_argument("--null", type=int, default=2000, help="corpora without guilty accounts")
    arguments = parser.parse_args()
    model = Model(arguments.model)
    unmarked = unmarked_texts(model, arguments.texts)

    print("Cells: guilty accounts discovered, innocent ones (their mean share of the discovered).")
    print_head(
        "temperature, top-p",
        "ours_rate",
        "rings",
        "texts",
        "searched",
        "of the marked",
        *(f"at {rate:g}" for rate in RATES),
        *(f"innocent, e of {e} or more, of 1/{e}" for e in E_VALUES),
        "processor time",
    )
    for settings in SETTINGS:
        runs: dict[tuple[float, int], list[Screened]] = {}
        for key in track(range(arguments.rings), str(settings), transient=True):
            ring = Ring(model, settings, key)
            tracer = cm.Tracer(ring.ring, "test", np.arange(REGISTERED))
            plan = [(0.1, GUILTY, unmarked)]
            if key == 0:
                few = unmarked[:: len(unmarked) // SMALL_UNMARKED][:SMALL_UNMARKED]
                plan += [(rate, SMALL_GUILTY, few) for rate in (0.1, 1.0)]
            for ours_rate, guilty, others in plan:
                texts = ring.corpus(guilty, others)
                screened = screen(tracer, texts, ring.guilty[:guilty], ours_rate)
                runs.setdefault((ours_rate, guilty), []).append(screened)
        for how, some in runs.items():
            print(row_of(settings, *how, some), flush=True)
    print_null(model, unmarked, arguments.null)


if __name__ == "__main__":
    main()
