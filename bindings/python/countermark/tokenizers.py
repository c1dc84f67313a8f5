"""Text to token ids, with whatever tokenizer the model has.

The tokenizer libraries are optional and imported where a file needs them: ``tokenizers`` for
Hugging Face's ``tokenizer.json``, ``sentencepiece`` for SentencePiece models, ``tiktoken`` for
``.tiktoken`` files.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from countermark._core import tokenizer_fingerprint
from countermark._errors import CountermarkError

if TYPE_CHECKING:
    from os import PathLike

    from countermark._core import Profile

Span = tuple[int, int]

# How text is cut before byte pairs are merged is not in a .tiktoken file. These are the patterns
# that tiktoken 0.12 (tiktoken_ext/openai_public.py) and Llama 3's reference tokenizer use, by the
# number of tokens in the file.
_GPT2_PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
_CL100K_PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
    r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)
_O200K_PATTERN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_TIKTOKEN_PATTERNS = {
    50256: _GPT2_PATTERN,
    50280: _GPT2_PATTERN,
    100256: _CL100K_PATTERN,
    128000: _CL100K_PATTERN,
    199998: _O200K_PATTERN,
}


def _require(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise CountermarkError(
            f"this tokenizer needs the Python package {module}: pip install {module}",
            "invalid_option",
        ) from error


class Tokenizer:
    """A tokenizer of any library behind one face.

    Wraps a ``tokenizers.Tokenizer``, a transformers tokenizer, a ``SentencePieceProcessor``, a
    ``tiktoken.Encoding``, or anything else with ``encode(text) -> ids``. Special tokens such as a
    beginning of text are never added: they are no part of a response.
    """

    name: str
    wrapped: Any

    def __init__(self, tokenizer: Any, name: str | None = None) -> None:
        if isinstance(tokenizer, Tokenizer):
            name, tokenizer = name or tokenizer.name, tokenizer.wrapped
        if not callable(getattr(tokenizer, "encode", None)):
            raise CountermarkError(
                f"a tokenizer must have encode(text), and {type(tokenizer).__name__} has none",
                "invalid_option",
            )
        self.wrapped = tokenizer
        self.name = name or str(getattr(tokenizer, "name_or_path", "")) or type(tokenizer).__name__
        self._backend = _backend_of(tokenizer)

    @classmethod
    def load(cls, path: str | PathLike[str], *, pattern: str | None = None) -> Tokenizer:
        """Read a tokenizer from a file, or from a model's folder.

        Takes Hugging Face's ``tokenizer.json``, a SentencePiece model, a ``.tiktoken`` file
        (``pattern`` is the regular expression that cuts text into words, where its vocabulary is
        none of OpenAI's or Llama 3's), or a folder with one of them or with GPT-2's vocabulary
        and merges.
        """
        path = Path(path)
        if path.is_dir():
            return _load_folder(path)
        if not path.is_file():
            raise CountermarkError(f"there is no tokenizer at {path}", "file_failure")
        return cls(_load_file(path, pattern), path.stem)

    def encode(self, text: str) -> npt.NDArray[np.int32]:
        """Return the token ids of ``text``, without special tokens."""
        return np.asarray(self._backend.encode(text), dtype=np.int64).astype(np.int32)

    def encode_with_spans(self, text: str) -> tuple[npt.NDArray[np.int32], list[Span]]:
        """Return the ids, and the range of characters that each of them stands for."""
        ids, spans = self._backend.encode_with_spans(text)
        return np.asarray(ids, dtype=np.int64).astype(np.int32), spans

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of token ids, special tokens left out."""
        return self._backend.decode([int(i) for i in ids])

    @cached_property
    def vocabulary(self) -> dict[int, bytes]:
        """Every token id with its bytes as the tokenizer stores them."""
        return self._backend.vocabulary()

    @cached_property
    def vocab_size(self) -> int:
        """One more than the largest token id, added tokens included."""
        return max(self.vocabulary) + 1

    @cached_property
    def fingerprint(self) -> str:
        """XXH3-128 over the vocabulary: 32 hex digits that name this tokenizer."""
        return tokenizer_fingerprint(self.vocabulary.items())

    @property
    def lists_vocabulary(self) -> bool:
        """Whether ``vocabulary``, ``vocab_size`` and ``fingerprint`` can be had."""
        return type(self._backend) is not _Backend

    @property
    def tells_spans(self) -> bool:
        """Whether ``encode_with_spans`` works."""
        return self._backend.tells_spans

    def info(self) -> dict[str, Any]:
        """Return what a profile says of its tokenizer."""
        return {
            "name": self.name,
            "vocab_size": self.vocab_size,
            "fingerprint": self.fingerprint,
        }

    def __repr__(self) -> str:
        return f"<Tokenizer {self.name}>"


def describe(tokenizer: Any) -> dict[str, Any]:
    """Return name, vocab_size and fingerprint of a tokenizer, a tokenizer's file or a mapping."""
    if isinstance(tokenizer, Mapping):
        missing = {"name", "vocab_size", "fingerprint"} - set(tokenizer)
        if missing:
            raise CountermarkError(
                f"tokenizer lacks {', '.join(sorted(missing))}", "invalid_option"
            )
        return dict(tokenizer)
    return _as_tokenizer(tokenizer).info()


def encode_for(
    profiles: Sequence[Profile], text: str, tokenizer: Any
) -> tuple[npt.NDArray[np.int32], list[Span] | None]:
    """Encode ``text`` to be tested against ``profiles``, with spans where the tokenizer has them.

    A tokenizer whose vocabulary can be listed must be the one that the profiles were made for.
    """
    reader = _as_tokenizer(tokenizer)
    if reader.lists_vocabulary:
        for profile in profiles:
            require_same_tokenizer(profile, reader)
    if reader.tells_spans:
        return reader.encode_with_spans(text)
    return reader.encode(text), None


def require_text(text: Any) -> None:
    """Raise unless ``text`` is a string with something in it that can be encoded."""
    if not isinstance(text, str):
        raise CountermarkError(
            f"text must be a str, got {type(text).__name__}; decode bytes as UTF-8 first",
            "invalid_encoding",
        )
    if not text:
        raise CountermarkError("the text is empty: there is no token to examine", "empty_text")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise CountermarkError(
            f"the text holds half a surrogate pair at character {error.start}; decode it anew",
            "invalid_encoding",
        ) from error


def require_same_tokenizer(
    profile: Profile, tokenizer: Tokenizer, use: str = "the text was tokenised with"
) -> None:
    """Raise unless ``profile`` was made for this tokenizer, or for none in particular.

    ``use`` says in the message what the tokenizer was for.
    """
    wanted = profile.tokenizer
    if wanted is not None and wanted["fingerprint"] != tokenizer.fingerprint:
        raise CountermarkError(
            f'profile "{profile.id}" is for the tokenizer {wanted["name"]} '
            f"(fingerprint {wanted['fingerprint']}), but {use} {tokenizer.name} "
            f"({tokenizer.fingerprint})",
            "tokenizer_mismatch",
        )


def _as_tokenizer(tokenizer: Any) -> Tokenizer:
    if isinstance(tokenizer, Tokenizer):
        return tokenizer
    if isinstance(tokenizer, (str, Path)):
        return Tokenizer.load(tokenizer)
    try:
        return _wrap(tokenizer)
    except TypeError:  # not hashable
        return Tokenizer(tokenizer)


# Listing a vocabulary and hashing it takes a good part of a second: once is enough.
@lru_cache(maxsize=8)
def _wrap(tokenizer: Any) -> Tokenizer:
    return Tokenizer(tokenizer)


class _Backend:
    """What differs between the libraries. The base takes anything with ``encode(text)``."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    @property
    def tells_spans(self) -> bool:
        return type(self) is not _Backend

    def encode(self, text: str) -> Sequence[int]:
        ids: Sequence[int] = self.tokenizer.encode(text)
        return ids

    def decode(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids))

    def encode_with_spans(self, text: str) -> tuple[Sequence[int], list[Span]]:
        raise self._unsupported("says which characters a token stands for")

    def vocabulary(self) -> dict[int, bytes]:
        raise self._unsupported("lists its vocabulary")

    def _unsupported(self, what: str) -> CountermarkError:
        return CountermarkError(f"{type(self.tokenizer).__name__} is no tokenizer that {what}")


class _HuggingFace(_Backend):
    """The library ``tokenizers``."""

    def __init__(self, tokenizer: Any) -> None:
        if tokenizer.truncation is not None or tokenizer.padding is not None:
            # Published files often cut or pad; a text is examined as it is.
            tokenizer = type(tokenizer).from_str(tokenizer.to_str())
            tokenizer.no_truncation()
            tokenizer.no_padding()
        super().__init__(tokenizer)

    def encode(self, text: str) -> Sequence[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))

    def encode_with_spans(self, text: str) -> tuple[Sequence[int], list[Span]]:
        encoding = self.tokenizer.encode(text, add_special_tokens=False)
        return encoding.ids, list(encoding.offsets)

    def vocabulary(self) -> dict[int, bytes]:
        tokens = self.tokenizer.get_vocab(with_added_tokens=True)
        return {i: token.encode() for token, i in tokens.items()}


class _Transformers(_Backend):
    """A tokenizer of transformers, fast or slow."""

    @property
    def tells_spans(self) -> bool:
        return bool(getattr(self.tokenizer, "is_fast", False))

    def encode(self, text: str) -> Sequence[int]:
        ids: list[int] = self.tokenizer.encode(
            text, add_special_tokens=False, truncation=False, padding=False
        )
        return ids

    def decode(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))

    def encode_with_spans(self, text: str) -> tuple[Sequence[int], list[Span]]:
        encoding = self.tokenizer(
            text,
            add_special_tokens=False,
            truncation=False,
            padding=False,
            return_offsets_mapping=True,
        )
        return encoding["input_ids"], [tuple(span) for span in encoding["offset_mapping"]]

    def vocabulary(self) -> dict[int, bytes]:
        return {i: token.encode() for token, i in self.tokenizer.get_vocab().items()}


class _SentencePiece(_Backend):
    """A ``SentencePieceProcessor``."""

    def encode(self, text: str) -> Sequence[int]:
        # A processor can be set to add these.
        ids: list[int] = self.tokenizer.encode(text, out_type=int, add_bos=False, add_eos=False)
        return ids

    def encode_with_spans(self, text: str) -> tuple[Sequence[int], list[Span]]:
        if hasattr(self.tokenizer, "encode_as_offset_mapping"):
            mapping = self.tokenizer.encode_as_offset_mapping(text)
            return mapping["ids"], mapping["offsets"]
        # Before sentencepiece 0.2.2.
        pieces = self.tokenizer.encode(text, out_type="immutable_proto").pieces
        return [piece.id for piece in pieces], [(piece.begin, piece.end) for piece in pieces]

    def vocabulary(self) -> dict[int, bytes]:
        size = self.tokenizer.get_piece_size()
        return {i: self.tokenizer.id_to_piece(i).encode() for i in range(size)}


class _Tiktoken(_Backend):
    """A ``tiktoken.Encoding``."""

    def encode(self, text: str) -> Sequence[int]:
        # Text that looks like a special token is text.
        ids: list[int] = self.tokenizer.encode(text, disallowed_special=())
        return ids

    def encode_with_spans(self, text: str) -> tuple[Sequence[int], list[Span]]:
        ids = self.encode(text)
        _, starts = self.tokenizer.decode_with_offsets(ids)
        return ids, list(zip(starts, [*starts[1:], len(text)], strict=True))

    def vocabulary(self) -> dict[int, bytes]:
        tokens = [*self.tokenizer.token_byte_values(), *self.tokenizer.special_tokens_set]
        return {
            self.tokenizer.encode_single_token(token): token
            if isinstance(token, bytes)
            else token.encode()
            for token in tokens
        }


def _backend_of(tokenizer: Any) -> _Backend:
    module = type(tokenizer).__module__.partition(".")[0]
    backends: dict[str, Callable[[Any], _Backend]] = {
        "tokenizers": _HuggingFace,
        "sentencepiece": _SentencePiece,
        "tiktoken": _Tiktoken,
    }
    if module in backends:
        return backends[module](tokenizer)
    # Tokenizers that come with a model's own code live in other modules.
    if hasattr(tokenizer, "get_vocab") and hasattr(tokenizer, "all_special_ids"):
        return _Transformers(tokenizer)
    return _Backend(tokenizer)


def _load_folder(folder: Path) -> Tokenizer:
    for name in ("tokenizer.json", "tokenizer.model", "tokenizer.tiktoken"):
        if (folder / name).is_file():
            return Tokenizer(_load_file(folder / name, None), folder.name)
    for vocabulary, merges in (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe")):
        if (folder / vocabulary).is_file() and (folder / merges).is_file():
            byte_level = _require("tokenizers").ByteLevelBPETokenizer.from_file(
                str(folder / vocabulary), str(folder / merges)
            )
            # The class is a shell around the tokenizer that all others are.
            return Tokenizer(byte_level._tokenizer, folder.name)
    found = [
        p for p in folder.iterdir() if p.name.endswith((".json", ".model", ".tiktoken", ".v3"))
    ]
    if len(found) == 1:
        return Tokenizer(_load_file(found[0], None), folder.name)
    raise CountermarkError(
        f"{folder} holds no tokenizer.json, tokenizer.model or .tiktoken file", "file_failure"
    )


def _load_file(path: Path, pattern: str | None) -> Any:
    try:
        with path.open("rb") as file:
            head = file.read(64)
        if path.suffix == ".tiktoken":
            return _load_tiktoken(path, pattern)
        if head.lstrip()[:1] == b"{":
            return _require("tokenizers").Tokenizer.from_file(str(path))
        return _require("sentencepiece").SentencePieceProcessor(model_file=str(path))
    except CountermarkError:
        raise
    except Exception as error:  # each library raises its own kinds
        raise CountermarkError(
            f"cannot read the tokenizer {path}: {error}", "file_failure"
        ) from error


def _load_tiktoken(path: Path, pattern: str | None) -> Any:
    tiktoken = _require("tiktoken")
    ranks = _require("tiktoken.load").load_tiktoken_bpe(str(path))
    pattern = pattern or _TIKTOKEN_PATTERNS.get(len(ranks))
    if pattern is None:
        raise CountermarkError(
            f"{path} holds {len(ranks)} tokens, and the word pattern of such a vocabulary is not "
            "known: give pattern=",
            "invalid_option",
        )
    return tiktoken.Encoding(path.stem, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
