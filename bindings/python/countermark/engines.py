"""Other engines' watermark configurations: which mark, which key, which parameters.

Each engine's own file or object is taken as it is:

- vLLM: the JSON of ``--watermark-config``;
- SGLang: the JSON of ``--watermark-config``, with its keys in hexadecimal digits;
- transformers: a ``generation_config.json``, a ``WatermarkingConfig`` or a
  ``SynthIDTextWatermarkingConfig``;
- TextSeal: its parameters (``secret_key``, ``ngram``, ``mixing_alpha``, ...).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from countermark._errors import CountermarkError

_WORD = 2**64
_HEX = re.compile(r"(0[xX])?[0-9a-fA-F]{1,16}")
#: What TextSeal adds to key A where no key B is given.
_TEXTSEAL_KEY_B = 12345

Key = int | str | Sequence[int | str]


@dataclass(frozen=True)
class EngineKey:
    """A mark with its key and parameters. The key is kept out of ``repr``."""

    mark: str
    #: Numbers of 64 bits, as the mark's contract orders them.
    words: list[int] = field(repr=False)
    parameters: dict[str, Any]


def words_of(key: Key) -> list[int]:
    """Return a key's numbers as unsigned words of 64 bits.

    A string is hexadecimal digits, as SGLang writes keys; a number is in -2^63..2^64-1.
    """
    parts: list[Any] = [key]
    if isinstance(key, bytes | bytearray | Mapping):
        raise CountermarkError(
            f"key must be a number or a list of them, got {type(key).__name__}", "invalid_key"
        )
    if isinstance(key, Iterable) and not isinstance(key, str):
        parts = list(key)
    if not parts:
        raise CountermarkError("key must be a number or a list of them, got none", "invalid_key")
    return [_word(part, i) for i, part in enumerate(parts)]


def read_config(config: Any, mark: str | None = None) -> EngineKey:
    """Return what an engine's configuration says.

    ``config`` is a path, a mapping, or an object with ``to_dict``; ``mark`` decides where it could
    be of several revisions.
    """
    values, folder = _load(config)
    for reads, read in _READERS:
        if reads(values):
            return read(values, mark, folder)
    raise CountermarkError(
        "the configuration is of no engine that is known here (fields: "
        + ", ".join(sorted(map(str, values)))
        + "); give mark and key"
    )


def resolve(
    mark: str | None, key: Key | None, config: Any, parameters: Mapping[str, Any]
) -> EngineKey:
    """Return the mark that ``KeyRing.import_engine_key`` was asked for."""
    try:
        json.dumps(dict(parameters), allow_nan=False)
    except (TypeError, ValueError):
        raise CountermarkError(
            "parameters must be finite numbers, words, True, False or None, got "
            + ", ".join(f"{name}={value!r}" for name, value in parameters.items())
        ) from None
    if config is not None:
        if key is not None:
            raise CountermarkError("give config or key, not both: the configuration has the key")
        found = read_config(config, mark)
        return EngineKey(found.mark, found.words, {**found.parameters, **parameters})
    if mark is None or key is None:
        raise CountermarkError("give mark and key, or config")
    return EngineKey(mark, words_of(key), dict(parameters))


def _word(part: Any, i: int) -> int:
    if isinstance(part, str):
        if not _HEX.fullmatch(part):
            # The digits stay out of the message: they may be a key but for one of them.
            raise CountermarkError(
                f"key {i} is a string, and must be 1 to 16 hexadecimal digits", "invalid_key"
            )
        return int(part, 16)
    if isinstance(part, bool) or not hasattr(part, "__index__"):
        raise CountermarkError(
            f"key {i} must be a number, got {type(part).__name__}", "invalid_key"
        )
    number = int(part.__index__())
    if not -(2**63) <= number < _WORD:
        raise CountermarkError(f"key {i} must be in -2^63..2^64-1", "invalid_key")
    return number % _WORD


def _load(config: Any) -> tuple[dict[str, Any], Path | None]:
    """Return the fields, and the folder that they lie in."""
    if isinstance(config, Mapping):
        return dict(config), None
    if hasattr(config, "to_dict"):
        return dict(config.to_dict()), None
    if not isinstance(config, str | os.PathLike):
        raise CountermarkError(
            "config must be a path, a mapping or an engine's configuration object, got "
            + type(config).__name__
        )
    path = Path(config)
    if path.is_dir():
        path = path / "generation_config.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CountermarkError(f"cannot read {path}: {error.strerror}", "file_failure") from None
    except ValueError:
        # What is wrong with it may quote the key.
        raise CountermarkError(f"{path} is not valid JSON", "file_failure") from None
    if not isinstance(values, dict):
        raise CountermarkError(f"{path} must hold a JSON object", "file_failure")
    return values, path.parent


def _one_of(mark: str | None, *marks: str) -> str:
    """Return ``mark`` if it is among those the configuration can be of, the first by default."""
    if mark is None:
        return marks[0]
    if mark not in marks:
        raise CountermarkError(f"the configuration is of {' or '.join(marks)}, not of {mark}")
    return mark


def _some(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: values[name] for name in names if values.get(name) is not None}


def _key(values: Mapping[str, Any], name: str) -> Any:
    if values.get(name) is None:
        raise CountermarkError(f"the configuration has no {name}", "invalid_key")
    return values[name]


def _read_vllm(values: Mapping[str, Any], mark: str | None, _: Path | None) -> EngineKey:
    algorithm = values.get("algorithm", "gumbel")
    parameters = _some(values, "context_width", "deduplicate_contexts")
    if "deduplicate_contexts_max_history" in values:  # null means without limit
        name = "deduplicate_contexts_max_history"
        parameters[name] = values[name]
    if isinstance(values.get("key"), str):
        raise CountermarkError("vLLM's key must be a number, got a string", "invalid_key")
    if values.get("prf", "philox") != "philox":
        raise CountermarkError(f'vLLM\'s prf must be "philox", got {values["prf"]!r}')
    if algorithm == "gumbel":
        mark = _one_of(mark, "vllm/gumbel-1", "vllm/gumbel-0")
    elif algorithm == "dual_key_gumbel":
        mark = _one_of(mark, "vllm/dual-gumbel-1")
        parameters |= _some(values, "alpha")
    else:
        raise CountermarkError(
            f'vLLM\'s algorithm must be "gumbel" or "dual_key_gumbel", got {algorithm!r}'
        )
    return EngineKey(mark, words_of(_key(values, "key")), parameters)


def _read_sglang(values: Mapping[str, Any], mark: str | None, _: Path | None) -> EngineKey:
    keys = [_key(values, "key")]
    parameters = _some(values, "context_window", "max_probability")
    if values.get("key_b") is None:
        return EngineKey(_one_of(mark, "sglang/aaronson-1"), words_of(keys), parameters)
    parameters |= _some(values, "mixing_probability")
    keys.append(values["key_b"])
    return EngineKey(_one_of(mark, "sglang/aaronson-dual-1"), words_of(keys), parameters)


def _read_generation(values: Mapping[str, Any], mark: str | None, folder: Path | None) -> EngineKey:
    inner = values["watermarking_config"]
    if hasattr(inner, "to_dict"):
        inner = inner.to_dict()
    if not isinstance(inner, Mapping):
        raise CountermarkError("watermarking_config must be an object")
    read = _read_synthid if _is_synthid(inner) else _read_kgw
    return read(inner, mark, folder)


def _read_kgw(values: Mapping[str, Any], mark: str | None, folder: Path | None) -> EngineKey:
    scheme = values.get("seeding_scheme", "lefthash")
    if scheme not in ("lefthash", "selfhash"):
        raise CountermarkError(f'seeding_scheme must be "lefthash" or "selfhash", got {scheme!r}')
    parameters = _some(values, "greenlist_ratio", "bias", "context_width", "vocab_size")
    if "vocab_size" not in parameters and folder is not None:
        # The model's own file lies beside it.
        beside = folder / "config.json"
        if beside.is_file():
            model, _ = _load(beside)
            parameters |= _some(model, "vocab_size")
    return EngineKey(
        _one_of(mark, f"hf/kgw-{scheme}-1"),
        words_of(values.get("hashing_key", 15485863)),
        parameters,
    )


def _read_synthid(values: Mapping[str, Any], mark: str | None, _: Path | None) -> EngineKey:
    mark = _one_of(mark, "hf/synthid-1", "deepmind/synthid-2")
    names = ["ngram_len", "context_history_size", "skip_first_ngram_calls"]
    if mark == "hf/synthid-1":
        names += ["sampling_table_size", "sampling_table_seed"]
    return EngineKey(mark, words_of(_key(values, "keys")), _some(values, *names))


def _read_textseal(values: Mapping[str, Any], mark: str | None, _: Path | None) -> EngineKey:
    key = _key(values, "secret_key" if "secret_key" in values else "key_a")
    keys = [key]
    kind = values.get("watermark_type")
    other = values.get("secret_key_b", values.get("key_b"))
    if other is not None:
        keys.append(other)
    elif kind == "textseal" or (kind is None and "mixing_alpha" in values):
        keys.append((words_of(key)[0] + _TEXTSEAL_KEY_B) % _WORD)
    if values.get("watermark_type", "gumbelmax") not in ("gumbelmax", "textseal"):
        raise CountermarkError(
            "of TextSeal's watermark types gumbelmax and textseal are known here, not "
            + repr(values["watermark_type"])
        )
    return EngineKey(
        _one_of(mark, "meta/textseal-2", "meta/textseal-1"),
        words_of(keys),
        _some(values, "ngram", "mixing_alpha", "scoring_method"),
    )


def _is_synthid(values: Mapping[str, Any]) -> bool:
    return "ngram_len" in values and "keys" in values


_Reader = Callable[[Mapping[str, Any], str | None, Path | None], EngineKey]
#: By the fields that only one engine's configuration has, in this order.
_READERS: list[tuple[Callable[[Mapping[str, Any]], bool], _Reader]] = [
    (lambda v: v.get("watermarking_config") is not None, _read_generation),
    (_is_synthid, _read_synthid),
    (lambda v: "greenlist_ratio" in v or "seeding_scheme" in v, _read_kgw),
    (lambda v: "secret_key" in v or "key_a" in v, _read_textseal),
    (lambda v: "algorithm" in v or hasattr(v.get("key"), "__index__"), _read_vllm),
    (lambda v: isinstance(v.get("key"), str), _read_sglang),
]
