"""What the tests share: a ring, rows of logits, and the test material beside the checkout."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import countermark as cm

# A job in the background is started with interrupts ignored, and so would be what it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

VOCAB = 1000
TOKENIZER = {"name": "test", "vocab_size": VOCAB, "fingerprint": "0" * 32}
SHARED = Path(__file__).parents[2].parent / "shared"

Row = npt.NDArray[np.float32]


def row(step: int, vocab: int = VOCAB) -> Row:
    """Return logits that depend on ``step`` alone."""
    return np.random.default_rng(step).normal(0, 2, vocab).astype(np.float32)


def secret_of(number: int) -> bytes:
    """Return a fixed secret, for tests whose numbers must not change."""
    return number.to_bytes(32, "little")


@pytest.fixture
def ring() -> cm.KeyRing:
    """Return a ring with the profiles "prod" and, with accounts, "named"."""
    ring = cm.KeyRing.generate()
    ring.import_secret("prod", secret_of(1), tokenizer=TOKENIZER)
    ring.import_secret("named", secret_of(2), accounts=True, tokenizer=TOKENIZER)
    return ring


@pytest.fixture
def sampler(ring: cm.KeyRing) -> cm.Sampler:
    """Return a sampler of "prod"."""
    return cm.Sampler(ring, "prod")


@pytest.fixture
def marked() -> Callable[[cm.Sampler, int], npt.NDArray[np.int32]]:
    """Return a function that samples so many tokens with a sampler."""

    def sample(sampler: cm.Sampler, tokens: int) -> npt.NDArray[np.int32]:
        sequence = sampler.sequence(seed=7)
        for step in range(tokens):
            sequence.sample(row(step))
        return sequence.tokens

    return sample


@pytest.fixture
def shared() -> Path:
    """Return the folder of test material, or skip."""
    if not SHARED.is_dir():
        pytest.skip(f"the test material is not at {SHARED}")
    return SHARED


def save_tiny_model(folder: Path) -> Path:
    """Save a transformers model of random weights whose tokens are bytes, or skip."""
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    backend = tokenizers.Tokenizer(
        tokenizers.models.BPE({letter: i for i, letter in enumerate(letters)}, [])
    )
    backend.decoder = tokenizers.decoders.ByteLevel()
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    transformers.PreTrainedTokenizerFast(tokenizer_object=backend).save_pretrained(folder)
    shape = {"n_embd": 16, "n_layer": 1, "n_head": 1, "n_positions": 256}
    config = transformers.GPT2Config(vocab_size=256, bos_token_id=None, eos_token_id=None, **shape)
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    return folder
