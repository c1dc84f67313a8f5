"""What a language model says of a text: of each token given those before it.

A *proxy* is any callable that takes the token ids of a text, int32 [n], and returns what it holds
of each token given those before it (row 0: given nothing), in one of these forms:

- dense, an array [n, vocab] of probabilities;
- sparse, a pair (ids [n, k], probabilities [n, k]) of the likeliest tokens, in any order;
- in chunks, an iterable of either, whose rows follow each other.

A token that a row does not list, or gives 0, says nothing. A row's probabilities add up to 1 at
most; where the model has no opinion, a row of zeros will do.

The *model* of a replay returns logits, which sampling turns into a distribution. It takes
(prompt_ids, token_ids) and returns a row for each token of the answer, [n, vocab] or in chunks; or
it takes the ids of both in one array, as a causal language model does, and may return that model's
rows as they are: one for each id, which is for the token after it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from countermark._errors import CountermarkError

if TYPE_CHECKING:
    from countermark._core import Detection, Replay

Ids = npt.NDArray[np.int32]
# Models compute in floats, whose sums are a little off.
_MOST = 1.01


def probabilities_of(
    proxy: Callable[[Ids], Any], token_ids: Ids
) -> tuple[npt.NDArray[np.float64], float | None]:
    """Return the probability of each token, NaN where it is not known, and the entropy in bits.

    The entropy is the sum over the rows, of what they list.
    """
    if not callable(proxy):
        raise CountermarkError(
            f"proxy must be a callable that takes token ids, got {type(proxy).__name__}",
            "invalid_option",
        )
    known = np.full(len(token_ids), np.nan)
    entropy = 0.0
    row = 0
    for ids, chunk in _chunks(proxy(token_ids)):
        rows = slice(row, row + len(chunk))
        tokens = token_ids[rows]
        if len(tokens) < len(chunk):
            raise _wrong_rows(len(token_ids), "more")
        _check(chunk, row)
        if ids is None:
            known[rows] = _pick(chunk, tokens, row)
        else:
            hits = ids == tokens[:, None]
            known[rows] = np.where(hits.any(1), (chunk * hits).sum(1), np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            entropy -= float(np.where(chunk > 0, chunk * np.log2(chunk), 0.0).sum())
        row += len(chunk)
    if row < len(token_ids):
        raise _wrong_rows(len(token_ids), row)
    return known, max(0.0, entropy)


# Of a dense row the likeliest tokens, which are nearly all of it.
_MOST_PREDICTED = 64


def predictions_of(
    probabilities: Any, tokens: int, or_one_more: bool = False
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return the likeliest ids [tokens, k] of each row, -1 where there are fewer, and theirs.

    ``or_one_more``: there may be a row for what comes after the last token.
    """
    all_ids, all_probabilities = [], []
    row = 0
    for ids, chunk in _chunks(probabilities):
        _check(chunk, row)
        if ids is None:
            kept = min(_MOST_PREDICTED, chunk.shape[1])
            ids = np.argpartition(chunk, chunk.shape[1] - kept, axis=1)[:, -kept:]
            chunk = np.take_along_axis(chunk, ids, axis=1)
        all_ids.append(ids.astype(np.int64))
        all_probabilities.append(chunk.astype(np.float64))
        row += len(chunk)
    if row != tokens and not (or_one_more and row == tokens + 1):
        raise _wrong_rows(tokens, row)
    tokens = row
    width = max((part.shape[1] for part in all_ids), default=0)
    joined_ids = np.full((tokens, width), -1, dtype=np.int64)
    joined = np.zeros((tokens, width))
    row = 0
    for part, chunk in zip(all_ids, all_probabilities, strict=True):
        rows = slice(row, row + len(part))
        joined_ids[rows, : part.shape[1]], joined[rows, : part.shape[1]] = part, chunk
        row += len(part)
    return joined_ids, joined


def replay_with(
    replay: Replay, prompt_ids: Any, token_ids: Any, model: Callable[..., Any]
) -> Detection:
    """Run ``replay`` over an answer, with the logits of ``model``."""
    prompt, answer = _ids(prompt_ids, "prompt_ids"), _ids(token_ids, "token_ids")
    if not callable(model):
        raise CountermarkError(
            f"model must be a callable, got {type(model).__name__}", "invalid_option"
        )
    skipped = 0
    if _takes_two(model):
        output = model(prompt, answer)
    else:
        output = model(np.concatenate([prompt, answer]))
        if len(prompt) and _length(output) == len(prompt) + len(answer):
            skipped = len(prompt) - 1  # the last id of the prompt is for the first of the answer
    row = -skipped
    for chunk in _logits(output):
        rows = chunk[max(0, -row) : len(answer) - row]
        if len(rows):
            begin = max(0, row)
            replay.observe(rows, answer[begin : begin + len(rows)])
        row += len(chunk)
    if row < len(answer) or (not skipped and row > len(answer)):
        raise _wrong_rows(len(answer), row)
    return replay.detection()


def _chunks(output: Any) -> Iterator[tuple[npt.NDArray[Any] | None, npt.NDArray[Any]]]:
    """Yield (ids or None, probabilities), both with two dimensions."""
    if isinstance(output, tuple) and len(output) == 2:
        ids, probabilities = _array(output[0]), _array(output[1])
        if ids.ndim != 2 or ids.shape != probabilities.shape:
            raise CountermarkError(
                f"a sparse proxy returns ids and probabilities of one shape [n, k], got {ids.shape}"
                f" and {probabilities.shape}",
                "size_mismatch",
            )
        yield ids, probabilities.astype(np.float64)
    elif _is_array(output):
        dense = _array(output)
        if dense.ndim != 2:
            raise CountermarkError(
                f"a proxy returns an array [n, vocab], got one of the shape {dense.shape}",
                "size_mismatch",
            )
        yield None, dense
    elif isinstance(output, Iterable):
        for chunk in output:
            yield from _chunks(chunk)
    else:
        raise CountermarkError(
            "a proxy returns an array [n, vocab], a pair (ids, probabilities), or chunks of "
            f"either, got {type(output).__name__}",
            "invalid_option",
        )


def _logits(output: Any) -> Iterator[Any]:
    """Yield rows of logits; tensors stay what they are, since bfloat16 is nothing to numpy."""
    if _is_array(output):
        yield output
    else:
        yield from output


def _check(chunk: npt.NDArray[Any], row: int) -> None:
    sums = chunk.sum(1, dtype=np.float64)
    wrong = ~((chunk >= 0).all(1) & (sums <= _MOST))
    if wrong.any():
        first = int(np.argmax(wrong))
        raise CountermarkError(
            f"row {row + first} of the proxy holds no probabilities: the least is "
            f"{chunk[first].min():g} and the sum {sums[first]:g} (are these logits? take their "
            "softmax)",
            "invalid_probability",
        )


def _pick(chunk: npt.NDArray[Any], tokens: Ids, row: int) -> npt.NDArray[Any]:
    outside = tokens >= chunk.shape[1]
    if outside.any():
        first = int(np.argmax(outside))
        raise CountermarkError(
            f"token {row + first} of the text is {tokens[first]}, and the proxy's vocabulary has "
            f"{chunk.shape[1]} (is it a model with another tokenizer?)",
            "token_out_of_range",
        )
    picked: npt.NDArray[Any] = chunk[np.arange(len(chunk)), tokens]
    return picked


def _ids(ids: Any, name: str) -> Ids:
    array = np.asarray(ids)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise CountermarkError(f"{name} must be a list of integers", "invalid_option")
    return array.astype(np.int32)


def _takes_two(model: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(model).parameters.values()
    except (TypeError, ValueError):
        return False
    positional = [
        p
        for p in parameters
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty
    ]
    return len(positional) >= 2 or any(p.kind is p.VAR_POSITIONAL for p in parameters)


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or hasattr(value, "__dlpack__")


def _length(output: Any) -> int | None:
    return len(output) if _is_array(output) else None


def _array(value: Any) -> npt.NDArray[Any]:
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "detach"):  # a tensor of torch, of a type that numpy may not have
        value = value.detach().cpu()
        return np.asarray(value.float() if value.is_floating_point() else value)
    return np.asarray(value)


def _wrong_rows(expected: int, got: int | str) -> CountermarkError:
    return CountermarkError(
        f"the model returned {got} rows for {expected} tokens: one for each token is needed",
        "size_mismatch",
    )
