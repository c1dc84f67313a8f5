"""Countermark: output watermarking for model providers.

A provider makes a key, marks what its model samples, and later finds the mark in any text, with
an exact p-value:

>>> import numpy as np, countermark as cm
>>> ring = cm.KeyRing.generate()
>>> profile = ring.create_profile("prod")
>>> sequence = cm.Sampler(ring, "prod").sequence()
>>> rng = np.random.default_rng(0)
>>> for _ in range(200):
...     logits = rng.normal(0, 2, 1000).astype(np.float32)
...     token = sequence.sample(logits, temperature=1.0)
>>> cm.Detector(ring).detect(sequence.tokens).verdict
'marked'
"""

from countermark._core import (
    AccountCandidate,
    AccountEvidence,
    AccountPlan,
    AccountScore,
    Calibration,
    ContractFit,
    DecoyRank,
    Detection,
    Detector,
    DistillationLook,
    DistillationResult,
    DistillationTest,
    EngineResult,
    KeyRing,
    LearnedAccount,
    LearnedAccounts,
    Ledger,
    MeasuredRates,
    OursEvidence,
    Profile,
    ProfileResult,
    Region,
    Replay,
    Sampler,
    ScreenedText,
    Screening,
    ScreeningResult,
    Sequence,
    SequenceStats,
    Test,
    TextEvidence,
    Trace,
    TracedRegion,
    Tracer,
    __version__,
    build_account_index,
    identify,
    plan_accounts,
    tokenizer_fingerprint,
)
from countermark._errors import CountermarkError
from countermark.tokenizers import Tokenizer

__all__ = [
    "AccountCandidate",
    "AccountEvidence",
    "AccountPlan",
    "AccountScore",
    "Calibration",
    "ContractFit",
    "CountermarkError",
    "DecoyRank",
    "Detection",
    "Detector",
    "DistillationLook",
    "DistillationResult",
    "DistillationTest",
    "EngineResult",
    "KeyRing",
    "LearnedAccount",
    "LearnedAccounts",
    "Ledger",
    "MeasuredRates",
    "OursEvidence",
    "Profile",
    "ProfileResult",
    "Region",
    "Replay",
    "Sampler",
    "ScreenedText",
    "Screening",
    "ScreeningResult",
    "Sequence",
    "SequenceStats",
    "Test",
    "TextEvidence",
    "Tokenizer",
    "Trace",
    "TracedRegion",
    "Tracer",
    "__version__",
    "build_account_index",
    "identify",
    "plan_accounts",
    "tokenizer_fingerprint",
]
