"""The tracer that a command searches accounts with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from countermark._core import KeyRing, Profile, Tracer
from countermark.cli.account_ids import index_beside, read_accounts
from countermark.cli.console import Ticker, progress
from countermark.cli.detectors import default_tokenizer, open_profile_with_accounts
from countermark.cli.options import load_tokenizer, open_ring
from countermark.tokenizers import Tokenizer


class Watch:
    """Shows how far a search is, on the bar that there is at the time."""

    def __init__(self) -> None:
        self._ticker: Ticker | None = None

    def __call__(self, done: int, total: int) -> None:
        """Take what the library tells."""
        if self._ticker:
            self._ticker.reach(done, total)

    @contextmanager
    def showing(self, what: str) -> Iterator[None]:
        """Show searches while the block runs. It must not print to stdout."""
        with progress(what, 1) as self._ticker:
            try:
                yield
            finally:
                self._ticker = None


@dataclass(frozen=True)
class Registry:
    """Accounts of one profile, and the files that say which they are."""

    ring: KeyRing
    profile: Profile
    accounts: Path
    index: Path | None
    watch: Watch = field(default_factory=Watch)

    @classmethod
    def find(
        cls, keys: Path, profile: str | None, accounts: Path, index: Path | None = None
    ) -> Registry:
        """Open a ring and choose the profile; an index beside the accounts is taken unasked."""
        ring = open_ring(keys)
        beside = index_beside(accounts)
        return cls(
            ring,
            open_profile_with_accounts(ring, keys, profile),
            accounts,
            index or (beside if beside.is_file() else None),
        )

    @property
    def files(self) -> list[Path]:
        """What a command reads, and must not write to."""
        return [self.accounts, *([self.index] if self.index else [])]

    def tokenizer(self, tokenizer: Tokenizer | str | None) -> Tokenizer:
        """Return the tokenizer given, or named, or the story model's if the profile is for it."""
        if tokenizer is None:
            return default_tokenizer([self.profile])
        return load_tokenizer(tokenizer) if isinstance(tokenizer, str) else tokenizer

    def open_tracer(self, **options: Any) -> Tracer:
        """Read the accounts, and their keys or derive them."""
        with progress("reading the accounts"):
            ids = read_accounts(self.accounts)
        with self.watch.showing("reading the keys" if self.index else "deriving the keys"):
            return Tracer(
                self.ring,
                self.profile.id,
                ids,
                index=self.index,
                progress=self.watch,
                **options,
            )
