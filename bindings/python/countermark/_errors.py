"""The one error type. Apart from the extension module, so that both sides can import it."""

from __future__ import annotations


class CountermarkError(ValueError):
    """Raised for every mistake in what Countermark was given.

    ``code`` is stable and for machines (``"token_out_of_range"``); the text is for people and
    names what was wrong, where, and what would be right. It never holds a secret.
    """

    code: str

    def __init__(self, message: str, code: str = "invalid_option") -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type[CountermarkError], tuple[str, str]]:
        return type(self), (str(self), self.code)
