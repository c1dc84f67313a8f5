"""What a suspect is asked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from countermark._errors import CountermarkError
from countermark.cli.texts import read_text

Content = str | list[dict[str, Any]]
"""A text, or the messages of a chat."""


@dataclass(frozen=True)
class Prompt:
    """One prompt of a file."""

    number: int
    """From 0."""
    id: str
    content: Content

    def __str__(self) -> str:
        """Say which it is."""
        return f"prompt {self.number}" + (f" ({self.id})" if self.id != str(self.number) else "")


def read_prompts(path: Path) -> list[Prompt]:
    """Read a .jsonl file of objects with "prompt" or "messages", or a text with one a line."""
    lines = read_text(str(path)).split("\n")
    numbered = [(i, line.rstrip("\r")) for i, line in enumerate(lines, 1) if line.strip()]
    if path.suffix != ".jsonl":
        return [Prompt(n, str(n), line) for n, (_, line) in enumerate(numbered)]
    prompts = []
    for number, (i, line) in enumerate(numbered):
        try:
            content = json.loads(line)
            if not isinstance(content, dict):
                raise ValueError("it must be an object")
            id = str(number if content.get("id") is None else content["id"])
            id.encode()  # half a surrogate pair is no text
            prompts.append(Prompt(number, id, content_of(content)))
        except (ValueError, RecursionError) as error:
            raise CountermarkError(
                f"{path}:{i} is no prompt: {error}", "invalid_encoding"
            ) from error
    return prompts


def content_of(line: dict[str, Any]) -> Content:
    """Return what stands under "prompt" or "messages". Raises ValueError where it is neither."""
    text, messages = line.get("prompt"), line.get("messages")
    if (text is None) == (messages is None):
        raise ValueError('it must have "prompt" or "messages"')
    if isinstance(text, str):
        text.encode()
        return text
    if text is not None:
        raise ValueError('"prompt" must be a string')
    if not isinstance(messages, list) or not messages:
        raise ValueError('"messages" must be a list of messages')
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise ValueError('a message must be an object with "role"')
        if not isinstance(message.get("content"), str | list):
            raise ValueError('a message must have "content"')
    json.dumps(messages, ensure_ascii=False).encode()
    return messages


def texts_of(content: Content) -> Iterator[str]:
    """Yield what can be read in a prompt, message by message."""
    if isinstance(content, str):
        yield content
        return
    for message in content:
        said = message["content"]
        parts = said if isinstance(said, list) else [{"text": said}]
        yield from (p["text"] for p in parts if isinstance(p, dict) and type(p.get("text")) is str)


def digest_of(prompts: Sequence[Prompt]) -> str:
    """Return a SHA-256 of what is asked, in its order, however the file writes it."""
    digest = hashlib.sha256()
    for prompt in prompts:
        digest.update(json.dumps(prompt.content, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()
