"""Which students there are, in the order in which they are taught."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from corpora import Mark
from student import Student

VOCAB = 4096
SHARES = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0)


def narrow(width: int = 2, key: int = 0) -> Mark:
    """Return the mark for distillation: all of the narrow layer."""
    parameters = {"purpose": "distillation", "narrow_width": width}
    return Mark(f"distillation{width}", parameters=parameters, key=key)


NONE = Mark("unmarked")
BALANCED = Mark("balanced", parameters={"purpose": "balanced"})
PROVENANCE = Mark("provenance", parameters={"purpose": "provenance"})
POOLED = Mark("accounts", parameters={"purpose": "balanced", "accounts": True})
ENGINES = (
    # It decides the first token and all that follow: alike prompts have one answer.
    Mark("vllm", "vllm/gumbel-1", prompt=32),
    Mark("synthid", "hf/synthid-1", words=30, prompt=8),
    Mark("kgw", "hf/kgw-lefthash-1", parameters={"vocab_size": VOCAB}, prompt=8),
)


def students() -> Iterator[Student]:
    """Yield them: what says most comes first."""
    whole = Student(narrow(), 1.0)
    yield from (Student(NONE, 0.0, seed) for seed in range(2))
    yield from (Student(narrow(), share) for share in reversed(SHARES))
    yield from (Student(narrow(width), 1.0) for width in (1, 3, 4))
    yield from (Student(mark, 1.0) for mark in (*ENGINES, BALANCED))
    # The keys that nothing was chosen on.
    for share in (0.05, 0.25, 0.1, 0.01, 0.5, 1.0):
        yield from (Student(narrow(2, seed), share, seed) for seed in (1, 2))
    yield from (replace(whole, temperature=temperature) for temperature in (0.7, 1.3))
    yield from (replace(whole, clean=epochs) for epochs in (1, 3))
    yield from (replace(whole, changed=share) for share in (0.3, 0.1, 0.6))
    yield replace(whole, other_tokenizer=True)
    yield from (Student(mark, 1.0) for mark in (POOLED, PROVENANCE))
    # More and fewer texts: a share of them is more and fewer marked ones.
    yield from (Student(narrow(2, 1), 0.05, 1, texts=texts) for texts in (6000, 1500))
    yield Student(NONE, 0.0, 1, texts=6000)
    yield from (Student(NONE, 0.0, seed) for seed in range(2, 8))
    yield from (Student(NONE, 0.0, seed, size="tiny") for seed in range(8, 20))
    yield from (Student(narrow(2, 1), share, 1, size="tiny") for share in (0.25, 0.05))
    yield Student(narrow(2, 1), 0.05, 1, size="large")
    yield Student(narrow(2, 1), 0.05, 1, texts=12000)
    yield Student(NONE, 0.0, 1, texts=12000)
    yield from (Student(narrow(1), share) for share in (0.25, 0.05))
    yield from (Student(narrow(), share, filler="human") for share in (0.25, 0.05))
    yield Student(narrow(2, 1), 0.25, 1, size="large")
    yield from (Student(mark, 0.25) for mark in ENGINES)
