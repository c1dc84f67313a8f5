"""What marking does and what it survives, shown on the embedded story model."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from countermark import _core
from countermark.reading import read
from countermark.report import Exhibit, examine
from countermark.story import Story

_LICENSE = Path("/usr/share/common-licenses/GPL-3")
_HUMAN_WORDS = 200
_TOKENS = 500  # of each answer, so that a third of the words can change


@dataclass(frozen=True)
class Demo:
    """The texts shown, in order, and what they were made of."""

    exhibits: list[Exhibit]
    profile: _core.Profile
    human_source: str


def run(seed: int, progress: Callable[[int], None] | None = None) -> Demo:
    """Make every text and test it. ``seed`` decides the key, the stories and the edits.

    The key is derived from the seed so that a run can be repeated; a real one never is.
    """
    story = Story()
    tokenizer = story.tokenizer
    ring, other = (_core.KeyRing.generate() for _ in range(2))
    profile = ring.import_secret("demo", _secret(f"demo {seed}"), tokenizer=tokenizer)
    other.import_secret("someone-else", _secret(f"other {seed}"), tokenizer=tokenizer)
    right, wrong = _core.Detector(ring), _core.Detector(other)

    sampler = _core.Sampler(ring, "demo")
    length: dict[str, Any] = {"min_tokens": _TOKENS, "max_tokens": _TOKENS}
    marked = story.generate(sampler, **length, seed=seed, progress=progress)[0].text
    unmarked = story.generate(None, **length, seed=seed + 1, progress=progress)[0].text
    words = unmarked.split()
    source, human = human_text()
    before, after = (
        " ".join(human.split()[first : first + _HUMAN_WORDS]) for first in (0, _HUMAN_WORDS)
    )

    texts = [
        ("a marked answer", marked, right),
        ("an unmarked answer", unmarked, right),
        ("human text", before, right),
        ("a tenth of its words changed", substitute(marked, 1 / 10, words, seed), right),
        ("a third of its words changed", substitute(marked, 1 / 3, words, seed), right),
        ("a fifth of its words left out", delete(marked, 1 / 5, seed), right),
        ("between two human paragraphs", f"{before}\n\n{marked}\n\n{after}", right),
        ("tested with a wrong key", marked, wrong),
    ]
    exhibits = [examine(title, read(text, tokenizer), detector) for title, text, detector in texts]
    return Demo(exhibits, profile, source)


def human_text() -> tuple[str, str]:
    """Return prose that was written before there were language models, and where it is from."""
    if _LICENSE.is_file():
        text = _LICENSE.read_text(encoding="utf-8")
        source, begin = f"the GNU General Public License ({_LICENSE})", text.find("Preamble")
    else:
        from pydoc_data.topics import topics

        text = topics["assignment"] + topics["class"] + topics["execmodel"]
        source, begin = "Python's language reference (pydoc_data.topics)", 0
    return source, " ".join(text[max(0, begin) :].split())


def substitute(text: str, share: float, words: list[str], seed: int) -> str:
    """Replace a share of the words of ``text`` by others drawn from ``words``."""
    draw = random.Random(seed)

    def other_than(word: str) -> str:
        return next(w for w in iter(lambda: draw.choice(words), None) if w != word)

    return _edit(text, share, draw, other_than)


def delete(text: str, share: float, seed: int) -> str:
    """Leave out a share of the words of ``text``."""
    return re.sub(r" +", " ", _edit(text, share, random.Random(seed), lambda _: ""))


def _edit(text: str, share: float, draw: random.Random, change: Callable[[str], str]) -> str:
    pieces = re.split(r"(\S+)", text)  # words at the odd places
    places = range(1, len(pieces), 2)
    for place in draw.sample(places, round(share * len(places))):
        pieces[place] = change(pieces[place])
    return "".join(pieces)


def _secret(label: str) -> bytes:
    return hashlib.sha256(f"countermark {label}".encode()).digest()
