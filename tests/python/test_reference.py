"""The library against the independent reference, on random rows: the same token every time."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import countermark as cm
from conftest import secret_of

sys.path.append(str(Path(__file__).parents[1] / "reference"))
reference = pytest.importorskip("countermark_1")  # needs cryptography and mpmath

VOCAB = 60


@pytest.mark.parametrize("accounts", [False, True])
def test_the_library_selects_what_the_reference_selects(accounts: bool) -> None:
    parameters: dict[str, Any] = {
        "narrow_width": 1,
        "wide_width": 2,
        "free_prefix": 2,
        "free_units": 6000,
    }
    ring = cm.KeyRing.generate()
    ring.import_secret("test", secret_of(5), accounts=accounts, **parameters)
    account = 77 if accounts else None
    sequence = cm.Sampler(ring, "test").sequence(account=account, seed=0)
    keys = reference.Keys.of(secret_of(5))
    walk = reference.Walk(keys, reference.Parameters(**parameters, accounts=accounts))
    key = reference.account_key(keys.accounts, account) if accounts else None
    random = np.random.default_rng(11)
    compared = 0
    for _ in range(400):
        # Coarse logits, so that there are ties; a few tokens out of the question.
        row = (random.integers(-8, 9, VOCAB) / 4).astype(np.float32)
        row[random.integers(0, VOCAB, 5)] = -np.inf
        options: dict[str, Any] = {
            "temperature": float(random.choice([0.0, 0.3, 1.0, 2.5])),
            "top_k": int(random.choice([0, 1, 5, 40, 100])),
            "top_p": float(random.choice([1.0, 0.9, 0.5, 0.01])),
            "min_p": float(random.choice([0.0, 0.1, 0.6, 1.0])),
        }
        token = sequence.select(row, **options)
        left = reference.candidates([float(x) for x in row], **options)
        chosen = reference.select(walk, left, key)
        if chosen is None:
            assert token in {t for t, _ in left}
        else:
            assert token == chosen
            compared += len(left) > 1
        sequence.observe(token)
        walk.observe(token)
    assert compared > 50


def test_the_tracer_scores_what_the_reference_scores() -> None:
    ring = cm.KeyRing.generate()
    ring.import_secret("test", secret_of(6), accounts=True)
    tokens = np.random.default_rng(12).integers(0, VOCAB, 300).tolist()
    accounts = [0, 1, 77, 2**64 - 1]
    tracer = cm.Tracer(ring, "test", accounts)
    keys = reference.Keys.of(secret_of(6))
    parameters = reference.Parameters(accounts=True)
    expected = reference.detect(tokens, keys, parameters, accounts)
    for account, total in zip(accounts, tracer.scores(tokens), strict=True):
        found = expected[f"account {account}"]
        assert tracer.scored(tokens) == found.scored
        assert total == pytest.approx(found.sum, rel=1e-12)
    trace = tracer.trace(tokens, "unknown")
    for candidate in trace.candidates:
        name = "no account" if candidate.account is None else f"account {candidate.account}"
        assert candidate.log10_p == pytest.approx(expected[name].log10_p, rel=1e-9)
    assert trace.ours.log10_p == pytest.approx(expected["ours"].log10_p, rel=1e-9)
