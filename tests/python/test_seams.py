"""Marked text pasted into other text: only the tokens at the seams change, and their evidence."""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

import countermark as cm
from conftest import secret_of

# Each file with the library that reads it, and how many of 1200 tokens sampled are there again when
# their text is encoded. The others were sampled in another cut than the tokenizer's own.
FILES = {
    "gpt2": ("tokenizers", 1194),
    "o200k/o200k_base.tiktoken": ("tiktoken", 1200),
    "mistral/mistral_instruct_tokenizer_240323.model.v3": ("sentencepiece", 1193),
    "gpt-neox/20B_tokenizer.json": ("tokenizers", 1198),
}
RESPONSES = 3
TOKENS = 400
SEAM = 2  # tokens of the response that may change at each of its ends
WIDTH = 4  # tokens before a token that its score depends on
NARROW = 2  # of them in the narrow layer

# Where other text is cut.
CUTS = {
    "in a word": r"(?<=[a-z]{3})(?=[a-z]{3})",
    "before a word": r"(?<=[a-z] )(?=[a-z])",
    "after a word": r"(?<=[a-z])(?= [a-z])",
    "after a newline": r"(?<=\n)(?=[^\n])",
}


Ids = npt.NDArray[np.int32]


class Response(NamedTuple):
    sampled: Ids
    text: str


class Setting(NamedTuple):
    tokenizer: cm.Tokenizer
    detector: cm.Detector
    responses: list[Response]


@pytest.fixture(params=FILES)
def name(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(FILES[request.param][0])
    return str(request.param)


@lru_cache
def setting_of(name: str, shared: Path) -> Setting:
    tokenizer = cm.Tokenizer.load(shared / "tokenizers" / name)
    ids = tokenizer.encode(novel(shared, "ENG18820_Anstey")).tolist()
    pairs: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
    for (first, second), third in zip(pairwise(ids), ids[2:], strict=False):
        pairs[first, second][third] += 1
        pairs[second,][third] += 1
    ring = cm.KeyRing.generate()
    ring.import_secret("prod", secret_of(1))
    sampler = cm.Sampler(ring, "prod")
    responses = []
    for seed in range(RESPONSES):
        sequence = sampler.sequence(seed=seed)
        context = ids[1000 * seed : 1000 * seed + 2]
        for step in range(TOKENS):
            following = pairs[tuple(context)]
            if len(following) < 3:
                following = pairs[context[1],]
            if step % 20 == 10:
                # A model now and then draws a token that does not go with what is before it.
                following = Counter(ids[step * 100 : step * 100 + 200])
            token = sequence.select_candidates(list(following), list(following.values()))
            sequence.observe(token)
            context = [context[1], token]
        responses.append(Response(sequence.tokens, tokenizer.decode(sequence.tokens)))
    return Setting(tokenizer, cm.Detector(ring), responses)


def novel(shared: Path, name: str) -> str:
    return (shared / "text" / "novels-en" / f"{name}.txt").read_text(encoding="utf-8")


def test_decoding_and_encoding_keeps_most_tokens(shared: Path, name: str) -> None:
    tokenizer, detector, responses = setting_of(name, shared)
    kept = 0
    for sampled, text in responses:
        ids = tokenizer.encode(text)
        matcher = SequenceMatcher(None, sampled.tolist(), ids.tolist(), autojunk=False)
        kept += sum(block.size for block in matcher.get_matching_blocks())
        assert detector.detect(ids).verdict == "marked"
    assert kept == FILES[name][1]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "excerpt"])
def test_pasting_costs_the_positions_at_the_seams(
    shared: Path, name: str, cut: str, whole: bool
) -> None:
    tokenizer, detector, responses = setting_of(name, shared)
    other = novel(shared, "ENG19011_Jerome")
    middles = [found.start() for found in re.finditer(CUTS[cut], other)]
    rng = random.Random(cut)
    for response in responses:
        text = (
            response.text if whole else response.text[rng.randrange(400) : -rng.randrange(1, 400)]
        )
        alone, own_spans = tokenizer.encode_with_spans(text)
        found = detector.detect(alone, start="unknown")
        for middle in rng.sample(middles, 5):
            before, after = other[:middle][-1500:], other[middle:][:1500]
            ids, spans = tokenizer.encode_with_spans(before + text + after)
            moved = [(begin - len(before), end - len(before)) for begin, end in spans]
            inside = [i for i, (begin, end) in enumerate(moved) if end > 0 and begin < len(text)]
            within = ids[inside[0] : inside[-1] + 1]
            pasted = detector.detect(within, start="unknown")
            assert pasted.verdict == "marked"

            index = {(ids[i], moved[i]): i - inside[0] for i in inside}
            places = enumerate(zip(alone, own_spans, strict=True))
            kept = {i: index[place] for i, place in places if place in index}
            assert set(range(SEAM, len(alone) - SEAM)) <= set(kept)

            near = near_seams(alone, within)
            for i in set(range(len(alone))) - near:
                if not np.isnan(found.token_scores[i]):
                    assert pasted.token_scores[kept[i]] == found.token_scores[i]
            cost = np.nansum(found.token_scores[list(near)])
            assert found.best.score - pasted.best.score <= cost + 1e-9


def near_seams(alone: Ids, pasted: Ids) -> set[int]:
    """Return the positions of ``alone`` that may score otherwise in ``pasted``."""
    own, others = narrow_contexts(alone), narrow_contexts(pasted)
    head, tail = SEAM + WIDTH, len(alone) - SEAM
    # A seed is used once: the first repetition of a context is in the wide layer, or in the narrow
    # one if the context before it is lost with the seam.
    repeated = {
        own.index(c, head) for c in own[NARROW:head] + others[NARROW:head] if c in own[head:]
    }
    assert len(repeated) <= WIDTH
    return {*range(head), *repeated, *range(tail, len(alone))}


def narrow_contexts(ids: Ids) -> list[tuple[int, ...]]:
    return [tuple(ids[max(0, i - NARROW) : i].tolist()) for i in range(len(ids))]
