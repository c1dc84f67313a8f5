"""The compiled part of the package. Every error is a :class:`countermark.CountermarkError`."""

from collections.abc import Callable, Iterable
from collections.abc import Sequence as _Sequence
from os import PathLike
from typing import Any, Literal, SupportsIndex, TypeAlias

import numpy as np
import numpy.typing as npt

__version__: str

_Start: TypeAlias = Literal["unknown", "response"]
_Statistic: TypeAlias = Literal["sum", "goodness_of_fit", "scan", "likelihood", "replay"]
# What countermark.models describes: probabilities dense, sparse or in chunks.
_Proxy: TypeAlias = Callable[[npt.NDArray[np.int32]], Any]
_Purpose: TypeAlias = Literal["balanced", "distillation", "provenance"]
_TokenIds: TypeAlias = _Sequence[int] | npt.NDArray[np.integer[Any]]
# numpy arrays and CPU tensors with __dlpack__: float32, float16 or bfloat16, never copied.
_Logits: TypeAlias = Any
_Accounts: TypeAlias = Iterable[int] | npt.NDArray[np.integer[Any]]
_Progress: TypeAlias = Callable[[int, int], object]
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
    def warning(self) -> str | None:
        """Why nothing new should be marked with it; None where there is no reason."""
    @property
    def parameters(self) -> dict[str, Any]:
        """Every parameter of the mark."""
    @property
    def key_id(self) -> str:
        """First 16 hex digits of the commitment; 16 random ones for another engine's key."""
    @property
    def commitment(self) -> str | None:
        """HMAC-SHA256(secret, "countermark key commitment"): 64 hex digits.

        None for another engine's key, which is short enough to be guessed from it.
        """
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
    def import_engine_key(
        self,
        id: str,
        mark: str | None = None,
        key: int | str | _Sequence[int | str] | None = None,
        *,
        config: Any = None,
        tokenizer: _TokenizerLike = None,
        **parameters: Any,
    ) -> Profile:
        """Add a profile for another engine's mark (docs/engines.md) and that engine's own key.

        Give ``mark`` and ``key``, a number of 64 bits or as many as the contract has (a string is
        hexadecimal digits), with what of the mark's ``parameters`` is not the engine's default. Or
        give ``config``, the engine's own: a path, a mapping or an object (``countermark.engines``);
        ``mark`` then only says which of several revisions.
        """
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

    def __init__(
        self, ring: KeyRing, profile: str, *, threads: int = 0, ledger: Ledger | None = None
    ) -> None:
        """Take a profile of ``ring``.

        ``threads`` may work on a batch, the caller's own included; 0: one for each core.
        ``ledger`` takes in where each response was marked, when its sequence is let go.
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
        prompt: _TokenIds = (),
    ) -> Sequence:
        """Begin a response.

        ``account`` (0 to 2**64 - 1) is for profiles with accounts alone. ``seed`` makes the free
        draws repeatable and has no part in the mark. Memory for ``max_tokens`` tokens is taken at
        once; 0: as the response grows. ``prompt`` is what comes before in one run of tokens: some
        engines' marks take contexts from it.
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

class Test:
    """One statistic of one text under one key."""

    @property
    def statistic(self) -> _Statistic:
        """Which it is; docs/detection.md says what each looks for."""
    @property
    def share(self) -> float:
        """Its share of the error rate, fixed beforehand; a profile's shares add up to 1."""
    @property
    def log10_p(self) -> float:
        """Of this test alone; NaN where p / share could not have been below 1/100."""

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
        """Of this profile alone, paid for all its tests: the least of p / share."""
    @property
    def log10_p_adjusted(self) -> float:
        """After Holm's correction over all profiles tested."""
    @property
    def log10_e(self) -> float:
        """E-value of this profile alone."""
    @property
    def log10_inflation(self) -> float:
        """log10 of the factor of its calibration, which is in ``log10_p``; 0 without one."""
    @property
    def is_marked(self) -> bool:
        """Whether the adjusted p-value is at most the rate asked for."""
    @property
    def start(self) -> _Start:
        """The start under which the numbers are given."""
    @property
    def tests(self) -> list[Test]:
        """Every test made."""
    @property
    def engine(self) -> EngineResult | None:
        """For another engine's mark: what its own detector says."""

class EngineResult:
    """What another engine's own detector says of a text, to lay beside ours."""

    @property
    def scored(self) -> int:
        """Positions scored by the engine."""
    @property
    def score(self) -> float:
        """What the engine adds up or averages."""
    @property
    def log10_p(self) -> float | None:
        """log10 of its p-value as it is, None where it gives none."""
    @property
    def remark(self) -> str:
        """What it is, and where it is wrong."""

class Region:
    """A part of a text that a key marked."""

    @property
    def profile(self) -> str:
        """The profile's id."""
    @property
    def begin(self) -> int:
        """The first token."""
    @property
    def end(self) -> int:
        """One past the last token."""
    @property
    def characters(self) -> tuple[int, int] | None:
        """The same in characters of the text, where there is one."""
    @property
    def scored(self) -> int:
        """Positions scored in it."""
    @property
    def score(self) -> float:
        """Sum of their scores."""
    @property
    def log10_p(self) -> float:
        """Of its strongest window, corrected for every window, test, profile and variant tried."""

class Detection:
    """The outcome of a test of one text. It never says that a human wrote it."""

    @property
    def verdict(self) -> Literal["marked", "not_marked_by_these_keys", "insufficient"]:
        """``marked`` means sampled by us, or copied, stitched or learned from us."""
    @property
    def log10_p(self) -> float:
        """log10 of the smallest p-value, corrected for everything that was tried."""
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
    def regions(self) -> list[Region]:
        """The parts that are marked, in the order of the text; only where ``start`` was None."""
    @property
    def token_scores(self) -> npt.NDArray[np.float64]:
        """[tokens]: -ln(1 - U), of mean 1 without the mark; NaN where not scored."""
    @property
    def tested(self) -> int:
        """Number of profiles tested."""
    @property
    def variants(self) -> int:
        """Number of variants of the text tested, all paid for."""
    @property
    def variant(self) -> int:
        """The variant that the rest is about: 0 is the text as it came, 1 normalised."""
    @property
    def entropy_bits(self) -> float | None:
        """Sum of the entropies that the tokens were drawn from, where a model told."""
    @property
    def tokens_to_decide(self) -> int | None:
        """About how many tokens more would decide; 0 unless insufficient, None: no length would."""
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
    def _locate(self, spans: _Sequence[tuple[int, int]]) -> None:
        """Give the regions their characters; ``spans`` are those of each token."""

class DecoyRank:
    """A key among keys that never marked anything."""

    @property
    def profile(self) -> str:
        """The profile's id."""
    @property
    def log10_p(self) -> float:
        """Of the key, as ``ProfileResult.log10_p`` but for the inflation."""
    @property
    def decoys(self) -> npt.NDArray[np.float64]:
        """[decoys]: log10 p of each."""
    @property
    def rank(self) -> int:
        """1 where no decoy has as small a p-value."""
    @property
    def log10_rank_p(self) -> float:
        """log10 of rank / (decoys + 1): an exact p-value that assumes nothing of the text."""
    @property
    def agrees(self) -> bool:
        """False where the decoys' p-values are too small for chance: rely on the rank alone."""

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

class MeasuredRates:
    """The error rates of one key at one length."""

    @property
    def tokens(self) -> int:
        """The length."""
    @property
    def pieces(self) -> int:
        """Pieces of so many tokens that were tested."""
    @property
    def plain(self) -> list[float]:
        """Share of them with p of at most 0.1, 0.01 and 0.001; none where there are too few."""
    @property
    def filtered(self) -> list[float]:
        """The same without the common n-grams that the other half of the documents shows."""
    @property
    def log10_inflation(self) -> float:
        """log10 of the factor that p-values of this length are enlarged by."""

class Calibration:
    """What one key does on a provider's own unmarked text. Immutable."""

    @staticmethod
    def build(
        ring: KeyRing,
        profile: str,
        documents: Iterable[_TokenIds],
        *,
        common_in: int = 0,
        lengths: _Sequence[int] = ...,
        threads: int = 0,
    ) -> Calibration:
        """Build one from at least 100 documents; many, like the texts to come, are better.

        ``common_in`` documents have to share an n-gram for it to be common (0: one in a thousand,
        at least 4). Error rates are measured at ``lengths`` tokens, increasing.
        """
    @staticmethod
    def from_json(json: str) -> Calibration:
        """Read ``countermark.calibration/1``."""
    @staticmethod
    def open(path: str | PathLike[str]) -> Calibration:
        """Read a file."""
    def to_json(self) -> str:
        """Return it as JSON: hashes and rates, no text and no secret."""
    def save(self, path: str | PathLike[str]) -> None:
        """Write a file, all of it or nothing."""
    @property
    def profile(self) -> str:
        """The profile it is for."""
    @property
    def key_id(self) -> str:
        """The key it is for."""
    @property
    def documents(self) -> int:
        """Documents it was built from."""
    @property
    def common_in(self) -> int:
        """Documents that an n-gram has to be in to be common."""
    @property
    def common_ngrams(self) -> int:
        """How many are."""
    @property
    def rates(self) -> list[MeasuredRates]:
        """By length."""
    def log10_inflation(self, tokens: int) -> float:
        """Return log10 of the factor for a text of so many tokens."""

class Detector:
    """Tests texts against the keys of a ring. Immutable and thread-safe."""

    def __init__(
        self,
        ring: KeyRing,
        profiles: _Sequence[str] | None = None,
        *,
        false_positive_rate: float = 1e-6,
        calibrations: Iterable[Calibration] = (),
    ) -> None:
        """Test the ``profiles`` named, or every one. The rate is in (0, 0.5]."""
    def detect(
        self,
        token_ids: _TokenIds,
        start: _Start | None = None,
        *,
        proxy: _Proxy | None = None,
        prompt: _TokenIds | None = None,
    ) -> Detection:
        """Test one text.

        ``start`` None assumes nothing: a part of a response or a whole one, edited texts and texts
        of which a part is marked are tried, and paid for. "unknown" and "response" assume one
        response, from anywhere or whole, and test it by the sum alone. With a ``proxy``, any
        language model's probabilities (:mod:`countermark.models`), tokens are weighed by what they
        can say. ``prompt`` is what came before the response in one run of tokens, if that is known:
        engines' marks whose contexts reach into it score the first tokens too then.
        """
    def detect_variants(
        self, variants: Iterable[_TokenIds], start: _Start | None = None
    ) -> Detection:
        """Test several tokenisations of one text; the best one's detection, paid for all."""
    def detect_many(
        self, texts: Iterable[_TokenIds], threads: int = 0, start: _Start | None = None
    ) -> list[Detection]:
        """Test many texts on ``threads`` threads (0: all cores), without the GIL."""
    def detect_text(
        self, text: str, tokenizer: _TokenizerLike, start: _Start | None = None
    ) -> Detection:
        """Test ``text`` as it is and, if that differs, with its characters normalised.

        ``tokenizer`` is anything that has ``encode(text)``. Regions have their characters where it
        tells them.
        """
    def replay(
        self,
        prompt_ids: _TokenIds,
        token_ids: _TokenIds,
        model: Callable[..., Any],
        *,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        account: int | None = None,
        epsilon: float = 0.02,
    ) -> Detection:
        """Test a response against the draws that would have made it, given model and prompt.

        ``model`` returns logits (:mod:`countermark.models`); the sampling parameters are those of
        the response. ``epsilon`` is the share of draws that may have come out otherwise.
        """
    def rank(
        self,
        token_ids: _TokenIds,
        profile: str | None = None,
        decoys: int = 99,
        start: _Start | None = None,
    ) -> DecoyRank:
        """Rank a profile's key (None: the first one's) among decoy keys, 1 to 100,000 of them."""
    def score_account(
        self, token_ids: _TokenIds, profile: str, account: int | None, start: _Start | None = None
    ) -> AccountScore:
        """Score the wide layer under one account's key (None: no account)."""
    @property
    def profiles(self) -> list[Profile]:
        """The profiles tested."""

class OursEvidence:
    """What the narrow layer says, which is the same for all accounts: "ours", never whose."""

    @property
    def scored(self) -> int:
        """Positions scored."""
    @property
    def score(self) -> float:
        """Sum of the scores: Gamma(scored, 1) under the null."""
    @property
    def log10_p(self) -> float:
        """Paid for the starts tried."""
    @property
    def log10_e(self) -> float:
        """The e-value."""

class AccountCandidate:
    """How the key of one account, or of none, scores the wide layer of a text."""

    @property
    def account(self) -> int | None:
        """None: no account."""
    @property
    def scored(self) -> int:
        """Wide positions scored."""
    @property
    def score(self) -> float:
        """Sum of their scores: Gamma(scored, 1) for an innocent account."""
    @property
    def start(self) -> _Start:
        """The start that ``scored`` and ``score`` are for."""
    @property
    def log10_p(self) -> float:
        """Of this account alone: paid for the starts, not for the search.

        With a proxy it is the likelihood's.
        """
    @property
    def log10_p_adjusted(self) -> float:
        """After the share of the test and all that were searched."""
    @property
    def log10_e(self) -> float:
        """Of this account alone."""
    @property
    def is_accused(self) -> bool:
        """Whether the text, or a part of it, is laid to this account."""

class TracedRegion:
    """A part of a text that was marked for an account."""

    @property
    def account(self) -> int:
        """Whose."""
    @property
    def begin(self) -> int:
        """First token."""
    @property
    def end(self) -> int:
        """One past the last token."""
    @property
    def characters(self) -> tuple[int, int] | None:
        """The same in characters, where the tokenizer tells."""
    @property
    def scored(self) -> int:
        """Wide positions scored."""
    @property
    def score(self) -> float:
        """Sum of their scores."""
    @property
    def log10_p(self) -> float:
        """Corrected for every window, test and account tried."""
    @property
    def log10_gap(self) -> float:
        """Decades between this account and the best other one over this part."""

class Trace:
    """The outcome of a search over all accounts for one text."""

    @property
    def verdict(self) -> Literal["account", "no_account", "insufficient"]:
        """Whether any account is accused; "insufficient": too little text to expect one."""
    @property
    def account(self) -> int | None:
        """The accused account with the smallest p-value."""
    @property
    def accused(self) -> list[int]:
        """All of them, that one first."""
    @property
    def log10_p(self) -> float:
        """The smallest p-value of any account, corrected for everything tried."""
    @property
    def log10_e(self) -> float:
        """The largest e-value of any account over the number of hypotheses: an e-value itself."""
    @property
    def log10_gap(self) -> float:
        """Decades between the last one accused (or the best) and the best who is not."""
    @property
    def log10_threshold(self) -> float:
        """log10 of the rate asked for."""
    @property
    def scored(self) -> int:
        """Positions of the wide layer."""
    @property
    def tested(self) -> int:
        """Accounts searched, and "no account"."""
    @property
    def candidates(self) -> list[AccountCandidate]:
        """The best, best first; "no account" is always among them."""
    @property
    def regions(self) -> list[TracedRegion]:
        """Parts marked for the accused, in the order of the text; only with ``start`` None."""
    @property
    def tests(self) -> list[Test]:
        """The tests made, uncorrected for the search, and their shares of the error rate."""
    @property
    def ours(self) -> OursEvidence:
        """The narrow layer."""
    @property
    def log10_p_combined(self) -> float:
        """Both layers, the wide one under the best hypothesis, corrected for the search: "ours"."""
    @property
    def tokens_to_decide(self) -> int | None:
        """About how many tokens more would do; 0 unless insufficient, None where none would."""
    @property
    def token_scores(self) -> npt.NDArray[np.float64]:
        """Scores [tokens] of the wide layer under the first candidate; NaN elsewhere."""
    def _locate(self, spans: _Sequence[tuple[int, int]]) -> None: ...
    def to_json(self) -> str:
        """Return the trace as JSON on one line, format ``countermark.trace/1``."""

class Tracer:
    """Searches the accounts of one profile. Immutable and thread-safe."""

    def __init__(
        self,
        ring: KeyRing,
        profile: str,
        accounts: _Accounts,
        *,
        false_accusation_rate: float = 1e-3,
        least_gap: float = 100.0,
        candidates: int = 10,
        index: str | PathLike[str] | None = None,
        allow_readable_by_others: bool = False,
        threads: int = 0,
        progress: _Progress | None = None,
    ) -> None:
        """Search ``accounts``, ids from 0 to 2^64 - 1, each once, in any order.

        ``false_accusation_rate`` is the probability, at most, of accusing any account if a text is
        independent of the keys of all; in (0, 0.5]. The p-value of the best account that is not
        accused must be ``least_gap`` times that of those who are. ``candidates`` of the best
        are told (1 to 1,000). An ``index`` (:func:`build_account_index`) holds the accounts' keys,
        which are derived in memory otherwise. ``threads`` 0 is one for each core;
        ``progress(done, total)`` is called during long searches.
        """
    def trace(
        self,
        token_ids: _TokenIds,
        start: _Start | None = None,
        *,
        proxy: _Proxy | None = None,
    ) -> Trace:
        """Search for the account that a text was marked for.

        ``start`` and ``proxy`` as in :meth:`Detector.detect`; with ``start`` None parts of the
        text are searched for accounts of their own.
        """
    def trace_text(
        self, text: str, tokenizer: _TokenizerLike, start: _Start | None = None
    ) -> Trace:
        """Trace ``text``, its characters normalised. Regions have characters of ``text``."""
    def scores(self, token_ids: _TokenIds) -> npt.NDArray[np.float64]:
        """Return each account's sum of scores [accounts] over the whole wide layer."""
    def scored(self, token_ids: _TokenIds) -> int:
        """Return the number of positions that each of these sums is over."""
    @property
    def profile(self) -> Profile:
        """The profile whose accounts are searched."""
    @property
    def accounts(self) -> npt.NDArray[np.uint64]:
        """A copy of the ids [accounts]."""

def build_account_index(
    ring: KeyRing,
    profile: str,
    accounts: _Accounts,
    path: str | PathLike[str],
    *,
    allow_readable_by_others: bool = False,
    threads: int = 0,
    progress: _Progress | None = None,
) -> int:
    """Write the accounts' keys to a file of 16 bytes an account, for :class:`Tracer`.

    Where the file is there already, it must hold the keys of the first of these accounts; those of
    the others are appended. Returns how many were. Whoever has the file can mark text for
    any account in it: it is as secret as the key ring.
    """

class ScreenedText:
    """What became of one text."""

    @property
    def text(self) -> int:
        """Its number, from 0."""
    @property
    def ours(self) -> OursEvidence:
        """The narrow layer."""
    @property
    def is_searched(self) -> bool:
        """Whether all accounts were searched."""
    @property
    def scored(self) -> int:
        """Wide positions that no earlier text had with the same token."""
    @property
    def is_evidence(self) -> bool:
        """Whether any account's evidence will name it."""

class TextEvidence:
    """One text's part in the evidence against an account."""

    @property
    def text(self) -> int:
        """Its number."""
    @property
    def scored(self) -> int:
        """Wide positions that count."""
    @property
    def log10_e(self) -> float:
        """Of this text alone."""

class AccountEvidence:
    """All the evidence of a corpus against one account."""

    @property
    def account(self) -> int:
        """Whose."""
    @property
    def log10_e(self) -> float:
        """Of "all texts are independent of this account's key"."""
    @property
    def is_discovered(self) -> bool:
        """Whether e-BH discovers it at the rate asked for."""
    @property
    def texts(self) -> list[TextEvidence]:
        """The texts with an e-value of 1,000 or more, the strongest first."""

class ScreeningResult:
    """What a corpus says of all accounts."""

    @property
    def accounts(self) -> list[AccountEvidence]:
        """Those with an e-value above 1, the strongest first."""
    @property
    def discovered(self) -> int:
        """How many of them, the first ones, are discoveries."""
    @property
    def log10_e_least(self) -> float:
        """The least e-value that is a discovery; 0 where there is none."""
    @property
    def texts(self) -> int:
        """Texts so far."""
    @property
    def searched(self) -> int:
        """Texts for which all accounts were searched."""
    @property
    def tested(self) -> int:
        """Accounts."""

class Screening:
    """Screens texts one after another for all accounts of a tracer, 40 bytes an account.

    Belongs to one thread at a time.
    """

    def __init__(
        self, tracer: Tracer, *, false_discovery_rate: float = 0.01, ours_rate: float = 0.1
    ) -> None:
        """Begin a corpus.

        ``false_discovery_rate`` is the expected share of innocent accounts among those discovered,
        at most; in (0, 0.5]. Texts whose narrow layer has a p-value above ``ours_rate`` are not
        searched; 1 searches all.
        """
    def add(self, token_ids: _TokenIds, start: _Start | None = None) -> ScreenedText:
        """Screen the next text."""
    def result(self) -> ScreeningResult:
        """Return what is known so far; safe to ask at any time."""

class AccountPlan:
    """What one share of the narrow layer buys."""

    @property
    def narrow_units(self) -> int:
        """Of 65536."""
    @property
    def tokens_for_ours(self) -> int | None:
        """Tokens of a response that show as likely as not that it is ours; None: never."""
    @property
    def tokens_for_account(self) -> int | None:
        """Tokens that show whose it is."""
    @property
    def tokens_for_combined(self) -> int | None:
        """Tokens that show "ours" by both layers together, under the best account."""

def plan_accounts(
    narrow_units: _Sequence[int],
    accounts: int = 1_000_000,
    *,
    false_accusation_rate: float = 1e-3,
    false_positive_rate: float = 1e-6,
    marked_score: float = 1.5,
    free_prefix: int = 24,
) -> list[AccountPlan]:
    """Say how much text the layers need for each of ``narrow_units``, 0 to 65536.

    ``marked_score`` is the mean score of a marked token, above 1, as one's own marked texts
    show it (``ProfileResult.score / scored``).
    """

class Ledger:
    """A Bloom filter of the narrow contexts after which a profile's samplers marked a token.

    What a student that learned from the service can know. Keyed: it tells nothing to those who
    lack the key. Thread-safe.
    """

    def __init__(self, ring: KeyRing, profile: str, *, contexts: int = 10_000_000) -> None:
        """Make an empty one with room for so many distinct contexts, two bytes each.

        With so many, another context is taken for one of them in one case of a hundred. Ledgers of
        several servers merge where they were made for the same number.
        """
    @staticmethod
    def open(ring: KeyRing, profile: str, path: str | PathLike[str]) -> Ledger:
        """Read one that :meth:`save` wrote."""
    def save(self, path: str | PathLike[str]) -> None:
        """Replace the file, mode 0600: a crash loses neither the old one nor the new one."""
    def merge(self, other: Ledger) -> None:
        """Take in what another ledger of this key and size holds."""
    def add_response(self, token_ids: _TokenIds) -> None:
        """Take in a response from the logs; a sampler that has the ledger does so itself."""
    def contains(self, token_ids: _TokenIds) -> bool:
        """Whether a token after these was ever drawn by the mark: never False where it was."""
    @property
    def contexts(self) -> float:
        """How many contexts it holds, estimated from its bits."""
    @property
    def false_positive_rate(self) -> float:
        """How often a context that it does not hold is taken for one that it holds."""
    @property
    def bytes(self) -> int:
        """Bytes of memory, and of the file but for its header."""

class DistillationLook:
    """What a sequential test has found at one of its looks."""

    @property
    def positions(self) -> int:
        """Positions that counted by then."""
    @property
    def scored(self) -> int:
        """Pairs of context and token under this key's narrow layer."""
    @property
    def log10_p(self) -> float:
        """Of this look alone, before the correction for looking."""
    @property
    def log10_e(self) -> float:
        """The e-value of the same."""
    @property
    def share(self) -> float:
        """The share of the error rate that is spent here."""

class DistillationResult:
    """What a suspect's answers or predictions say.

    Where the key decided what was looked at (a ledger, served readings), the p-value is 1 / e, and
    there is no rank. In a sequential test p and e hold whenever one stops.
    """

    @property
    def log10_p(self) -> float:
        """Of "the suspect is independent of the key"."""
    @property
    def log10_e(self) -> float:
        """The e-value of the same."""
    @property
    def texts(self) -> int:
        """Answers and readings."""
    @property
    def positions(self) -> int:
        """Their positions that count."""
    @property
    def scored(self) -> int:
        """Pairs of context and token under this key's narrow layer."""
    @property
    def decoys(self) -> npt.NDArray[np.float64]:
        """log10 p [decoys] of keys that marked nothing."""
    @property
    def decoy_rank(self) -> int:
        """1 where no decoy has as small a p-value."""
    @property
    def log10_rank_p(self) -> float:
        """log10 of rank / (decoys + 1): a p-value that assumes nothing of the suspect."""
    @property
    def decoys_agree(self) -> bool:
        """False where the decoys' own p-values are too small for chance."""
    @property
    def looks(self) -> list[DistillationLook]:
        """What was found at each look of a sequential test."""

class LearnedAccount:
    """What a suspect has learned from one account's responses."""

    @property
    def account(self) -> int:
        """The account's number."""
    @property
    def log10_e(self) -> float:
        """Of "the suspect is independent of what was served to this account alone"."""
    @property
    def contexts(self) -> int:
        """Contexts that were marked in its responses alone and that the suspect shows."""
    @property
    def scored(self) -> int:
        """Their pairs."""
    @property
    def is_discovered(self) -> bool:
        """Whether it is among those named at the false discovery rate."""

class LearnedAccounts:
    """Which accounts a suspect has learned from."""

    @property
    def accounts(self) -> list[LearnedAccount]:
        """Those with an e-value above 1, discovered or not; the strongest first."""
    @property
    def tested(self) -> int:
        """Accounts in the logs."""
    @property
    def discovered(self) -> int:
        """How many of them are discovered."""
    @property
    def log10_e_least(self) -> float:
        """The least e-value that is a discovery; 0 where there is none."""

class DistillationTest:
    """Tests whether a model has learned the choices of a profile's narrow layer.

    Belongs to one thread at a time.
    """

    def __init__(
        self,
        ring: KeyRing,
        profile: str,
        ledger: Ledger | None = None,
        *,
        weights: Literal["equal", "log", "reference", "most_powerful"] = "log",
        sequential: bool = False,
        decoys: int = 99,
        threads: int = 0,
    ) -> None:
        """Test a profile of countermark/1 that has a narrow layer, or of an engine's mark.

        Of engines' marks vllm/gumbel-1, vllm/gumbel-0, sglang/aaronson-1 and
        sglang/aaronson-dual-1, with contexts of at most four tokens; a ledger, served responses and
        accounts are for countermark/1 alone.

        ``weights``, what a pair of context and token counts for that occurred n times: 1, ln(1 +
        n), or its excess over what was expected by reference texts or a model, for the usual score
        or for that of the locally most powerful test. Fix them before looking. ``decoys`` keys, at
        most 100,000, are tested beside the real one. With a ``ledger`` only contexts that it holds
        are looked at. ``sequential``: one may stop as soon as the evidence suffices; the test looks
        at 4,096 * 2 ** (k / 2) positions and spends its error rate on the looks.
        """
    def add_answer(
        self, prompt_ids: _TokenIds, answer_ids: _TokenIds, *, expected: Any = None
    ) -> None:
        """Add an answer of a closed model; what the prompt goes on from is left out.

        ``expected``, for weights by a reference: another model's predictions for each token of the
        answer, as in :meth:`add_reading`. All texts have it or none.
        """
    def add_reading(
        self,
        token_ids: _TokenIds,
        probabilities: Any,
        *,
        expected: Any = None,
        served: bool = False,
    ) -> None:
        """Add an open model's predictions for each token of a text, given those before it.

        ``expected``: those of a model that does not know the key, at best one that was trained as
        the suspect was on text that nobody marked.
        ``served``: the text is a response that this profile marked, from the logs: whole, in the
        order in which they were served, and not chosen for what was drawn. Where it ended by a
        token that the log lacks, ``probabilities`` has one row more, for what came after the last
        token. Any other text must not have been marked under this key.

        ``probabilities`` as :mod:`countermark.models` describes a proxy's output: dense
        [n, vocab], sparse (ids [n, k], probabilities [n, k]), or chunks of either.
        """
    def add_reference(self, token_ids: _TokenIds) -> None:
        """Add text that does not know the key and is like the answers, to expect by.

        At best the answers to the same prompts of a model that was trained as the suspect was, on
        text that nobody marked.
        """
    def add_log(self, account: int, token_ids: _TokenIds) -> None:
        """Add a response from the logs, and whom it was served to.

        For :meth:`learned_accounts` alone. The logs must be complete: a context that somebody else
        was served too would speak against the account.
        """
    def learned_accounts(self, false_discovery_rate: float = 0.01) -> LearnedAccounts:
        """Say which accounts of the logs the suspect has learned from.

        Each by the contexts that were marked in its responses alone. At most the rate, in (0, 0.5],
        of those discovered is expected to be there by chance (e-BH).
        """
    @property
    def positions(self) -> int:
        """Positions that count so far."""
    @staticmethod
    def positions_at(look: int) -> int:
        """Return at how many positions a sequential test looks: the first time (0), the second."""
    def result(self) -> DistillationResult:
        """Return what is known so far."""

class Replay:
    """A response replayed as its tokens come. Belongs to one thread at a time."""

    def __init__(
        self,
        ring: KeyRing,
        profiles: _Sequence[str],
        *,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        account: int | None = None,
        epsilon: float = 0.02,
        false_positive_rate: float = 1e-6,
    ) -> None:
        """Begin a response under the ``profiles`` named."""
    def observe(self, logits: _Logits, token_ids: _TokenIds) -> None:
        """Take the next tokens [n] with the logits [n, vocab] that they were sampled from."""
    def detection(self) -> Detection:
        """Return what the tokens so far say; safe to ask, and to stop, at any time."""

def _log10_gamma_tail(n: float, sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return log10 of the probability that n scores add up to ``sums`` or more by chance."""

def tokenizer_fingerprint(vocabulary: Iterable[tuple[int, bytes | str]]) -> str:
    """XXH3-128 over (id, bytes as the tokenizer stores them), as 32 hex digits."""

class ContractFit:
    """One engine's contract that :func:`identify` tried."""

    @property
    def mark(self) -> str:
        """The mark, as profiles spell it."""
    @property
    def parameters(self) -> dict[str, Any]:
        """Every parameter, as :meth:`KeyRing.import_engine_key` takes them."""
    @property
    def key_words(self) -> int:
        """How many numbers of the key it takes; TextSeal's second one is the first plus 12345."""
    @property
    def scored(self) -> int:
        """Tokens scored in all texts together."""
    @property
    def score(self) -> float:
        """The sum of their scores."""
    @property
    def log10_p(self) -> float:
        """Of this contract alone."""
    @property
    def log10_p_adjusted(self) -> float:
        """After Holm's correction over all contracts tried."""
    @property
    def fits(self) -> bool:
        """Whether that is at most the rate asked for."""

def identify(
    texts: Iterable[_TokenIds],
    key: int | str | _Sequence[int | str],
    prompts: Iterable[_TokenIds] | None = None,
    *,
    vocab_size: int | None = None,
    false_positive_rate: float = 1e-6,
    threads: int = 0,
) -> list[ContractFit]:
    """Try every engine's contract on texts whose key is known; best first.

    A few hundred tokens do for most. ``vocab_size``, the length of the model's logits, is needed
    for marks that permute the vocabulary. ``prompts`` are the ids before each text, if known.
    """
