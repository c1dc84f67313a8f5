"""A suspect behind an OpenAI-compatible server."""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Iterable, Iterator
from queue import SimpleQueue
from typing import Any
from urllib.parse import urlsplit

from countermark._errors import CountermarkError
from countermark.cli.prompts import Prompt
from countermark.cli.suspects import Failure, Question, Reply, Sampling

KEY_VARIABLE = "OPENAI_API_KEY"
_MOST_SAID = 300
_NO_KEY = "none"  # what servers that ask for none are given
_HOPELESS = {401, 403, 404}
_HOPELESS_CODES = {"insufficient_quota", "model_not_found", "invalid_model"}


def import_openai() -> Any:
    """Return the package openai. Raises CountermarkError where it is missing."""
    try:
        return importlib.import_module("openai")
    except ImportError as error:
        raise CountermarkError(
            f"--endpoint needs openai: pip install 'countermark[distill]' ({error})"
        ) from error


class Endpoint:
    """A model behind a URL. Its key comes from the environment and goes nowhere else."""

    def __init__(
        self,
        url: str,
        model: str,
        sampling: Sampling,
        *,
        chat: bool,
        concurrency: int,
        retries: int,
        timeout: float,
        key_variable: str | None = None,
    ) -> None:
        """Ask nothing yet. Raises CountermarkError for a URL that cannot be asked."""
        self._openai = import_openai()
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise CountermarkError("--endpoint must be the URL of an API, as https://host/v1")
        if "@" in parts.netloc or parts.query or parts.fragment:
            # It would stand in the answers, on pages and in lists of processes.
            raise CountermarkError(
                "--endpoint must hold no name, password or query: give a key in the environment"
            )
        self._url = url.rstrip("/")
        self._model = model
        self.sampling = sampling
        self._chat = chat
        self._concurrency = concurrency
        self._key = os.environ.get(key_variable or KEY_VARIABLE, "")
        if key_variable and not self._key:
            raise CountermarkError(
                f"the environment has no variable {key_variable}: put a key there"
            )
        self._client = self._openai.OpenAI(
            api_key=self._key or _NO_KEY, base_url=url, max_retries=retries, timeout=timeout
        )
        self._limit = "max_tokens"

    def describe(self) -> dict[str, Any]:
        """Say which it is."""
        return {
            "endpoint": self._url,
            "model": self._model,
            "interface": "chat" if self._chat else "completions",
        }

    def close(self) -> None:
        """Let go of connections."""
        self._client.close()

    def answer(self, questions: Iterable[Question]) -> Iterator[Reply | Failure]:
        """Ask with as many requests at a time as was said."""
        came: SimpleQueue[Reply | Failure | CountermarkError] = SimpleQueue()
        refusal: CountermarkError | None = None
        waiting = 0

        def wait() -> Iterator[Reply | Failure]:
            nonlocal refusal, waiting
            one = came.get()
            waiting -= 1
            if isinstance(one, CountermarkError):
                refusal = one
            else:
                yield one

        for question in questions:
            # Daemons: an interruption need not wait for a slow server.
            threading.Thread(
                target=lambda q: came.put(self._ask(q)), args=(question,), daemon=True
            ).start()
            waiting += 1
            if waiting == self._concurrency:
                yield from wait()
            if refusal:
                break
        while waiting:
            yield from wait()
        if refusal:
            raise refusal

    def _ask(self, question: Question) -> Reply | Failure | CountermarkError:
        try:
            response = self._request(question.prompt)
            return _reply(question, response, self._chat)
        except self._openai.APIStatusError as error:
            said = error.body.get("message") if isinstance(error.body, dict) else None
            why = f"{error.status_code}: {self._without_key(said or error)}"
            if error.status_code in _HOPELESS or error.code in _HOPELESS_CODES:
                return CountermarkError(f"{self._url} refuses to answer ({why})", "file_failure")
            return Failure(question, why)
        except self._openai.OpenAIError as error:
            cause = f" ({error.__cause__})" if error.__cause__ else ""
            return Failure(question, self._without_key(f"{error}{cause}"))
        except Exception as error:  # whatever a server sends, the other answers are kept
            return Failure(question, self._without_key(f"{type(error).__name__}: {error}"))

    def _request(self, prompt: Prompt) -> Any:
        try:
            return self._create(prompt)
        except self._openai.BadRequestError as error:
            # Newer models of OpenAI's know the limit by this name alone.
            if error.param != "max_tokens":
                raise
            self._limit = "max_completion_tokens"
            return self._create(prompt)

    def _create(self, prompt: Prompt) -> Any:
        content, options = prompt.content, self.sampling
        asked: dict[str, Any] = {
            "model": self._model,
            "temperature": options.temperature,
            "top_p": options.top_p,
            # Not every version of the package knows every name of the limit.
            "extra_body": {self._limit: options.max_tokens},
        }
        if not self._chat:
            return self._client.completions.create(prompt=content, **asked)
        messages = content if isinstance(content, list) else [{"role": "user", "content": content}]
        return self._client.chat.completions.create(messages=messages, **asked)

    def _without_key(self, message: object) -> str:
        """A server may tell which key it was given, or speak to the terminal."""
        words = " ".join("".join(c if c.isprintable() else " " for c in str(message)).split())
        if self._key:
            words = words.replace(self._key, "[key]")
        return words if len(words) <= _MOST_SAID else words[:_MOST_SAID] + "..."


def _reply(question: Question, response: Any, chat: bool) -> Reply | Failure:
    try:
        choice = response.choices[0]
        text = choice.message.content if chat else choice.text
        # JSON can hold half a surrogate pair, which is no text.
        text = (text or "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    except (AttributeError, TypeError, IndexError):
        return Failure(question, "what came is no completion")
    reason = choice.finish_reason
    tokens = getattr(getattr(response, "usage", None), "completion_tokens", None)
    return Reply(
        question,
        text,
        reason if isinstance(reason, str) else None,
        tokens if type(tokens) is int and tokens >= 0 else None,
    )
