"""Checks of an installed build: the frozen vectors, then that it marks and detects."""

from __future__ import annotations

import importlib.util
import json
import math
import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from countermark import _core
from countermark.story import Story, story_tokenizer
from countermark.tokenizers import Tokenizer

VECTORS = Path(__file__).parent / "vectors" / "countermark-1.json"

_LAYERS = {"free": {0}, "narrow": {1}, "wide": {2, 3}}
_SAMPLE = "Once upon a time, Lily saw a café. \N{GRINNING FACE} 語\n\n  Two spaces and 1,234."


@dataclass(frozen=True)
class Check:
    """One check and how it went."""

    name: str
    outcome: Literal["ok", "failed", "skipped"]
    detail: str


class _Failed(Exception):  # noqa: N818
    """A check does not hold."""


class _Skipped(Exception):  # noqa: N818
    """A check cannot be made here."""


def run(progress: Callable[[str], None] | None = None) -> list[Check]:
    """Make every check. ``progress`` is told the name of each before it begins."""
    checks = []
    for name, check in _CHECKS.items():
        if progress:
            progress(name)
        try:
            checks.append(Check(name, "ok", check()))
        except _Skipped as reason:
            checks.append(Check(name, "skipped", str(reason)))
        except Exception as error:  # whatever is wrong with the build belongs in the table
            checks.append(Check(name, "failed", str(error) or type(error).__name__))
    return checks


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise _Failed(what)


def _is_close(value: float, expected: float, relative: float) -> bool:
    return math.isclose(value, expected, rel_tol=relative, abs_tol=0)


# The vectors


def _vectors() -> dict[str, Any]:
    vectors: dict[str, Any] = json.loads(VECTORS.read_text(encoding="utf-8"))
    _expect(vectors["mark"] == "countermark/1", "the vectors are of another mark")
    return vectors


def _cases() -> Iterator[tuple[_core.KeyRing, int | None, dict[str, Any]]]:
    """Yield ring, account and vector; the profile is called "p"."""
    for case in _vectors()["cases"]:
        account = None if case["account"] is None else int(case["account"])
        parameters = case["parameters"]
        units = parameters["narrow_units"], parameters["free_units"]
        # The interface has accounts only where both layers exist.
        if account is not None and not 0 < units[0] <= sum(units) < 65536:
            account = None
        ring = _ring(case["secret"], parameters, account is not None)
        yield ring, account, case


def _ring(secret: str, parameters: dict[str, Any], accounts: bool) -> _core.KeyRing:
    ring = _core.KeyRing.generate()
    ring.import_secret("p", bytes.fromhex(secret), accounts=accounts, **parameters)
    return ring


def _vector_selection() -> str:
    steps = 0
    for ring, account, case in _cases():
        if account is None and case["account"] is not None:
            continue
        sampler = _core.Sampler(ring, "p")
        for step in case["select_steps"]:
            sequence = sampler.sequence(account, seed=1, response_so_far=step["response"])
            layer = sampler.placements([sequence])[0][0]
            _expect(layer in _LAYERS[step["layer"]], f"step {steps}: layer {layer}")
            token = sequence.select_candidates(step["candidates"], step["weights"])
            expected = step["chosen"]
            _expect(expected in (None, token), f"step {steps}: token {token}, not {expected}")
            steps += 1
    return f"{steps} selections"


def _vector_placement() -> str:
    positions = 0
    for case in _vectors()["cases"]:
        ring = _ring(case["secret"], case["parameters"], False)
        sampler = _core.Sampler(ring, "p")
        sequence = sampler.sequence()
        for i, (token, place) in enumerate(zip(case["tokens"], case["places"], strict=True)):
            if i < case["parameters"]["free_prefix"]:
                place = ["free"]
            layer, k1, k2, _, _ = (int(column[0]) for column in sampler.placements([sequence]))
            _expect(layer in _LAYERS[place[0]], f"position {i}: layer {layer}, not {place[0]}")
            seed = [int(word) for word in place[1:]] or [0, 0]
            _expect([k1, k2] == seed, f"position {i}: another seed")
            sequence.observe(token)
            positions += 1
    return f"{positions} positions with their seeds"


def _vector_walks() -> str:
    corners = _vectors()["corners"]
    for walk in corners["walks"]:
        sampler = _core.Sampler(_ring(corners["secret"], walk["parameters"], False), "p")
        sequence = sampler.sequence()
        for i, (token, name) in enumerate(zip(walk["tokens"], walk["layers"], strict=True)):
            wanted = "free" if i < walk["parameters"]["free_prefix"] else name
            layer = int(sampler.placements([sequence])[0][0])
            _expect(layer in _LAYERS[wanted], f"{walk['why']}: position {i}: layer {layer}")
            sequence.observe(token)
    return f"{len(corners['walks'])} walks through corner cases"


def _vector_detection() -> str:
    texts = 0
    for ring, account, case in _cases():
        plain = _ring(case["secret"], case["parameters"], False)
        expected = case["detection"]
        result = _core.Detector(plain).detect(case["tokens"], "unknown")
        _expect_evidence(result.best, expected["presence_without_accounts"])
        for layer in ("narrow", "wide"):
            for position, score in zip(
                expected[layer]["positions"], expected[layer]["scores"], strict=True
            ):
                found = result.token_scores[position]
                _expect(_is_close(found, score, 1e-15), f"{layer} score at {position}: {found}")
        if account is not None:
            detector = _core.Detector(ring)
            result = detector.detect(case["tokens"], "unknown")
            _expect_evidence(result.best, expected["narrow"])
            for who, name in ((account, "wide_account"), (None, "wide")):
                scored = detector.score_account(case["tokens"], "p", who, "unknown")
                _expect_evidence(scored, expected[name])
        texts += 1
    return f"{texts} texts, their scores and p-values"


def _expect_evidence(found: Any, expected: dict[str, Any]) -> None:
    _expect(found.scored == expected["scored"], f"scored {found.scored}")
    _expect(_is_close(found.score, expected["sum"], 1e-13), f"sum {found.score}")
    _expect(_is_close(found.log10_p, expected["log10_p"], 1e-9), f"log10 p {found.log10_p}")


def _vector_commitment() -> str:
    corners = _vectors()["corners"]
    ring = _core.KeyRing.generate()
    profile = ring.import_secret("p", bytes.fromhex(corners["secret"]))
    _expect(profile.commitment == corners["commitment"], f"commitment {profile.commitment}")
    _expect(profile.key_id == corners["key_id"], f"key_id {profile.key_id}")
    return "commitment and key id"


# Marking and detection


def _key_ring() -> str:
    ring = _core.KeyRing.generate()
    profile = ring.create_profile("p", accounts=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "keys.json"
        ring.save(path)
        mode = stat.S_IMODE(path.stat().st_mode)
        _expect(mode == 0o600, f"the file has mode {mode:o}")
        _expect(_core.KeyRing.open(path).profile("p") == profile, "the profile changed")
    return "saved with mode 0600, and read again"


def _synthetic() -> str:
    ring, other = (_core.KeyRing.generate() for _ in range(2))
    ring.create_profile("p")
    other.create_profile("p")
    sampler = _core.Sampler(ring, "p")
    sequence, greedy = sampler.sequence(), sampler.sequence()
    random = np.random.default_rng(0)
    for logits in random.normal(0, 2, (200, 1000)).astype(np.float32):
        sequence.sample(logits)
        greedy.sample(logits, temperature=0)
    found = _core.Detector(ring).detect(sequence.tokens)
    _expect(found.verdict == "marked", f"verdict {found.verdict}")
    foreign = _core.Detector(other).detect(sequence.tokens)
    _expect(foreign.verdict != "marked", "another key finds the mark")
    _expect(not greedy.stats.is_marked, "a response at temperature 0 calls itself marked")
    return f"log10 p {found.log10_p:.0f}; {foreign.log10_p:.1f} with another key"


def _story() -> str:
    if importlib.util.find_spec("sentencepiece") is None:
        raise _Skipped("sentencepiece is not installed")
    story = Story()
    ring = _core.KeyRing.generate()
    ring.create_profile("p", tokenizer=story.tokenizer)
    answer = story.generate(_core.Sampler(ring, "p"), min_tokens=300, max_tokens=300)[0]
    found = _core.Detector(ring).detect_text(answer.text, story.tokenizer)
    _expect(found.verdict == "marked", f"verdict {found.verdict}, log10 p {found.log10_p:.1f}")
    return f"log10 p {found.log10_p:.0f}, from the text alone"


# Tokenizers


def _roundtrip(module: str, make: Callable[[], Tokenizer]) -> str:
    if importlib.util.find_spec(module) is None:
        raise _Skipped(f"{module} is not installed")
    tokenizer = make()
    ids, spans = tokenizer.encode_with_spans(_SAMPLE)
    _expect(tokenizer.decode(ids) == _SAMPLE, f"decodes to {tokenizer.decode(ids)!r}")
    _expect(ids.tolist() == tokenizer.encode(_SAMPLE).tolist(), "two ways to encode disagree")
    covered = {i for begin, end in spans for i in range(begin, end)}
    _expect(covered == set(range(len(_SAMPLE))), "characters without a token")
    return f"{len(ids)} tokens there and back"


def _byte_tokenizers() -> Tokenizer:
    import tokenizers

    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    backend = tokenizers.Tokenizer(
        tokenizers.models.BPE({letter: i for i, letter in enumerate(alphabet)}, [])
    )
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    return Tokenizer(backend, "bytes")


def _byte_tiktoken() -> Tokenizer:
    import tiktoken

    ranks = {bytes([i]): i for i in range(256)}
    encoding = tiktoken.Encoding(
        "bytes", pat_str=r"\S+|\s+", mergeable_ranks=ranks, special_tokens={}
    )
    return Tokenizer(encoding, "bytes")


_CHECKS: dict[str, Callable[[], str]] = {
    "vectors: keys": _vector_commitment,
    "vectors: places": _vector_placement,
    "vectors: corner cases": _vector_walks,
    "vectors: selection": _vector_selection,
    "vectors: detection": _vector_detection,
    "key ring": _key_ring,
    "synthetic logits": _synthetic,
    "story model": _story,
    "sentencepiece": lambda: _roundtrip("sentencepiece", story_tokenizer),
    "tokenizers": lambda: _roundtrip("tokenizers", _byte_tokenizers),
    "tiktoken": lambda: _roundtrip("tiktoken", _byte_tiktoken),
}
