"""A provider's logs of what it served, in JSON lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from countermark._errors import CountermarkError
from countermark.cli.corpora import Document
from countermark.cli.texts import name_of, read_text
from countermark.tokenizers import Tokenizer, require_text

_SAMPLING = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}


@dataclass(frozen=True)
class Response:
    """One line: a response, and how it was sampled."""

    name: str
    prompt_ids: list[int]
    token_ids: list[int]
    sampling: dict[str, Any]
    account: int | None


def read_responses(
    file: str,
    encode: Callable[[str], list[int]],
    encode_prompt: Callable[[str], list[int]],
) -> Iterator[Response | CountermarkError]:
    """Yield each line's response, or what is wrong with it.

    A line is an object with the response, as ``token_ids`` or as ``text``, and its prompt, as
    ``prompt_ids`` or as ``prompt``; ``temperature``, ``top_k``, ``top_p``, ``min_p``, ``account``
    and ``id`` may stand there, and what else there is, is left alone.
    """
    for number, line in enumerate(read_text(file).split("\n"), 1):
        if not line.strip():
            continue
        name = f"{name_of(file)}:{number}"
        try:
            yield _response(name, json.loads(line), encode, encode_prompt)
        except json.JSONDecodeError as error:
            yield CountermarkError(f"{name} is no JSON: {error.msg}", "invalid_encoding")
        except CountermarkError as error:
            yield CountermarkError(f"{name}: {error}", error.code)


def _response(
    name: str,
    line: Any,
    encode: Callable[[str], list[int]],
    encode_prompt: Callable[[str], list[int]],
) -> Response:
    if not isinstance(line, dict):
        raise CountermarkError("a line must be a JSON object", "invalid_option")
    token_ids = tokens_of(line, "token_ids", "text", encode)
    if token_ids is None:
        raise CountermarkError('the line has neither "token_ids" nor "text"', "empty_text")
    sampling = {key: _number(line, key, default) for key, default in _SAMPLING.items()}
    account = line.get("account")
    if account is not None and (isinstance(account, bool) or not isinstance(account, int)):
        raise CountermarkError(f'"account" must be a number, got {account!r}', "invalid_option")
    return Response(
        f"{name} ({line['id']})" if "id" in line else name,
        tokens_of(line, "prompt_ids", "prompt", encode_prompt) or [],
        token_ids,
        sampling,
        account,
    )


def ids_of(document: Document, encode: Callable[[str], list[int]]) -> list[int]:
    """Return the tokens of a text. Raises CountermarkError where there is none."""
    ids = tokens_of(document.content, "token_ids", "text", encode)
    if ids is None:
        raise CountermarkError('there is neither "token_ids" nor "text"', "empty_text")
    return ids


def encode_as_served(text: str, tokenizer: Tokenizer) -> list[int]:
    """Return the tokens of a response in text, its characters left as they were served."""
    if not text:
        return []
    require_text(text)
    ids: list[int] = tokenizer.encode(text).tolist()
    return ids


def tokens_of(
    line: dict[str, Any], ids: str, text: str, encode: Callable[[str], list[int]]
) -> list[int] | None:
    """Return what stands under ``ids``, or under ``text`` in tokens; None where neither does."""
    value = line.get(ids)
    if value is not None:
        if not isinstance(value, list) or any(type(i) is not int for i in value):
            raise CountermarkError(f'"{ids}" must be a list of token ids', "invalid_option")
        return value
    written = line.get(text)
    if written is None:
        return None
    if not isinstance(written, str):
        raise CountermarkError(f'"{text}" must be a string', "invalid_option")
    return encode(written)


def _number(line: dict[str, Any], key: str, default: float) -> float:
    value = line.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise CountermarkError(f'"{key}" must be a number, got {value!r}', "invalid_option")
    return value
