"""What an account, or somebody else, can do about whom a text is laid to.

    python bench/forgery.py MODEL_FOLDER TEXT_FOLDER TOKENIZER
        [--answers 64] [--cache FILE] [--tables retries edits ...]

Texts of 300 tokens, one key, 10^6 accounts searched at a rate of 10^-3, the profile's defaults.
The attacker has the model itself, unmarked: no better one can be had. It knows the mark but not
the key, and keeps answers of an account as a table of what followed which four tokens, without the
free prefix. TEXT_FOLDER has folders "novels-en" and "peps" of prose, which TOKENIZER (a file
tokenizer.json) reads. The answers kept take a quarter of an hour to write; --cache keeps them.
Evidence is -log10 p, in medians. Prints the tables of docs/security.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import digamma
from scipy.stats import gamma
from transformers import LogitsProcessorList, TopPLogitsWarper

import countermark as cm
from answers import Ids, Model, Settings, profile

REGISTERED = 10**6
KEY = 7
TOKENS = 300
FREE_PREFIX = 24
CONTEXT = 4
BITS = 12  # of a token of the model
BATCH = 16  # what a processor's cache holds

PLAIN, SHARP = Settings(1.0), Settings(0.8, 0.95)
# How many of an account's answers are known, and at which settings they were written.
KNOWN = ((PLAIN, (100, 1_000, 10_000)), (SHARP, (100, 1_000)))
UNMARKED = 300
RETRIES = (1, 4, 16, 64)
RETRYING = 16
PROMPT = "Once upon a time, there was a little"
PIECES = (24, 32, 48, 64, 100, 300)
SHORT_PREFIX = 8
RUNS = 32
# Answers of each account that sentences are taken from: more than the longest text takes.
ANSWERS_EACH = 4
TURNS = (1, 5, 10)
TOTALS = (300, 600, 1200)
QUOTES = (50, 75, 100, 150, 200)
BONUS = 1000.0
LONGEST_COPIES = (8, 16)
# How many nats of likelihood an attacker gives for one of expected score.
EAGERNESS = 2.0
# Evidence against one account that a search of all can accuse it by, if nothing else is paid for.
ENOUGH = 9.0

VICTIM, FRAMER = 271_828, 314_159

Numbers = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.uint64]
Tokens = npt.NDArray[np.int64]


def codes(ids: Ids, width: int) -> Codes:
    """Return the n-grams of ``width`` tokens [..., tokens - width + 1], each as a number."""
    count = ids.shape[-1] - width + 1
    code = np.zeros((*ids.shape[:-1], count), np.uint64)
    for j in range(width):
        code = (code << np.uint64(BITS)) | ids[..., j : j + count].astype(np.uint64)
    return code


def hashes(ids: Ids, width: int) -> Codes:
    """Return a hash of each n-gram, for those too long for ``codes``."""
    count = ids.shape[-1] - width + 1
    code = np.zeros((*ids.shape[:-1], count), np.uint64)
    for j in range(width):
        code = code * np.uint64(0x9E3779B97F4A7C15) + ids[..., j : j + count].astype(np.uint64)
        code ^= code >> np.uint64(29)
    return code


def is_in(values: Codes, table: Codes) -> Flags:
    """Say which ``values`` the sorted ``table`` has."""
    places = np.minimum(np.searchsorted(table, values), len(table) - 1)
    found: Flags = table[places] == values
    return found


class Collection:
    """Answers of one account [answers, tokens], as somebody keeps them who knows the mark."""

    def __init__(self, answers: Ids, log_p: Numbers) -> None:
        """Take the log-probability of each token, too, that it was drawn with."""
        marked = codes(answers[:, FREE_PREFIX - CONTEXT :], CONTEXT + 1).ravel()
        order = np.argsort(marked)
        self._marked, first = np.unique(marked[order], return_index=True)
        # A token drawn with probability p has the largest of 1 / p scores, so to speak.
        least = np.minimum.reduceat(log_p[:, FREE_PREFIX:].ravel()[order], first)
        self._scores = digamma(np.exp(-least.astype(np.float64)) + 1) + np.euler_gamma
        self._long = {n: np.unique(hashes(answers, n + 1)) for n in LONGEST_COPIES}
        every = codes(answers, CONTEXT + 1)
        places = np.arange(answers.size).reshape(answers.shape)[:, : every.shape[1]]
        order = np.argsort(every, axis=None, kind="stable")
        self._every, self._places = every.ravel()[order], places.ravel()[order]

    def followers(self, context: np.uint64) -> tuple[Tokens, Numbers]:
        """Return the tokens seen after ``context``, and what score each is expected to have."""
        first = context << np.uint64(BITS)
        ends = np.array([first, first + np.uint64(1 << BITS)])
        low, high = np.searchsorted(self._marked, ends)
        return (self._marked[low:high] - first).astype(np.int64), self._scores[low:high]

    def has(self, grams: Codes) -> Flags:
        """Say which tokens were seen after their contexts."""
        return is_in(grams, self._marked)

    def has_anywhere(self, grams: Codes) -> Flags:
        """Say the same of all the answers, free prefixes too."""
        return is_in(grams, self._every)

    def copies(self, last: Ids, tokens: Tokens) -> Flags:
        """Say which ``tokens`` would go on with a copy that ``last`` already is."""
        after = np.empty((len(tokens), len(last) + 1), np.int32)
        after[:, :-1] = last
        after[:, -1] = tokens
        return is_in(hashes(after, len(last) + 1)[:, 0], self._long[len(last)])

    def longest_run(self, text: Ids) -> int:
        """Return how many tokens in a row ``text`` has from one answer; 0 for fewer than five."""
        longest = 0
        places = np.empty(0, np.int64)
        lengths = np.empty(0, np.int64)
        for gram in codes(text, CONTEXT + 1):
            low = np.searchsorted(self._every, gram)
            high = np.searchsorted(self._every, gram, side="right")
            here = self._places[low:high]  # ascending, for the sort was stable
            now = np.full(len(here), CONTEXT + 1)
            if len(places) and len(here):
                before = np.minimum(np.searchsorted(places, here - 1), len(places) - 1)
                goes_on = places[before] == here - 1
                now[goes_on] = lengths[before[goes_on]] + 1
            places, lengths = here, now
            longest = max(longest, int(now.max(initial=0)))
        return longest


@dataclass
class Kept:
    """Answers of the victim's: all, the first so many of them as collections, and new ones."""

    settings: Settings
    answers: Ids
    collections: dict[int, Collection]
    new: Ids


@dataclass
class Step:
    """Where a batch of the texts is that an attacker writes."""

    rows: slice
    history: Ids  # [rows, tokens so far]
    logits: torch.Tensor  # [rows, vocab], divided by the temperature
    draw: Callable[[torch.Tensor], Ids]

    @property
    def place(self) -> int:
        """How many tokens there are."""
        return int(self.history.shape[1])

    @property
    def contexts(self) -> Codes:
        """The last four tokens of each, where there are as many."""
        return codes(self.history[:, -CONTEXT:], CONTEXT)[:, 0]


Choice = Callable[[Step], Ids]


IsOver = Callable[[Ids], bool]


class Relay:
    """A batch of texts of which each piece is a response of its own, by accounts in turn."""

    def __init__(
        self,
        sampler: cm.Sampler,
        accounts: Sequence[Sequence[int]],
        settings: Settings,
        seeds: Iterator[int],
        is_over: IsOver,
    ) -> None:
        self._sampler, self._accounts, self._settings = sampler, accounts, settings
        self._seeds, self._is_over = seeds, is_over
        self._pieces = [0] * len(accounts)
        self._sequences = [self._begin(row) for row in range(len(accounts))]
        self.owners: list[list[int]] = []  # [tokens][rows]

    def _owner(self, row: int) -> int:
        return self._accounts[row][self._pieces[row] % len(self._accounts[row])]

    def _begin(self, row: int) -> cm.Sequence:
        return self._sampler.sequence(account=self._owner(row), seed=next(self._seeds))

    def draw(self, logits: torch.Tensor) -> Ids:
        """Draw each text's next token."""
        self.owners.append([self._owner(row) for row in range(len(self._accounts))])
        settings = self._settings
        ids = self._sampler.sample_batch(
            logits, self._sequences, temperature=settings.temperature, top_p=settings.top_p
        )
        for row, sequence in enumerate(self._sequences):
            if self._is_over(sequence.tokens):
                self._pieces[row] += 1
                self._sequences[row] = self._begin(row)
        return ids


class Writer(Model):
    """The model, in the hands of the provider and of the attacker."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        pieces = self.tokenizer.convert_ids_to_tokens(list(range(len(self.tokenizer))))
        self.ends_sentence = np.array([any(c in piece for c in ".!?") for piece in pieces])

    def answers(
        self,
        sampler: cm.Sampler,
        accounts: Sequence[int],
        settings: Settings,
        seed: int,
        prompt: str = "",
    ) -> Ids:
        """Return an answer [accounts, tokens] for each of ``accounts``."""
        written = []
        for i in range(0, len(accounts), BATCH):
            part = accounts[i : i + BATCH]
            prompts = self.prompt(prompt, len(part))
            samplers = [sampler] * len(part)
            number = seed * 1000 + i // BATCH
            ids = self.marked_by_many(samplers, prompts, TOKENS, settings, number, part)
            written.append(ids)
        return np.concatenate(written)

    def in_pieces(
        self,
        sampler: cm.Sampler,
        accounts: Sequence[Sequence[int]],
        settings: Settings,
        seed: int,
        is_over: IsOver,
    ) -> tuple[Ids, Tokens]:
        """Return texts [rows, tokens] whose pieces are responses to the text so far.

        Those of row i are by ``accounts[i]`` in turn; ``is_over(tokens)`` says when one
        ends. Also returns whose each token is.
        """
        seeds = iter(range(seed << 32, (seed + 1) << 32))
        ids, owners = [], []
        for i in range(0, len(accounts), BATCH):
            relay = Relay(sampler, accounts[i : i + BATCH], settings, seeds, is_over)
            ids.append(self._run(self.start(len(accounts[i : i + BATCH])), TOKENS, relay.draw))
            owners.append(np.array(relay.owners).T)
        return np.concatenate(ids), np.concatenate(owners)

    def steered(self, count: int, settings: Settings, seed: int, choose: Choice) -> Ids:
        """Return unmarked texts [count, tokens] whose tokens ``choose`` has the last word on."""
        generator = torch.Generator().manual_seed(seed)
        warpers = LogitsProcessorList()
        if settings.top_p < 1:
            warpers.append(TopPLogitsWarper(settings.top_p))

        def sample(logits: torch.Tensor) -> Ids:
            weights = torch.softmax(warpers(None, logits), dim=-1)
            ids = torch.multinomial(weights, 1, generator=generator)[:, 0]
            return ids.numpy().astype(np.int32)

        def batch(rows: slice) -> Ids:
            history = np.empty((rows.stop - rows.start, 0), np.int32)

            def draw(logits: torch.Tensor) -> Ids:
                nonlocal history
                logits = logits.double() / settings.temperature
                chosen = choose(Step(rows, history, logits, sample)).astype(np.int32)
                history = np.append(history, chosen[:, None], axis=1)
                return chosen

            return self._run(self.start(len(history)), TOKENS, draw)

        return np.concatenate(
            [batch(slice(i, min(i + BATCH, count))) for i in range(0, count, BATCH)]
        )

    @torch.inference_mode()
    def log_probabilities(self, texts: Ids, temperature: float, prompt: str = "") -> Numbers:
        """Return that of each token [texts, tokens], in nats."""
        parts = []
        for i in range(0, len(texts), BATCH):
            ids = torch.from_numpy(texts[i : i + BATCH].astype(np.int64))
            prompts = torch.tensor(self.prompt(prompt, len(ids)))
            logits = self.model(torch.cat([prompts, ids], dim=1)).logits.float()
            logits = logits[:, prompts.shape[1] - 1 : -1] / temperature
            logits[..., self.forbidden] = -torch.inf
            taken = logits.gather(2, ids[..., None])[..., 0]
            parts.append((taken - logits.logsumexp(-1)).numpy())
        return np.concatenate(parts)

    def quality(self, texts: Ids, prompt: str = "") -> str:
        """Return the median over texts of the mean over tokens at temperature 1, as a cell."""
        return f"{np.median(self.log_probabilities(texts, 1.0, prompt).mean(1)):.2f}"


def after_tokens(count: int) -> IsOver:
    """Return what says that a piece has so many tokens."""
    return lambda tokens: len(tokens) == count


def after_sentences(count: int, ends: Flags) -> IsOver:
    """Return what says that a piece has so many sentences."""
    return lambda tokens: bool(ends[tokens].sum() == count)


# How an attacker writes.


def freely(step: Step) -> Ids:
    """Draw from the model."""
    return step.draw(step.logits)


def redrawing(originals: Ids, collection: Collection, most: float = 1.0) -> Choice:
    """Edit ``originals``: draw anew whatever the collection has in the same context.

    But only what the model finds a probability of ``most`` in.
    """

    def choose(step: Step) -> Ids:
        original = originals[step.rows, step.place]
        if step.place < FREE_PREFIX:
            return original
        grams = (step.contexts << np.uint64(BITS)) | original.astype(np.uint64)
        weights = torch.softmax(step.logits, dim=-1).numpy()
        unlikely = weights[np.arange(len(original)), original] <= most
        return np.where(collection.has(grams) & unlikely, step.draw(step.logits), original)

    return choose


def redrawing_at(originals: Ids, places: Flags) -> Choice:
    """Edit ``originals``: draw anew at ``places`` [texts, tokens]."""

    def choose(step: Step) -> Ids:
        original = originals[step.rows, step.place]
        return np.where(places[step.rows, step.place], step.draw(step.logits), original)

    return choose


def replacing_at(originals: Ids, places: Flags) -> Choice:
    """Edit ``originals``: draw something else at ``places`` [texts, tokens]."""

    def choose(step: Step) -> Ids:
        original = originals[step.rows, step.place]
        others = step.logits.clone()
        others[np.arange(len(original)), original.astype(np.int64)] = -torch.inf
        return np.where(places[step.rows, step.place], step.draw(others), original)

    return choose


def favouring(collection: Collection) -> Choice:
    """Draw from the model, what the collection has being BONUS times as likely."""

    def choose(step: Step) -> Ids:
        if step.place >= CONTEXT:
            for row, context in enumerate(step.contexts):
                tokens, _ = collection.followers(context)
                step.logits[row, tokens] += float(np.log(BONUS))
        return step.draw(step.logits)

    return choose


def following(collection: Collection, eagerness: float = 0.0, longest: int | None = None) -> Choice:
    """Take the best of what the collection has; else draw from the model.

    That is the likeliest, or what has the best of likelihood and expected score, but no token that
    would repeat a context: nothing is scored twice. With ``longest``, one of LONGEST_COPIES, no
    more tokens in a row are those of one answer, but for its free prefix.
    """

    def choose(step: Step) -> Ids:
        chosen = np.full(len(step.history), -1)
        if step.place >= CONTEXT:
            for row, context in enumerate(step.contexts):
                tokens, scores = collection.followers(context)
                barred = repeats(step.history[row], tokens)
                if longest and step.place >= longest:
                    copied = collection.copies(step.history[row, -longest:], tokens)
                    step.logits[row, tokens[copied]] = -torch.inf
                    barred |= copied
                if not barred.all():
                    value = step.logits[row, tokens].numpy() + eagerness * scores
                    chosen[row] = tokens[np.where(barred, -np.inf, value).argmax()]
        return np.where(chosen >= 0, chosen, step.draw(step.logits))

    return choose


def repeats(history: Ids, tokens: Tokens) -> Flags:
    """Say which ``tokens`` would make a context that ``history`` has already."""
    new = (codes(history[1 - CONTEXT :], CONTEXT - 1) << np.uint64(BITS)) | tokens.astype(np.uint64)
    return np.isin(new, codes(history, CONTEXT))


def every_fifth(originals: Ids, collection: Collection) -> Choice:
    """Edit ``originals``: every fifth token becomes the best of what the collection has.

    So each is in a context of the original.
    """

    def choose(step: Step) -> Ids:
        chosen: Ids = originals[step.rows, step.place].copy()
        if step.place % (CONTEXT + 1) == CONTEXT:
            for row, context in enumerate(step.contexts):
                tokens, scores = collection.followers(context)
                if len(tokens):
                    value = step.logits[row, tokens].numpy() + EAGERNESS * scores
                    chosen[row] = tokens[value.argmax()]
        return chosen

    return choose


# What the provider says.


@dataclass
class Look:
    """What a search says of one text."""

    account: float  # evidence against the account asked about
    ours: float
    accused: list[int]


class Provider:
    """A key, and all accounts of it."""

    # Searched by all providers, and those for which an innocent account was accused.
    texts: ClassVar[int] = 0
    innocents: ClassVar[int] = 0

    def __init__(self, model: Model, **parameters: int) -> None:
        ring = profile(model, KEY, accounts=True, **parameters)
        self.sampler = cm.Sampler(ring, "test", threads=1)
        self._tracer = cm.Tracer(ring, "test", np.arange(REGISTERED), threads=1)
        self._detector = cm.Detector(ring)

    def trace(self, text: Ids, guilty: Iterable[int]) -> cm.Trace:
        """Search all accounts; count a text for which an innocent one is accused."""
        trace = self._tracer.trace(text)
        Provider.texts += 1
        Provider.innocents += not set(guilty).issuperset(trace.accused)
        return trace

    def look(self, text: Ids, account: int) -> Look:
        """Search one text, of which ``account`` may be accused, and the framer."""
        trace = self.trace(text, (account, FRAMER))
        score = self._detector.score_account(text, "test", account)
        return Look(-score.log10_p, -trace.ours.log10_p, trace.accused)

    def looks(self, texts: Ids, accounts: Iterable[int]) -> list[Look]:
        """Search many, each for an account of its own."""
        return [self.look(text, a) for text, a in zip(texts, accounts, strict=True)]

    def remaining(self, text: Ids, account: int, collection: Collection) -> tuple[float, float]:
        """Return the share of the wide layer that ``collection`` lacks, and its evidence alone."""
        sums = [
            self._detector.score_account(text[:n], "test", account, "unknown")
            for n in range(CONTEXT, len(text) + 1)
        ]
        scored = np.diff([total.scored for total in sums]) > 0
        scores = np.diff([total.score for total in sums])
        new = scored & ~collection.has_anywhere(codes(text, CONTEXT + 1))
        log_p = gamma.logsf(scores[new].sum(), new.sum()) if new.any() else 0.0
        return float(new.sum() / max(scored.sum(), 1)), float(-log_p / np.log(10))


def share(flags: Iterable[bool]) -> str:
    """Return how often something is so, as a cell."""
    return f"{np.mean(list(flags)):.0%}"


def median(values: Iterable[float]) -> str:
    """Return a median as a cell."""
    return f"{np.median(list(values)):.1f}"


def print_head(title: str, *columns: str) -> None:
    """Print the head of a table."""
    print(f"\n{title}\n\n| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns), flush=True)


def print_row(*cells: object) -> None:
    """Print a row."""
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


# A. Evading.


def print_retries(model: Writer, provider: Provider) -> None:
    """Say what is gained by publishing the least alike of many answers to one prompt."""
    print_head(
        f'Of m answers to "{PROMPT}", the one that has the fewest 5-grams in common with the '
        f"others; {RETRYING} accounts:",
        *("temperature, top-p", "m", "5-grams shared", "traced", "account", "ours", "log p"),
    )
    accounts = np.random.default_rng(1).integers(REGISTERED, size=RETRYING).tolist()
    for number, (settings, _) in enumerate(KNOWN):
        everyone = [account for account in accounts for _ in range(max(RETRIES))]
        ids = model.answers(provider.sampler, everyone, settings, 10 + number, PROMPT)
        answers = ids.reshape(RETRYING, max(RETRIES), TOKENS)
        for m in RETRIES:
            shared = np.array([shares_with_others(own[:m]) for own in answers])
            texts = answers[np.arange(RETRYING), shared.argmin(1)]
            looks = provider.looks(texts, accounts)
            print_row(
                *(settings, m, f"{np.median(shared.min(1)):.0%}", *cells(looks, accounts)),
                model.quality(texts, PROMPT),
            )


def shares_with_others(answers: Ids) -> Numbers:
    """Return the share of each answer's 5-grams that one of the others has."""
    grams = codes(answers, CONTEXT + 1)
    return np.array(
        [np.isin(own, np.delete(grams, i, axis=0)).mean() for i, own in enumerate(grams)]
    )


def cells(looks: Sequence[Look], accounts: Sequence[int]) -> list[str]:
    """Return the share traced, the evidence against the account, and "ours"."""
    return [
        share(account in look.accused for look, account in zip(looks, accounts, strict=True)),
        median(look.account for look in looks),
        median(look.ours for look in looks),
    ]


def agreement(answers: Ids) -> tuple[int, float]:
    """Return how many contexts are there more than once, and how alike what follows them is.

    That is the share of all pairs of a context's places that have the same next token, in the mean
    over contexts.
    """
    grams = codes(answers[:, FREE_PREFIX - CONTEXT :], CONTEXT + 1)
    grams, counts = np.unique(grams, return_counts=True)
    _, which = np.unique(grams >> np.uint64(BITS), return_inverse=True)
    times = np.bincount(which, counts)
    alike = np.bincount(which, counts * (counts - 1))
    often = times > 1
    return int(often.sum()), float((alike / (times * (times - 1.0) + ~often))[often].mean())


def print_agreement(model: Writer, kept: Sequence[Kept]) -> None:
    """Say how plainly an account's answers show its mark."""
    print_head(
        f"Contexts that {UNMARKED} answers have more than once, and how often two places of one "
        "have the same next token:",
        *("temperature, top-p", "answers", "contexts", "the same token"),
    )
    for of in kept:
        unmarked = model.steered(UNMARKED, of.settings, 15, freely)
        for name, texts in (("unmarked", unmarked), ("of one account", of.answers[:UNMARKED])):
            contexts, alike = agreement(texts)
            print_row(of.settings, name, f"{contexts:,}", f"{alike:.0%}")


def print_edits(model: Writer, provider: Provider, kept: Sequence[Kept]) -> None:
    """Say what is gained by editing an answer where one's other answers show the mark."""
    print_head(
        "An account edits its answer:",
        *("temperature, top-p", "edit", "drawn anew", "changed", "traced", "account", "ours"),
        "log p",
    )
    for of in kept:
        own = of.new
        accounts = [VICTIM] * len(own)
        places = np.random.default_rng(2).random(own.shape)
        edits: list[tuple[str, float, Ids]] = [("none", 0.0, own)]
        for known, collection in of.collections.items():
            texts = model.steered(len(own), of.settings, 20, redrawing(own, collection))
            drawn = share_redrawn(own, texts, collection)
            edits.append((f"what {known:,} answers show", drawn, texts))
        choose = redrawing(own, collection, most=0.5)
        texts = model.steered(len(own), of.settings, 23, choose)
        edits.append(("of these, the unlikely ones", share_redrawn(own, texts, collection), texts))
        choose = redrawing_at(own, places < drawn)
        texts = model.steered(len(own), of.settings, 21, choose)
        edits.append(("as many at random", drawn, texts))
        for every in (10, 5):
            at = np.broadcast_to(np.arange(TOKENS) % every == every - 1, own.shape)
            texts = model.steered(len(own), of.settings, 22, replacing_at(own, at))
            edits.append((f"each {every}th token replaced", 1 / every, texts))
        for name, drawn, texts in edits:
            print_row(
                *(of.settings, name, f"{drawn:.0%}", f"{(texts != own).mean():.0%}"),
                *cells(provider.looks(texts, accounts), accounts),
                model.quality(texts),
            )


def share_redrawn(originals: Ids, texts: Ids, collection: Collection) -> float:
    """Return the share of tokens that ``redrawing`` drew anew."""
    contexts = codes(texts[:, FREE_PREFIX - CONTEXT : -1], CONTEXT)
    grams = (contexts << np.uint64(BITS)) | originals[:, FREE_PREFIX:].astype(np.uint64)
    return float(collection.has(grams).sum() / originals.size)


def print_pieces(model: Writer, answers: int) -> None:
    """Say what is gained by asking for a text in pieces, each a response of its own."""
    print_head(
        "A text in pieces, each a response to the text so far:",
        *("temperature, top-p", "free prefix", "tokens of a piece", "responses"),
        *("prompt tokens read", "traced", "account", "ours", "log p"),
    )
    accounts = np.random.default_rng(3).integers(REGISTERED, size=answers).tolist()
    for settings, prefix in ((PLAIN, FREE_PREFIX), (SHARP, FREE_PREFIX), (PLAIN, SHORT_PREFIX)):
        provider = Provider(model, free_prefix=prefix)
        for size in PIECES:
            texts, _ = model.in_pieces(
                provider.sampler,
                [[account] for account in accounts],
                settings,
                30_000 + prefix * 1000 + size,
                after_tokens(size),
            )
            print_row(
                *(settings, prefix, size, -(-TOKENS // size), f"{sum(range(0, TOKENS, size)):,}"),
                *cells(provider.looks(texts, accounts), accounts),
                model.quality(texts),
            )


# B. Interleaving.


@dataclass
class Mixture:
    """A text that several accounts wrote."""

    ids: Ids
    owners: Tokens  # whose each token is


def interleaved(answers: Ids, accounts: Sequence[int], ends: Flags) -> Mixture:
    """Return a text of the sentences of ``answers`` [accounts, answers, tokens] in turn."""
    queues = []
    for own in answers:
        split = [np.split(text, np.flatnonzero(ends[text]) + 1)[:-1] for text in own]
        queues.append([sentence for text in split for sentence in text])
    turns = [turn for turns in zip(*queues, strict=False) for turn in turns]
    owners = [np.full(len(turn), accounts[i % len(accounts)]) for i, turn in enumerate(turns)]
    return Mixture(np.concatenate(turns), np.concatenate(owners))


def print_mixtures(provider: Provider, name: Sequence[object], mixtures: Sequence[Mixture]) -> None:
    """Print what is said of texts by several accounts, by their length."""
    for total in TOTALS:
        found, innocent, regions, own, ours = [], [], [], [], []
        for mixture in mixtures:
            guilty = set(mixture.owners[:total].tolist())
            trace = provider.trace(mixture.ids[:total], guilty)
            found.append((len(guilty.intersection(trace.accused)), len(guilty)))
            innocent.append(not guilty.issuperset(trace.accused))
            regions.append(len(trace.regions))
            own += [np.mean(mixture.owners[r.begin : r.end] == r.account) for r in trace.regions]
            ours.append(-trace.ours.log10_p)
        print_row(
            *(*name, total, share(some == 0 for some, _ in found)),
            share(1 == some < every for some, every in found),
            share(1 < some < every for some, every in found),
            *(share(some == every for some, every in found), share(innocent)),
            f"{np.mean(regions):.1f}",
            f"{np.mean(own):.0%}" if own else "-",
            median(ours),
        )


def print_interleaving(model: Writer, provider: Provider) -> None:
    """Say who is accused of a text that several accounts wrote."""
    print_head(
        f"Texts of several accounts; {RUNS} of each kind:",
        *("temperature, top-p", "how", "accounts", "tokens", "accused: none", "one only"),
        *("several, not all", "all", "an innocent one", "regions of a text"),
        *("of a region, by its account", "ours"),
    )
    drawn = np.random.default_rng(4).permutation(REGISTERED)[: RUNS * 4]
    accounts = drawn.reshape(RUNS, 4).tolist()
    for number, (settings, _) in enumerate(KNOWN):
        everyone = [account for account in drawn.tolist() for _ in range(ANSWERS_EACH)]
        ids = model.answers(provider.sampler, everyone, settings, 40 + number)
        answers = ids.reshape(RUNS, 4, ANSWERS_EACH, TOKENS)
        for count in (2, 4):
            mixtures = [
                interleaved(texts[:count], names[:count], model.ends_sentence)
                for texts, names in zip(answers, accounts, strict=True)
            ]
            print_mixtures(provider, (settings, "whole answers by sentences", count), mixtures)
    stories = max(TOTALS) // TOKENS
    for turn in TURNS:
        for count in (2, 4):
            ids, owners = model.in_pieces(
                provider.sampler,
                [names[:count] for names in accounts for _ in range(stories)],
                PLAIN,
                50_000 + turn * 10 + count,
                after_sentences(turn, model.ends_sentence),
            )
            mixtures = [
                Mixture(text, whose)
                for text, whose in zip(ids.reshape(RUNS, -1), owners.reshape(RUNS, -1), strict=True)
            ]
            how = f"in turn, a response of {turn} sentence{'s' if turn > 1 else ''} each"
            print_mixtures(provider, (PLAIN, how, count), mixtures)


# C. Framing.


def print_framing(model: Writer, provider: Provider, kept: Sequence[Kept]) -> None:
    """Say how well a text can be made to look like a victim's, and what is left of it."""
    print_head(
        "Texts that are to be laid to a victim, from so many of its answers. The last columns "
        f"leave out the 5-grams of {' or '.join(f'{max(known):,}' for _, known in KNOWN)} answers; "
        f"evidence of {ENOUGH:g} is enough:",
        *("temperature, top-p", "answers known", "how", "5-grams known", "longest copy"),
        *("victim accused", "victim", "ours", "framer accused", "log p"),
        *("wide layer left", "victim, by that", "enough"),
    )
    for number, of in enumerate(kept):
        for known, how, texts in framed(model, provider, of, 60 + number):
            collection = of.collections[known or max(of.collections)]
            looks = provider.looks(texts, [VICTIM] * len(texts))
            print_row(
                *(of.settings, f"{known:,}" if known else "-", how),
                f"{collection.has(codes(texts, CONTEXT + 1)).mean():.0%}",
                f"{np.median([collection.longest_run(text) for text in texts]):.0f}",
                *cells(looks, [VICTIM] * len(texts)),
                share(FRAMER in look.accused for look in looks),
                model.quality(texts),
                *remains(provider, texts, of.collections[max(of.collections)]),
            )


def framed(
    model: Writer, provider: Provider, of: Kept, seed: int
) -> Iterator[tuple[int, str, Ids]]:
    """Yield how many answers are known, how texts are made of them, and the texts."""
    count = len(of.new)

    def steered(choose: Choice) -> Ids:
        return model.steered(count, of.settings, seed, choose)

    unmarked = steered(freely)
    yield 0, "the victim's own, new", of.new
    yield 0, "unmarked", unmarked
    for length in QUOTES:
        texts = unmarked.copy()
        middle = slice((TOKENS - length) // 2, (TOKENS + length) // 2)
        texts[:, middle] = of.answers[:count, middle]
        yield 0, f"unmarked, with {length} tokens of one answer", texts
    framers = model.answers(provider.sampler, [FRAMER] * count, of.settings, seed)
    for known, collection in of.collections.items():
        yield known, f"{BONUS:,.0f} times as likely", steered(favouring(collection))
        for what, eagerness in (("the likeliest", 0.0), ("the most telling", EAGERNESS)):
            for longest in (None, *reversed(LONGEST_COPIES)):
                texts = steered(following(collection, eagerness, longest))
                limit = f", copies of {longest} tokens at most" if longest else ""
                yield known, f"always, {what}{limit}", texts
        texts = steered(every_fifth(framers, collection))
        yield known, "every fifth token of the framer's own answer", texts


def remains(provider: Provider, texts: Ids, collection: Collection) -> list[str]:
    """Return the wide layer's share without the collection's 5-grams, and its evidence."""
    left = [provider.remaining(text, VICTIM, collection) for text in texts]
    return [
        f"{np.median([part for part, _ in left]):.0%}",
        median(evidence for _, evidence in left),
        share(evidence >= ENOUGH for _, evidence in left),
    ]


def print_exclusion(provider: Provider, kept: Sequence[Kept]) -> None:
    """Say what leaving out the 5-grams of other answers costs for an account's own texts."""
    print_head(
        "New answers of an account, without the 5-grams of so many others of it:",
        *("temperature, top-p", "others", "wide layer left", "account, by that", "enough"),
    )
    for of in kept:
        for known, collection in of.collections.items():
            print_row(of.settings, f"{known:,}", *remains(provider, of.new, collection))


def print_coverage(model: Writer, of: Kept, folder: Path, tokenizer: Path) -> None:
    """Say how much of new texts is known from so many others."""
    others = model.steered(len(of.new), of.settings, 70, freely)
    kinds = {
        "answers of one account, new ones of it": (of.answers, of.new),
        "answers of one account, unmarked ones": (of.answers, others),
        **prose(folder, cm.Tokenizer.load(tokenizer)),
    }
    sizes = (100, 1_000, 2_500, 5_000, 10_000)
    print_head(
        "Contexts of new texts that so many texts have, with or without the token that follows:",
        *("texts, new texts", *(f"{size:,} texts" for size in sizes)),
    )
    for name, (known, new) in kinds.items():
        found = []
        for size in sizes:
            parts = [
                is_in(hashes(new, width), np.unique(hashes(known[:size], width))).mean()
                for width in (CONTEXT, CONTEXT + 1)
            ]
            found.append(", ".join(f"{part:.0%}" for part in parts) if size <= len(known) else "-")
        print_row(name, *found)


def prose(folder: Path, tokenizer: cm.Tokenizer) -> dict[str, tuple[Ids, Ids]]:
    """Return pieces of each kind of prose, and one in twenty that are to be new."""
    kinds = {}
    for kind in ("novels-en", "peps"):
        pieces = []
        for path in sorted((folder / kind).rglob("*.*")):
            ids = tokenizer.encode(path.read_text(encoding="utf-8", errors="ignore"))
            pieces.append(ids[: len(ids) // TOKENS * TOKENS].reshape(-1, TOKENS))
        rows = np.random.default_rng(5).permutation(np.concatenate(pieces))
        held = len(rows) // 20
        kinds[f"{kind}, the same"] = rows[held:], rows[:held]
    return kinds


def keep(model: Writer, provider: Provider, count: int, cache: Path | None) -> list[Kept]:
    """Return what there is of the victim's, from ``cache`` if it is there."""
    stored = dict(np.load(cache)) if cache and cache.exists() else {}
    kept = []
    for number, (settings, known) in enumerate(KNOWN):
        name = str(settings)
        if name not in stored:
            accounts = [VICTIM] * max(known)
            stored[name] = model.answers(provider.sampler, accounts, settings, 1 + number)
        if f"{name}: log p" not in stored:
            log_p = model.log_probabilities(stored[name], settings.temperature)
            stored[f"{name}: log p"] = log_p
            if cache:
                np.savez_compressed(cache, **stored)
        answers, log_p = stored[name], stored[f"{name}: log p"]
        new = model.answers(provider.sampler, [VICTIM] * count, settings, 5 + number)
        collections = {size: Collection(answers[:size], log_p[:size]) for size in known}
        kept.append(Kept(settings, answers, collections, new))
    return kept


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("texts", type=Path)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("--answers", type=int, default=64)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--tables", nargs="+", help="only these; their names are in main()")
    arguments = parser.parse_args()
    model = Writer(arguments.model)
    provider = Provider(model)
    kept = keep(model, provider, arguments.answers, arguments.cache)
    tables: dict[str, Callable[[], None]] = {
        "retries": lambda: print_retries(model, provider),
        "agreement": lambda: print_agreement(model, kept),
        "edits": lambda: print_edits(model, provider, kept),
        "pieces": lambda: print_pieces(model, arguments.answers),
        "mixtures": lambda: print_interleaving(model, provider),
        "framing": lambda: print_framing(model, provider, kept),
        "exclusion": lambda: print_exclusion(provider, kept),
        "coverage": lambda: print_coverage(model, kept[0], arguments.texts, arguments.tokenizer),
    }
    for name in arguments.tables or tables:
        tables[name]()
    print(f"\nAn innocent account was accused of {Provider.innocents} of {Provider.texts:,} texts.")


if __name__ == "__main__":
    main()
