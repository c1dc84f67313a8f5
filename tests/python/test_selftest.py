"""``countermark selftest`` and what it runs."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from countermark import selftest

CHECKS = [
    "vectors: keys",
    "vectors: places",
    "vectors: corner cases",
    "vectors: selection",
    "vectors: detection",
    "key ring",
    "synthetic logits",
    "story model",
    "sentencepiece",
    "tokenizers",
    "tiktoken",
]


def outcomes() -> dict[str, str]:
    return {check.name: check.outcome for check in selftest.run()}


def test_this_build_passes() -> None:
    made = selftest.run()
    assert [check.name for check in made] == CHECKS
    assert [check for check in made if check.outcome == "failed"] == []


def test_the_vectors_are_the_frozen_ones() -> None:
    frozen = Path(__file__).parents[1] / "vectors" / "countermark-1.json"
    assert selftest.VECTORS.read_bytes() == frozen.read_bytes()


def spoil_key(vectors: dict[str, Any]) -> None:
    vectors["corners"]["commitment"] = "0" * 64


def spoil_place(vectors: dict[str, Any]) -> None:
    places = vectors["cases"][0]["places"]
    last = max(i for i, place in enumerate(places) if place[0] != "free")
    places[last][1] = str(int(places[last][1]) ^ 1)


def spoil_walk(vectors: dict[str, Any]) -> None:
    layers = vectors["corners"]["walks"][0]["layers"]
    layers[-1] = "narrow" if layers[-1] != "narrow" else "wide"


def spoil_selection(vectors: dict[str, Any]) -> None:
    for case in vectors["cases"]:
        for step in case["select_steps"]:
            if step["chosen"] is not None:
                step["chosen"] = next(c for c in step["candidates"] if c != step["chosen"])
                return


def spoil_score(vectors: dict[str, Any]) -> None:
    vectors["cases"][0]["detection"]["narrow"]["scores"][5] *= 1 + 1e-14


@pytest.mark.parametrize(
    ("spoil", "name"),
    [
        (spoil_key, "vectors: keys"),
        (spoil_place, "vectors: places"),
        (spoil_walk, "vectors: corner cases"),
        (spoil_selection, "vectors: selection"),
        (spoil_score, "vectors: detection"),
    ],
)
def test_one_wrong_number_is_seen(
    spoil: Callable[[dict[str, Any]], None],
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vectors = json.loads(selftest.VECTORS.read_text())
    spoil(vectors)
    spoiled = tmp_path / "vectors.json"
    spoiled.write_text(json.dumps(vectors))
    monkeypatch.setattr(selftest, "VECTORS", spoiled)
    assert [check.name for check in selftest.run() if check.outcome == "failed"] == [name]


def test_missing_vectors_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "VECTORS", tmp_path / "none.json")
    assert outcomes()["vectors: keys"] == "failed"


def test_missing_tokenizers_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("sentencepiece", "tokenizers", "tiktoken"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    found = importlib.util.find_spec
    absent = {"sentencepiece", "tokenizers", "tiktoken"}
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in absent else found(name)
    )
    skipped = {name for name, outcome in outcomes().items() if outcome == "skipped"}
    assert skipped == {"story model", *absent}
