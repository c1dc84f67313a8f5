"""The command line with other engines' keys: import, identify, and what other commands show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sentencepiece")

from command_line import STORY, complaint, objects, run

KEY = 4242424242


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration of vLLM."""
    path = tmp_path_factory.mktemp("engine") / "watermark.json"
    path.write_text(json.dumps({"algorithm": "gumbel", "key": KEY, "context_width": 3}))
    return path


@pytest.fixture(scope="module")
def ring(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ring with the profiles v, of the configuration, and g, of a key file."""
    path = tmp_path_factory.mktemp("ring") / "keys.json"
    assert run("import", path, "--profile", "v", "--config", config, *STORY).exit_code == 0
    key = path.with_name("key")
    key.write_text("15485863\n")
    kgw = ["--mark", "hf/kgw-lefthash-1", "--key-file", key, "-p", "vocab_size=2048"]
    assert run("import", path, "--profile", "g", *kgw, "-p", "bias=4", *STORY).exit_code == 0
    return path


@pytest.fixture(scope="module")
def answer(ring: Path) -> str:
    """Several answers as vLLM would have marked them."""
    made = run("generate", "--keys", ring, "--profile", "v", "--tokens", 400, "--seed", 3)
    assert made.exit_code == 0, made.stderr
    return str(made.stdout)


def test_import_tells_the_profile_and_no_key(ring: Path, config: Path) -> None:
    shown = run("import", ring, "--profile", "w", "--config", config, *STORY)
    assert "vllm/gumbel-1" in shown.stdout
    assert "context_width=3" in shown.stdout
    (made,) = objects(run("import", ring, "--profile", "x", "--config", config, "--json"))
    assert made["profile"]["parameters"]["context_width"] == 3
    listed = run("profiles", ring).stdout
    for output in (shown.stdout, shown.stderr, json.dumps(made), listed):
        assert str(KEY) not in output
    assert "hf/kgw-lefthash-1" in listed
    for profile in ("w", "x"):
        assert run("profiles", ring, "--retire", profile).exit_code == 0


def test_a_weak_mark_is_imported_with_a_warning(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("[42, 43]")
    result = run(
        "import", tmp_path / "k", "--profile", "t", "--mark", "meta/textseal-2", "--key-file", key
    )
    assert result.exit_code == 0
    assert "for reading old text" in result.stderr


def test_what_an_engine_marks_is_detected_with_the_engines_number_beside(
    ring: Path, answer: str
) -> None:
    shown = run("detect", "--keys", ring, "--profile", "v", stdin=answer)
    assert shown.exit_code == 0
    assert "marked by v" in shown.stdout
    assert "The engine's own detector would say p = 10^-" in shown.stdout
    (found,) = objects(run("detect", "--keys", ring, "--json", stdin=answer))
    assert found["profile"] == "v"
    assert found["results"][0]["engine"]["scored"] > 50


def test_a_page_of_an_engines_mark_shows_what_it_is(
    ring: Path, answer: str, tmp_path: Path
) -> None:
    text = tmp_path / "answer.txt"
    text.write_text(answer)
    assert run("report", "--keys", ring, text, "--out", tmp_path / "o.html").exit_code == 0
    page = (tmp_path / "o.html").read_text()
    assert "vllm/gumbel-1" in page
    assert "none: an engine" in page


def test_green_lists_are_generated_and_their_expectation_left_open(ring: Path) -> None:
    made = run("generate", "--keys", ring, "--profile", "g", "--tokens", 100, "--seed", 1)
    assert "tokens marked" in made.stderr
    assert "expected p" not in made.stderr
    assert run("detect", "--keys", ring, "--profile", "g", stdin=made.stdout).exit_code in (0, 1)


def test_identify_names_the_contract(config: Path, answer: str, tmp_path: Path) -> None:
    shown = run("identify", "--config", config, *STORY, stdin=answer)
    assert shown.exit_code == 0
    assert shown.stdout.startswith("vllm/gumbel-1 fits: p = 10^-")
    key = tmp_path / "key"
    key.write_text(f"{KEY:#x}")
    fits = objects(run("identify", "--key-file", key, "--json", *STORY, stdin=answer))
    assert (fits[0]["mark"], fits[0]["fits"]) == ("vllm/gumbel-1", True)
    assert fits[0]["parameters"]["context_width"] == 3
    assert not any(fit["fits"] for fit in fits[1:])
    key.write_text("43")
    other = run("identify", "--key-file", key, *STORY, stdin=answer)
    assert other.exit_code == 1
    assert other.stdout.startswith("No contract fits")
    without = run("identify", "--key-file", key, "--ids", stdin="1 2 3 4 5 6 7 8 9")
    assert without.exit_code == 1
    assert "give --vocab-size" in without.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "give --config or --key-file"),
        (["--key-file", "{bad}", "--ids"], "holds no key"),
        (["--key-file", "{key}"], "give --tokenizer for texts, or --ids"),
        (["--key-file", "{missing}", "--ids"], "No such file"),
        (["--config", "{bad}", "--ids"], "is not valid JSON"),
    ],
)
def test_identify_complains_in_one_line(arguments: list[str], says: str, tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("key", "bad", "missing")}
    files["key"].write_text("42")
    files["bad"].write_text("42x")
    for odd in ("[1.5]", "[[1]]", '{"a": 1}'):
        files["missing"].write_text(odd)
        assert "holds no key" in complaint(run("identify", "--key-file", files["missing"], "--ids"))
    files["missing"].unlink()
    given: list[Any] = [a.format(**files) for a in arguments]
    line = complaint(run("identify", *given, stdin="1 2 3"))
    assert says in line
    assert "42x" not in line


def test_import_complains_in_one_line(tmp_path: Path, config: Path) -> None:
    ring = tmp_path / "k"
    for arguments, says in (
        ([], "give mark and key, or config"),
        (["--mark", "vllm/gumbel-9", "--config", config], "not of vllm/gumbel-9"),
        (["--config", config, "-p", "context_width"], "NAME=VALUE"),
        (["--config", config, "-p", "context_width=0"], "context_width must be in 1..64"),
        (["--config", config, "-p", "key=5"], "has an option of its own"),
    ):
        assert says in complaint(run("import", ring, "--profile", "v", *arguments))
        assert not ring.exists()
