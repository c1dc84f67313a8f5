"""The compiled part of the package. Every error is a :class:`countermark.CountermarkError`."""

from collections.abc import Iterable
from collections.abc import Sequence as _Sequence
from os import PathLike
from typing import Any, Literal, SupportsIndex, TypeAlias

import numpy as np
import numpy.typing as npt

__version__: str

_Start: TypeAlias = Literal["unknown", "response"]
_Purpose: TypeAlias = Literal["balanced", "distillation", "provenance"]
_TokenIds: TypeAlias = _Sequence[int] | npt.NDArray[np.integer[Any]]
# numpy arrays and CPU tensors with __dlpack__: float32, float16 or bfloat16, never copied.
_Logits: TypeAlias = Any
# countermark.Tokenizer, anything it wraps, a file's path, or a mapping with the three fields.
_TokenizerLike: TypeAlias = Any

class Profile:
    """The public description of one deployed mark. Holds no secret; safe to publish and to log."""

    @staticmethod
    def from_json(json: str) -> Profile:
        """Read ``countermark.profile/1``. Unknown fields are kept, an unknown mark is an error."""
    def to_json(self) -> str:
        """Return the profile as JSON on one line, every parameter written out."""
    @property
    def id(self) -> str:
        """The name that samplers and detectors use."""
    @property
    def mark(self) -> str:
        """Name and revision of the mark, such as ``"countermark/1"``."""
    @property
    def parameters(self) -> dict[str, Any]:
        """Every parameter of the mark."""
    @property
    def key_id(self) -> str:
        """First 16 hex digits of the commitment."""
    @property
    def commitment(self) -> str:
        """HMAC-SHA256(secret, "countermark key commitment"): 64 hex digits."""
    @property
    def tokenizer(self) -> dict[str, Any] | None:
        """``name``, ``vocab_size`` and ``fingerprint`` of the tokenizer, where one was given."""
    @property
    def created(self) -> str:
        """RFC 3339, UTC."""
    @property
    def status(self) -> Literal["active", "retired"]:
        """A retired profile detects, and marks nothing new."""
    @property
    def accounts(self) -> bool:
        """Whether the wide layer carries an account."""
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

class KeyRing:
    """The secrets of a provider, each with its profiles. No call returns a secret."""

    @staticmethod
    def generate() -> KeyRing:
        """Return an empty ring; :meth:`create_profile` draws the secrets."""
    @staticmethod
    def open(
        path: str | PathLike[str], passphrase: str | None = None, *, allow_readable: bool = False
    ) -> KeyRing:
        """Read a key ring file.

        A file that other users can read is refused unless ``allow_readable`` (or the environment
        variable ``COUNTERMARK_ALLOW_READABLE_KEYS=1``) says otherwise. This version cannot open
        sealed rings: a ``passphrase`` is an error.
        """
    def save(self, path: str | PathLike[str]) -> None:
        """Write the ring atomically with mode 0600."""
    def create_profile(
        self,
        id: str,
        mark: str = "countermark/1",
        accounts: bool = False,
        purpose: _Purpose = "balanced",
        narrow_width: int = 2,
        wide_width: int = 4,
        narrow_units: int | None = None,
        free_units: int | None = None,
        free_prefix: int | None = None,
        tokenizer: _TokenizerLike = None,
    ) -> Profile:
        """Draw a fresh secret and add a profile for it.

        Widths are 1 to 4 tokens; units count contexts out of 65536; ``free_prefix`` is 0 to 65536
        tokens. ``None`` takes the preset of ``purpose``. Give the ``tokenizer``: without it any id
        from 0 to 2**31 - 1 is accepted, and a mistake goes unseen.
        """
    def import_secret(
        self,
        id: str,
        secret: bytes | bytearray | memoryview,
        mark: str = "countermark/1",
        accounts: bool = False,
        purpose: _Purpose = "balanced",
        narrow_width: int = 2,
        wide_width: int = 4,
        narrow_units: int | None = None,
        free_units: int | None = None,
        free_prefix: int | None = None,
        tokenizer: _TokenizerLike = None,
    ) -> Profile:
        """Add a profile for a 32-byte secret from elsewhere. Pass a bytearray and wipe it."""
    def retire(self, id: str) -> Profile:
        """Retire a profile: it goes on detecting and marks nothing new."""
    def profile(self, id: str) -> Profile:
        """Return the profile called ``id``."""
    @property
    def profiles(self) -> list[Profile]:
        """Every profile, in the order of the file."""

class SequenceStats:
    """What became of a response's tokens; the counts add up to ``tokens``."""

    @property
    def tokens(self) -> int:
        """Tokens observed."""
    @property
    def marked(self) -> int:
        """Drawn by the mark."""
    @property
    def free(self) -> int:
        """Drawn freely: the free prefix, repeated contexts, ``free_units``."""
    @property
    def greedy(self) -> int:
        """Not drawn at all: temperature 0, or a single candidate."""
    @property
    def forced(self) -> int:
        """Observed, but neither selected here nor placed by :meth:`Sampler.placements`."""
    @property
    def entropy_bits(self) -> float:
        """Sum of the entropies of what the selected tokens were drawn from, in bits."""
    @property
    def expected_log10_p(self) -> float:
        """log10 of the p-value that detection of "ours" is expected to give; 0 if unmarked."""
    @property
    def is_marked(self) -> bool:
        """False where no token carries the mark, as at temperature 0."""
    def as_dict(self) -> dict[str, Any]:
        """Return all of it by name."""

class Sequence:
    """One response. Begin a new one at every turn, tool call and change of channel.

    Belongs to one thread at a time; use from two at once is an error, not a race.
    """

    def select(
        self,
        logits: _Logits,
        *,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
    ) -> int:
        """Draw the next token from ``logits`` [vocab]. Pure: the same until a token is observed.

        ``temperature`` is 0 or more, and 0 is greedy and not marked; ``top_k`` 0 is off; ``top_p``
        is in (0, 1]; ``min_p`` in [0, 1]. -inf excludes a token; NaN and +inf are errors.
        """
    def sample(
        self,
        logits: _Logits,
        *,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
    ) -> int:
        """Select and observe in one step."""
    def select_candidates(self, ids: _TokenIds, weights: npt.ArrayLike) -> int:
        """Draw among candidates already truncated: distinct ``ids`` [k], ``weights`` [k] >= 0."""
    def observe(self, token: SupportsIndex) -> None:
        """Append a token, whoever chose it. But for :meth:`sample`, all that moves the state."""
    def rollback(self, count: int) -> None:
        """Forget the last ``count`` tokens; free draws that come again are new ones."""
    def fork(self, seed: int | None = None) -> Sequence:
        """Return an independent copy with its own seed for the free draws."""
    @property
    def stats(self) -> SequenceStats:
        """What became of the tokens so far. O(tokens)."""
    @property
    def tokens(self) -> npt.NDArray[np.int32]:
        """A copy of the tokens so far."""
    def __len__(self) -> int: ...

class Sampler:
    """A key and its profile, ready to mark. Immutable and thread-safe."""

    def __init__(self, ring: KeyRing, profile: str, *, threads: int = 0) -> None:
        """Take a profile of ``ring``.

        ``threads`` may work on a batch, the caller's own included; 0: one for each core.
        """
    @property
    def profile(self) -> Profile:
        """The profile that this sampler marks with."""
    def sequence(
        self,
        account: int | None = None,
        seed: int | None = None,
        response_so_far: _TokenIds = (),
        *,
        max_tokens: int = 0,
    ) -> Sequence:
        """Begin a response.

        ``account`` (0 to 2**64 - 1) is for profiles with accounts alone. ``seed`` makes the free
        draws repeatable and has no part in the mark. Memory for ``max_tokens`` tokens is taken at
        once; 0: as the response grows.
        """
    def sample_batch(
        self,
        logits: _Logits,
        sequences: Iterable[Sequence],
        *,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
    ) -> npt.NDArray[np.int32]:
        """Sample a token for each sequence from ``logits`` [batch, vocab]: all of them or none."""
    def sample_candidates_batch(
        self, ids: npt.ArrayLike, weights: npt.ArrayLike, sequences: Iterable[Sequence]
    ) -> npt.NDArray[np.int32]:
        """Sample from ``ids`` and ``weights`` [batch, k]; a weight of 0 pads."""
    def observe_batch(self, sequences: Iterable[Sequence], tokens: _TokenIds) -> None:
        """Observe ``tokens[i]`` in ``sequences[i]``: all of them or none."""
    def placements(
        self, sequences: Iterable[Sequence]
    ) -> tuple[
        npt.NDArray[np.uint8],
        npt.NDArray[np.uint64],
        npt.NDArray[np.uint64],
        npt.NDArray[np.uint64],
        npt.NDArray[np.uint64],
    ]:
        """Return (layer, k1, k2, a1, a2) of the next positions, for a kernel that draws itself.

        Layers: 0 free (keys 0), 1 narrow, 2 wide, 3 wide with account.
        """

class ProfileResult:
    """What one profile's key found."""

    @property
    def profile(self) -> str:
        """The profile's id."""
    @property
    def scored(self) -> int:
        """Positions scored."""
    @property
    def score(self) -> float:
        """Sum of the scores: Gamma(scored, 1) under the null."""
    @property
    def log10_p(self) -> float:
        """Of this profile alone, paid for the start."""
    @property
    def log10_p_adjusted(self) -> float:
        """After Holm's correction over all profiles tested."""
    @property
    def log10_e(self) -> float:
        """E-value of this profile alone."""
    @property
    def is_marked(self) -> bool:
        """Whether the adjusted p-value is at most the rate asked for."""
    @property
    def start(self) -> _Start:
        """The start under which the numbers are given."""

class Detection:
    """The outcome of a test of one text. It never says that a human wrote it."""

    @property
    def verdict(self) -> Literal["marked", "not_marked_by_these_keys", "insufficient"]:
        """``marked`` means sampled by us, or copied, stitched or learned from us."""
    @property
    def log10_p(self) -> float:
        """log10 of the smallest p-value, corrected for all profiles and starts tried."""
    @property
    def log10_e(self) -> float:
        """log10 of the e-value of "independent of all keys"."""
    @property
    def scored(self) -> int:
        """Positions scored under the best profile."""
    @property
    def profile(self) -> str | None:
        """The profile found, or None."""
    @property
    def token_scores(self) -> npt.NDArray[np.float64]:
        """[tokens]: -ln(1 - U), of mean 1 without the mark; NaN where not scored."""
    @property
    def tested(self) -> int:
        """Number of profiles tested."""
    @property
    def log10_threshold(self) -> float:
        """log10 of the false positive rate asked for."""
    @property
    def results(self) -> list[ProfileResult]:
        """Every profile tested, in the order given."""
    @property
    def best(self) -> ProfileResult:
        """The result with the smallest p-value."""
    def to_json(self) -> str:
        """Return ``countermark.detection/1`` on one line; the text is not in it."""

class AccountScore:
    """How one account's key scores a text."""

    @property
    def scored(self) -> int:
        """Positions scored."""
    @property
    def score(self) -> float:
        """Sum of the scores."""
    @property
    def log10_p(self) -> float:
        """For this account alone: not corrected for a search over accounts."""

class Detector:
    """Tests texts against the keys of a ring. Immutable and thread-safe."""

    def __init__(
        self,
        ring: KeyRing,
        profiles: _Sequence[str] | None = None,
        *,
        false_positive_rate: float = 1e-6,
    ) -> None:
        """Test the ``profiles`` named, or every one. The rate is in (0, 0.5]."""
    def detect(self, token_ids: _TokenIds, start: _Start | None = None) -> Detection:
        """Test one text. ``start`` None tries both and pays for both."""
    def detect_many(
        self, texts: Iterable[_TokenIds], threads: int = 0, start: _Start | None = None
    ) -> list[Detection]:
        """Test many texts on ``threads`` threads (0: all cores), without the GIL."""
    def detect_text(
        self, text: str, tokenizer: _TokenizerLike, start: _Start | None = None
    ) -> Detection:
        """Tokenise ``text`` with anything that has ``encode(text)`` and test the ids."""
    def score_account(
        self, token_ids: _TokenIds, profile: str, account: int | None, start: _Start | None = None
    ) -> AccountScore:
        """Score the wide layer under one account's key (None: no account)."""
    @property
    def profiles(self) -> list[Profile]:
        """The profiles tested."""

def tokenizer_fingerprint(vocabulary: Iterable[tuple[int, bytes | str]]) -> str:
    """XXH3-128 over (id, bytes as the tokenizer stores them), as 32 hex digits."""
