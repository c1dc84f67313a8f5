"""The detector that a command tests texts with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from countermark._core import Calibration, Detector, KeyRing, Profile
from countermark._errors import CountermarkError
from countermark.cli.console import note
from countermark.cli.options import load_tokenizer, open_ring
from countermark.story import STORY_FINGERPRINT, story_tokenizer
from countermark.tokenizers import Tokenizer, require_same_tokenizer


@dataclass(frozen=True)
class Bench:
    """A detector, the profiles it tests, and what turns text into tokens; None for token ids."""

    detector: Detector
    profiles: list[Profile]
    tokenizer: Tokenizer | None


def open_bench(
    keys: Path,
    profile_ids: list[str] | None,
    tokenizer: Tokenizer | str | None,
    *,
    rate: float,
    ids: bool = False,
    calibrations: list[Path] | None = None,
) -> Bench:
    """Open a ring and choose what to test.

    Without ``profile_ids`` every profile that fits the tokenizer is tested, and without a
    ``tokenizer`` (or the path of one) the story model's is taken if a profile is for it. A
    calibration that lies beside the ring is used unasked.
    """
    ring = open_ring(keys)
    asked = [ring.profile(id) for id in profile_ids] if profile_ids else ring.profiles
    if not asked:
        raise CountermarkError(f"{keys} holds no profile to try", "unknown_profile")
    reader = load_tokenizer(tokenizer) if isinstance(tokenizer, str) else tokenizer
    if reader is None and not ids:
        reader = default_tokenizer(asked)
    tried = _fitting(asked, reader, bool(profile_ids))
    known = [Calibration.open(path) for path in calibrations or ()]
    beside = [calibration_path(keys, p.id) for p in tried]
    named = {calibration.profile for calibration in known}
    known += [
        Calibration.open(path)
        for path, profile in zip(beside, tried, strict=True)
        if profile.id not in named and path.is_file()
    ]
    detector = Detector(ring, [p.id for p in tried], false_positive_rate=rate, calibrations=known)
    return Bench(detector, tried, reader)


def calibration_path(keys: Path, profile: str) -> Path:
    """Return where the calibration of a profile lies: beside its ring."""
    return keys.with_name(f"{keys.name}.{profile}.calibration")


def open_profile(ring: KeyRing, keys: Path, id: str | None) -> Profile:
    """Return the profile called ``id``, or the only one there is."""
    if id is not None:
        return ring.profile(id)
    if len(ring.profiles) != 1:
        listed = ", ".join(p.id for p in ring.profiles) or "none"
        raise CountermarkError(f"{keys} holds the profiles {listed}: name one with --profile")
    return ring.profiles[0]


def open_profile_with_accounts(ring: KeyRing, keys: Path, id: str | None) -> Profile:
    """Return the profile called ``id``, or the only one that has accounts."""
    if id is not None:
        return ring.profile(id)
    having = [p for p in ring.profiles if p.accounts]
    if len(having) != 1:
        found = f"the profiles {', '.join(p.id for p in having)} of" if having else "no profile of"
        what = "name one with --profile" if having else "make one with 'keygen --accounts'"
        raise CountermarkError(f"{found} {keys} {'have' if having else 'has'} accounts: {what}")
    return having[0]


def default_tokenizer(profiles: list[Profile]) -> Tokenizer:
    """Return the story model's tokenizer, if that is what one of the profiles is for."""
    kinds = {p.tokenizer["fingerprint"]: p.tokenizer["name"] for p in profiles if p.tokenizer}
    if STORY_FINGERPRINT in kinds:
        return story_tokenizer()
    what = (
        f"the profiles are for the tokenizer {', '.join(sorted(kinds.values()))}: give it"
        if kinds
        else "the profiles name no tokenizer: give the one of the model that was marked"
    )
    raise CountermarkError(
        f"{what} with --tokenizer (a file, a folder, or the word story for the embedded model's)",
        "tokenizer_mismatch",
    )


def tokenizer_for(profile: Profile, path: str | None) -> Tokenizer:
    """Return the tokenizer at ``path``, or the story model's if the profile is for it.

    Raises CountermarkError where it is not the profile's own.
    """
    tokenizer = load_tokenizer(path) if path else default_tokenizer([profile])
    if tokenizer.lists_vocabulary:
        require_same_tokenizer(profile, tokenizer)
    return tokenizer


def _fitting(
    profiles: list[Profile], tokenizer: Tokenizer | None, are_named: bool
) -> list[Profile]:
    """Return the profiles that were made for the tokenizer."""
    if tokenizer is None:
        kinds = {p.tokenizer["fingerprint"] for p in profiles if p.tokenizer}
        if len(kinds) > 1:
            raise CountermarkError(
                "the profiles are for different tokenizers: say which made the ids, with "
                "--profile or --tokenizer",
                "tokenizer_mismatch",
            )
        return profiles
    fitting = [
        p
        for p in profiles
        if p.tokenizer is None or p.tokenizer["fingerprint"] == tokenizer.fingerprint
    ]
    if are_named or not fitting:
        for profile in profiles:
            require_same_tokenizer(profile, tokenizer)
    for profile in profiles:
        if profile not in fitting:
            assert profile.tokenizer is not None
            note(f"Left out: {profile.id}, which is for the tokenizer {profile.tokenizer['name']}")
    return fitting
