"""The reference of docs/spec/countermark-1.md against every field of countermark-1.json."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mpmath  # type: ignore[import-untyped,unused-ignore]
import pytest

import countermark_1 as cm

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "countermark-1.json"
SHA256 = "965bf3b5b29a726f1c1098bb72e744e9d61cf0fb74b1d673c2034208a5700be7"


class Node:
    """A part of the vectors that notes which of its fields were read."""

    def __init__(self, data: Any, path: str, ledger: set[str]) -> None:
        self.data, self.path, self.ledger = data, path, ledger

    def __getitem__(self, key: str | int) -> Node:
        return Node(self.data[key], f"{self.path}/{key}", self.ledger)

    def __iter__(self) -> Iterator[Node]:
        assert isinstance(self.data, list), self.path
        self.ledger.update([] if self.data else [self.path])
        return (self[i] for i in range(len(self.data)))

    def __contains__(self, key: str) -> bool:
        return key in self.data

    def read(self) -> Any:
        """The value; objects have to be read field by field, so that none goes unseen."""
        paths = leaves(self.data, self.path, objects=False)
        self.ledger.update(paths)
        return self.data

    def pair(self) -> cm.Pair | None:
        text = self.read()
        return None if text is None else (int(text[0]), int(text[1]))


def leaves(data: Any, path: str, objects: bool = True) -> set[str]:
    if isinstance(data, dict):
        assert objects, f"{path} is an object"
        return set().union({path} if not data else set(), *branches(data.items(), path, objects))
    if isinstance(data, list) and data:
        return set().union(*branches(enumerate(data), path, objects))
    return {path}


def branches(items: Any, path: str, objects: bool) -> list[set[str]]:
    return [leaves(value, f"{path}/{key}", objects) for key, value in items]


def root(ledger: set[str] | None = None) -> Node:
    data = json.loads(VECTORS.read_text("ascii"))
    return Node(data, "", set() if ledger is None else ledger)


# Checks of one item each. The tests call them one by one, the count at the end all together.


def parameters_of(node: Node) -> cm.Parameters:
    names = ("narrow_width", "wide_width", "narrow_units", "free_units", "free_prefix")
    return cm.Parameters(**{name: node[name].read() for name in names})


def keys_of(case: Node) -> cm.Keys:
    return cm.Keys.of(bytes.fromhex(case["secret"].read()))


def account_of(case: Node, keys: cm.Keys) -> cm.Pair | None:
    account = case["account"].read()
    return None if account is None else keys.account(int(account))


def check_head(doc: Node) -> None:
    assert doc["mark"].read() == "countermark/1"
    assert "scores 1 ulp, sums 1e-13 relative, log10_p 1e-9 relative" in doc["note"].read()


def check_keys(case: Node) -> None:
    keys = keys_of(case)
    for name in ("narrow", "wide", "accounts"):
        assert getattr(keys, name).hex() == case["derived"][name].read()
    assert account_of(case, keys) == case["account_key"].pair()
    assert all(0 <= t < case["vocab"].read() for t in case["tokens"].read())


def within_an_ulp(got: float, want: float) -> bool:
    return abs(got - want) <= math.ulp(want)


def check_uniform(item: Node) -> None:
    h = int(item["h"].read())
    assert cm.uniform(h) == (item["u"].read(), item["one_minus_u"].read())
    assert within_an_ulp(cm.score(h), item["score"].read())
    assert within_an_ulp(cm.exponential(h), item["exponential"].read())
    with mpmath.workdps(60):
        u = (mpmath.mpf(h >> 12) + mpmath.mpf(1) / 2) / 2**52
        assert within_an_ulp(cm.score(h), float(-mpmath.log(1 - u)))
        assert within_an_ulp(cm.exponential(h), float(-mpmath.log(u)))


def check_sample(sample: Node) -> None:
    at = sample["seed"].pair()
    assert at is not None
    h = cm.token_hash(at, sample["token"].read(), sample["account_key"].pair())
    assert h == int(sample["h"].read())
    check_uniform(sample)


def check_places(case: Node) -> None:
    walk = cm.Walk(keys_of(case), parameters_of(case["parameters"]))
    tokens, places = case["tokens"].read(), case["places"].read()
    assert len(tokens) == len(places)
    for token, (layer, *numbers) in zip(tokens, places, strict=True):
        placed = walk.placement()
        assert walk.observe(token) == placed
        assert (placed.layer, placed.seed or ()) == (layer, tuple(map(int, numbers)))


def check_step(keys: cm.Keys, p: cm.Parameters, account: cm.Pair | None, step: Node) -> None:
    walk = cm.Walk(keys, p)
    for token in step["response"].read():
        walk.observe(token)
    choices = list(zip(step["candidates"].read(), step["weights"].read(), strict=True))
    assert walk.drawing().layer == step["layer"].read()
    assert cm.select(walk, choices, account) == step["chosen"].read()
    assert cm.select(walk, choices[::-1], account) == step["chosen"].read()


def check_select_steps(case: Node) -> None:
    keys = keys_of(case)
    for step in case["select_steps"]:
        check_step(keys, parameters_of(case["parameters"]), account_of(case, keys), step)


def check_total(found: cm.Finding, want: Node) -> None:
    assert found.scored == want["scored"].read()
    assert math.isclose(found.sum, want["sum"].read(), rel_tol=1e-13, abs_tol=0)
    assert math.isclose(found.log10_p, want["log10_p"].read(), rel_tol=1e-9, abs_tol=0)


def check_finding(found: cm.Finding, want: Node) -> None:
    assert found.positions == want["positions"].read()
    scores = want["scores"].read()
    assert len(found.scores) == len(scores)
    assert all(map(within_an_ulp, found.scores, scores))
    check_total(found, want)


def check_detection(case: Node) -> None:
    keys, p, tokens = keys_of(case), parameters_of(case["parameters"]), case["tokens"].read()
    account, want = account_of(case, keys), case["detection"]
    check_finding(cm.tally(tokens, keys, p, ("narrow",)), want["narrow"])
    check_finding(cm.tally(tokens, keys, p, ("wide",)), want["wide"])
    check_total(cm.detect(tokens, keys, p)["ours"], want["presence_without_accounts"])
    assert ("wide_account" in want) == (account is not None)
    if account is not None:
        check_finding(cm.tally(tokens, keys, p, ("wide",), account), want["wide_account"])


def check_corner_keys(corners: Node) -> None:
    secret = bytes.fromhex(corners["secret"].read())
    assert cm.commitment(secret) == corners["commitment"].read()
    assert cm.key_id(secret) == corners["key_id"].read()
    for i in (0, 1):
        assert cm.derive(secret, f"decoy/{i}").hex() == corners[f"decoy_{i}"].read()


def check_corner_walk(keys: cm.Keys, item: Node) -> None:
    assert item["why"].read()
    walk = cm.Walk(keys, parameters_of(item["parameters"]))
    assert [walk.observe(t).layer for t in item["tokens"].read()] == item["layers"].read()


def check_free_prefix_12(keys: cm.Keys, step: Node) -> None:
    # Neither note nor page says so: the corners' secret, the defaults otherwise, no account.
    check_step(keys, cm.Parameters(free_prefix=12), None, step)


# The vectors, one by one

CASES = range(len(root().data["cases"]))
WALKS = range(len(root().data["corners"]["walks"]))
STEPS = range(len(root().data["corners"]["free_prefix_12"]))
CASE_CHECKS = (check_keys, check_places, check_select_steps, check_detection)


def test_the_file_is_the_frozen_one() -> None:
    assert hashlib.sha256(VECTORS.read_bytes()).hexdigest() == SHA256
    check_head(root())


@pytest.mark.parametrize("check", CASE_CHECKS)
@pytest.mark.parametrize("i", CASES)
def test_case(i: int, check: Any) -> None:
    check(root()["cases"][i])


@pytest.mark.parametrize("i", CASES)
def test_samples_and_edges(i: int) -> None:
    case = root()["cases"][i]
    for sample in case["samples"]:
        check_sample(sample)
    for edge in case["edges"]:
        check_uniform(edge)


def test_corner_keys() -> None:
    check_corner_keys(root()["corners"])


@pytest.mark.parametrize("i", WALKS)
def test_corner_walk(i: int) -> None:
    corners = root()["corners"]
    check_corner_walk(keys_of(corners), corners["walks"][i])


@pytest.mark.parametrize("i", STEPS)
def test_corner_free_prefix(i: int) -> None:
    corners = root()["corners"]
    check_free_prefix_12(keys_of(corners), corners["free_prefix_12"][i])


def check_everything(doc: Node) -> None:
    check_head(doc)
    for case in doc["cases"]:
        for check in CASE_CHECKS:
            check(case)
        for sample in case["samples"]:
            check_sample(sample)
        for edge in case["edges"]:
            check_uniform(edge)
    corners = doc["corners"]
    check_corner_keys(corners)
    for item in corners["walks"]:
        check_corner_walk(keys_of(corners), item)
    for step in corners["free_prefix_12"]:
        check_free_prefix_12(keys_of(corners), step)


def test_every_field_is_consumed() -> None:
    doc = root()
    check_everything(doc)
    assert doc.ledger == leaves(doc.data, "")


SPOTS = [(), ("cases", 3), ("cases", 0, "detection", "wide"), ("corners", "walks", 1)]


@pytest.mark.parametrize("path", SPOTS)
def test_an_unknown_field_is_seen(path: tuple[str | int, ...]) -> None:
    doc = root()
    spot = doc.data
    for key in path:
        spot = spot[key]
    spot["unheard_of"] = 1
    check_everything(doc)
    assert len(leaves(doc.data, "") - doc.ledger) == 1


# Detection by hypothesis


@pytest.mark.parametrize("i", CASES)
def test_hypotheses_with_accounts(i: int) -> None:
    case = root()["cases"][i]
    given = case["parameters"].data
    account = case["account"].read()
    listed = [] if account is None else [int(account)]
    if given["narrow_units"] == 0:  # case 3: the vectors go where the page forbids accounts
        with pytest.raises(ValueError, match="both layers"):
            cm.Parameters(**given, accounts=True)
        return
    p = cm.Parameters(**given, accounts=True)
    found = cm.detect(case["tokens"].read(), keys_of(case), p, listed)
    assert len(found) == 2 + len(listed)
    check_finding(found["ours"], case["detection"]["narrow"])
    check_finding(found["no account"], case["detection"]["wide"])
    if account is not None:
        check_finding(found[f"account {account}"], case["detection"]["wide_account"])


@pytest.mark.parametrize("i", CASES)
@pytest.mark.parametrize("accounts", [False, True])
def test_a_whole_response_leaves_its_prefix_out(i: int, accounts: bool) -> None:
    case = root()["cases"][i]
    given = case["parameters"].data
    p = cm.Parameters(**given, accounts=accounts and given["narrow_units"] > 0)
    tokens, keys = case["tokens"].read(), keys_of(case)
    unknown = cm.detect(tokens, keys, p, [7])
    response = cm.detect(tokens, keys, p, [7], "response")
    assert unknown.keys() == response.keys()
    for name, whole in unknown.items():
        pairs = zip(whole.positions, whole.scores, strict=True)
        kept = [(n, y) for n, y in pairs if n >= p.free_prefix]
        got = response[name]
        assert list(zip(got.positions, got.scores, strict=True)) == kept
        assert got.sum == math.fsum(y for _, y in kept)
        assert got.log10_p == cm.log10_p(len(kept), got.sum)


def test_gamma_tail() -> None:
    assert cm.log10_p(0, 0.0) == 0.0
    with mpmath.workdps(120):
        for n, s in itertools.product((1, 2, 54, 400), (0.5, 40.0, 500.0)):
            q = mpmath.gammainc(n, a=s, regularized=True)
            assert math.isclose(
                cm.log10_p(n, s), float(mpmath.log10(q)), rel_tol=1e-12, abs_tol=1e-80
            )


# Keys, parameters


def test_hkdf_as_in_rfc_5869() -> None:
    ikm, salt = bytes([0x0B] * 22), bytes(range(13))
    okm = cm.hkdf_sha256(ikm, salt, bytes(range(0xF0, 0xFA)))
    assert okm.hex() == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"


def test_purposes() -> None:
    assert cm.PURPOSES["balanced"].both_layers_exist()
    assert not cm.PURPOSES["distillation"].both_layers_exist()
    assert not cm.PURPOSES["provenance"].both_layers_exist()


@pytest.mark.parametrize(
    "wrong",
    [
        {"narrow_width": 0},
        {"wide_width": 5},
        {"narrow_units": 65537},
        {"free_units": 32769},
        {"free_prefix": -1},
        {"accounts": True, "free_units": 32768},
    ],
)
def test_parameters_out_of_range(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        cm.Parameters(**wrong)  # type: ignore[arg-type]


def test_block() -> None:
    assert cm.block([1, 2, 0x01020304], 2).hex() == "ffffffff" * 2 + "02000000" + "04030201"


# Selection by hand


def marked_walk() -> cm.Walk:
    walk = cm.Walk(cm.Keys.of(bytes(32)), cm.Parameters(free_prefix=0))
    for token in range(4):
        walk.observe(token)
    assert walk.placement().seed is not None
    return walk


def test_equal_values_go_to_the_lowest_id() -> None:
    # A weight of 5e-324 overflows every E / w to the same infinity.
    choices = [(t, 5e-324) for t in (907, 4, 30, 55)]
    for order in itertools.permutations(choices):
        assert cm.select(marked_walk(), order) == 4


def test_weights_of_zero_never_win() -> None:
    assert cm.select(marked_walk(), [(t, 0.0) for t in range(50)] + [(50, 1e-300)]) == 50


@pytest.mark.parametrize("bad", [-1.0, -1e-300, math.nan])
def test_bad_weights_are_errors(bad: float) -> None:
    with pytest.raises(ValueError, match="weight"):
        cm.select(marked_walk(), [(1, 1.0), (2, bad)])


# From logits to candidates, by hand

NINF = -math.inf


def logs(*weights: float) -> list[float]:
    return [math.log(w) if w else NINF for w in weights]


def ids(found: list[tuple[int, float]]) -> list[int]:
    return [t for t, _ in found]


def test_minus_infinity_is_never_a_candidate() -> None:
    logits = [NINF, 0.0, NINF, 1.0]
    assert ids(cm.candidates(logits)) == [1, 3]
    assert ids(cm.candidates(logits, top_k=4)) == [1, 3]
    assert ids(cm.candidates(logits, top_p=0.999999, top_k=9, min_p=0.01)) == [1, 3]


def test_temperature_divides() -> None:
    (_, a), (_, b) = cm.candidates([0.0, 1.0], temperature=0.5)
    assert math.isclose(b / a, math.exp(2), rel_tol=1e-15)
    assert ids(cm.candidates(logs(8, 2), temperature=2.0, min_p=0.4)) == [0, 1]
    assert ids(cm.candidates(logs(8, 2), temperature=1.0, min_p=0.4)) == [0]
    assert cm.candidates([1.0, 3.0, 3.0], temperature=0.0) == [(1, 1.0)]
    for wrong in (-1.0, math.nan):
        with pytest.raises(ValueError, match="temperature"):
            cm.candidates([0.0, 1.0], temperature=wrong)


def test_large_logits_do_not_overflow() -> None:
    assert ids(cm.candidates([5000.0, 5001.0], min_p=0.1)) == [0, 1]


def test_top_k_keeps_the_ties_with_the_last() -> None:
    logits = [1.0, 3.0, 2.0, 2.0, 0.0, 2.0]
    assert ids(cm.candidates(logits, top_k=1)) == [1]
    assert ids(cm.candidates(logits, top_k=2)) == [1, 2, 3, 5]
    assert ids(cm.candidates(logits, top_k=4)) == [1, 2, 3, 5]
    assert ids(cm.candidates(logits, top_k=5)) == [0, 1, 2, 3, 5]
    assert ids(cm.candidates(logits, top_k=0)) == ids(cm.candidates(logits, top_k=99))


def test_top_p_includes_the_one_that_crosses() -> None:
    logits = logs(1, 4, 2, 1)
    assert ids(cm.candidates(logits, top_p=0.4)) == [1]
    assert ids(cm.candidates(logits, top_p=0.6)) == [1, 2]
    assert ids(cm.candidates(logits, top_p=0.8)) == [0, 1, 2]
    assert ids(cm.candidates(logits, top_p=0.95)) == [0, 1, 2, 3]
    assert ids(cm.candidates(logits, top_p=1.0)) == [0, 1, 2, 3]


def test_top_p_reached_exactly_stops() -> None:
    equal = [0.0] * 4  # shares of exactly 1/4
    assert ids(cm.candidates(equal, top_p=0.5)) == [0, 1]
    assert ids(cm.candidates(equal, top_p=0.5000001)) == [0, 1, 2]


def test_top_p_ties_go_by_ascending_id() -> None:
    assert ids(cm.candidates([0.0, 2.0, 0.0, 2.0, 2.0], top_p=0.5)) == [1, 3]


def test_top_p_renormalises_after_top_k() -> None:
    logits = logs(5, 3, 2)
    assert ids(cm.candidates(logits, top_p=0.6)) == [0, 1]
    assert ids(cm.candidates(logits, top_k=2, top_p=0.6)) == [0]  # 5/8


def test_min_p_keeps_what_equals_the_limit() -> None:
    logits = [0.0, 0.0, -1.0, -5.0]
    assert ids(cm.candidates(logits, min_p=1.0)) == [0, 1]
    assert ids(cm.candidates(logits, min_p=math.exp(-1.0))) == [0, 1, 2]
    assert ids(cm.candidates(logits, min_p=0.0)) == [0, 1, 2, 3]


def test_min_p_comes_after_the_others() -> None:
    assert ids(cm.candidates(logs(6, 3, 1), top_p=0.95, min_p=0.4)) == [0, 1]
    assert ids(cm.candidates(logs(6, 3, 1), top_p=0.5, min_p=0.1)) == [0]
