"""The command distill plan."""

from __future__ import annotations

from pathlib import Path
from statistics import NormalDist
from typing import Any

import pytest

import countermark as cm

pytest.importorskip("typer")

from command_line import objects, run
from countermark.cli.learning_plan import Learning


def plan(*args: object) -> Any:
    return run("distill", "plan", *args)


def rows(*args: object) -> list[dict[str, Any]]:
    result = plan(*args, "--json")
    assert result.exit_code == 0, result.output
    return objects(result)


def test_more_marked_text_needs_fewer_tokens() -> None:
    planned = rows()
    assert [row["share"] for row in planned] == [0.01, 0.05, 0.1, 0.25, 0.5, 1.0]
    needed = [row["tokens_reference"] for row in planned if row["tokens_reference"]]
    assert needed == sorted(needed, reverse=True)
    assert len(set(needed)) >= 4
    assert needed[-1] == 4096  # where a sequential test looks first
    assert {row["width"] for row in planned} == {2}
    assert {row["units"] for row in planned} == {65536}


@pytest.mark.parametrize(
    ("easier", "harder"),
    [
        (("--width", 1), ("--width", 2)),
        (("--width", 2), ("--width", 4)),
        (("--units", 65536), ("--units", 32768)),
        (("--score", 2), ("--score", 1.3)),
        (("--rate", 1e-3), ("--rate", 1e-9)),
    ],
)
def test_settings_that_are_easier_to_learn(easier: Any, harder: Any) -> None:
    some, more = (rows(*options, "--share", 0.1)[0] for options in (easier, harder))
    assert some["tokens_reference"] < (more["tokens_reference"] or float("inf"))


def test_what_is_needed_and_what_is_shown_agree() -> None:
    (needed,) = rows("--share", 0.3, "--rate", 1e-5)
    tokens = needed["tokens_reference"]
    (shown,) = rows("--share", 0.3, "--tokens", tokens)
    assert shown["log10_p_reference"] == pytest.approx(-5, abs=0.01)
    # By its own formula, with no help of the command.
    learning = Learning({2: 10.0}, by_share=0.5, by_tokens=0.25)
    assert learning.z(2, 0.25, 4_000_000, 1.0) == pytest.approx(10 * 0.5 * 2)
    assert learning.tokens(2, 0.25, 10.0, 1.0) == pytest.approx(4_000_000)
    (far,) = rows("--share", 1, "--tokens", 250_000, "--score", 3)
    exact = NormalDist().cdf(-5)
    assert exact == pytest.approx(2.866516e-7)
    assert far["log10_p_reference"] < -30


def test_a_profile_says_its_layer(tmp_path: Path) -> None:
    ring = cm.KeyRing.generate()
    ring.create_profile("half", narrow_width=3, narrow_units=20000)
    ring.create_profile("wide", purpose="provenance")
    ring.import_engine_key("engine", mark="vllm/gumbel-1", key=42)
    keys = tmp_path / "keys.json"
    ring.save(keys)
    (row,) = rows("--keys", keys, "--profile", "half", "--share", 1)
    assert (row["width"], row["units"]) == (3, 20000)
    for profile, message in (("wide", "no narrow layer"), ("engine", "another engine's mark")):
        result = plan("--keys", keys, "--profile", profile)
        assert result.exit_code == 2
        assert message in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--profile", "p"), "--profile needs --keys"),
        (("--score", 1), "--score must be above 1"),
        (("--rate", 0.6), "--rate must be in"),
        (("--share", 0), "--share must be in"),
        (("--share", 1.5), "--share must be in"),
        (("--keys", "ring", "--width", 2), "give --keys or the layer's"),
    ],
)
def test_what_is_wrong_is_told(options: Any, message: str) -> None:
    result = plan(*options)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_a_table_for_people() -> None:
    result = plan("--tokens", 100_000, "--width", 4, "--share", 0.001, "--share", 0.5)
    assert result.exit_code == 0
    assert "out of reach" in result.stdout
    assert "50%" in result.stdout
    assert "p after 100,000 tokens" in result.stdout
    assert "An order of magnitude" in result.stdout
