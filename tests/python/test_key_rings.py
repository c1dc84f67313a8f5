"""Key rings and profiles from Python: files, errors, and that no secret gets out."""

from __future__ import annotations

import json
import os
import pickle
import stat
from pathlib import Path
from typing import Any

import pytest

import countermark as cm
from conftest import TOKENIZER, secret_of


@pytest.fixture
def saved(tmp_path: Path, ring: cm.KeyRing) -> Path:
    path = tmp_path / "keys.json"
    ring.save(path)
    return path


def edit(path: Path, change: Any) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_ring_comes_back_from_its_file(saved: Path, ring: cm.KeyRing) -> None:
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    assert cm.KeyRing.open(saved).profiles == ring.profiles
    assert cm.KeyRing.open(str(saved)).profile("prod").tokenizer == TOKENIZER


def test_unknown_fields_are_kept(saved: Path) -> None:
    def add(content: Any) -> None:
        content["note"] = "ours"
        content["entries"][0]["hsm"] = {"slot": 3}
        content["entries"][0]["profiles"][0]["owner"] = "ops"

    edit(saved, add)
    cm.KeyRing.open(saved).save(saved)
    content = json.loads(saved.read_text())
    assert content["note"] == "ours"
    assert content["entries"][0]["hsm"] == {"slot": 3}
    assert content["entries"][0]["profiles"][0]["owner"] == "ops"


def _set(*keys: Any, value: Any) -> Any:
    def change(content: Any) -> None:
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (
            _set("format", value="countermark.keyring/2"),
            "unsupported_format",
            'format "countermark.keyring/2" is not one this version reads',
        ),
        (
            _set("entries", 0, "profiles", 0, "mark", value="acme/9"),
            "unknown_mark",
            'unknown mark "acme/9"; this version has: countermark/1',
        ),
        (
            _set("entries", 0, "profiles", 0, "format", value="countermark.profile/2"),
            "unsupported_format",
            "profile format",
        ),
        (_set("entries", 0, "secret", value="ab"), "invalid_key_ring", "must be 64 hex digits"),
        (_set("entries", 0, "secret", value="0" * 64), "invalid_key_ring", "key_id is"),
        (_set("entries", 0, "sealed", value={}), "unsupported_format", "is sealed"),
        (
            _set("entries", 1, "profiles", 0, "id", value="prod"),
            "invalid_key_ring",
            "prod occurs twice",
        ),
        (
            _set("entries", 0, "profiles", 0, "parameters", "narrow_width", value=5),
            "invalid_option",
            r"narrow_width must be in 1\.\.4, got 5",
        ),
        (_set("entries", 0, "profiles", 0, "status", value="lost"), "invalid_profile", "status"),
        (lambda content: content.pop("entries"), "invalid_key_ring", 'no field "entries"'),
    ],
)
def test_a_broken_ring_says_what_is_wrong(
    saved: Path, change: Any, code: str, message: str
) -> None:
    edit(saved, change)
    with pytest.raises(cm.CountermarkError, match=message) as caught:
        cm.KeyRing.open(saved)
    assert caught.value.code == code
    assert secret_of(1).hex() not in str(caught.value)


def test_a_truncated_ring_says_where_it_breaks_off(saved: Path) -> None:
    whole = saved.read_bytes()
    saved.write_bytes(whole[:300])
    with pytest.raises(cm.CountermarkError, match="breaks off at byte 301 of 300") as caught:
        cm.KeyRing.open(saved)
    assert caught.value.code == "invalid_key_ring"


def test_a_ring_that_others_can_read_is_refused(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved.chmod(0o640)
    with pytest.raises(cm.CountermarkError, match=r"mode 0640.*chmod 600") as caught:
        cm.KeyRing.open(saved)
    assert caught.value.code == "readable_by_others"
    assert cm.KeyRing.open(saved, allow_readable=True).profiles
    monkeypatch.setenv("COUNTERMARK_ALLOW_READABLE_KEYS", "1")
    assert cm.KeyRing.open(saved).profiles


def test_missing_files_and_passphrases(tmp_path: Path, saved: Path) -> None:
    with pytest.raises(cm.CountermarkError, match="No such file"):
        cm.KeyRing.open(tmp_path / "nothing.json")
    with pytest.raises(cm.CountermarkError, match="regular file"):
        cm.KeyRing.open(tmp_path)
    with pytest.raises(cm.CountermarkError, match="sealed"):
        cm.KeyRing.open(saved, passphrase="secret")
    os.mkdir(tmp_path / "folder")
    with pytest.raises(cm.CountermarkError, match="cannot write"):
        cm.KeyRing.generate().save(tmp_path / "nowhere" / "keys.json")


def test_secrets_do_not_show(ring: cm.KeyRing, capfd: pytest.CaptureFixture[str]) -> None:
    shown = repr(ring) + str(ring) + repr(ring.profiles) + "".join(dir(ring))
    shown += "".join(p.to_json() for p in ring.profiles)
    assert secret_of(1).hex() not in shown
    with pytest.raises(TypeError):
        pickle.dumps(ring)
    out, err = capfd.readouterr()
    assert out == err == ""


def test_retired_profiles_detect_and_do_not_mark(ring: cm.KeyRing) -> None:
    assert ring.retire("prod").status == "retired"
    with pytest.raises(cm.CountermarkError, match="retired") as caught:
        cm.Sampler(ring, "prod")
    assert caught.value.code == "retired_profile"
    assert cm.Detector(ring, ["prod"]).detect(range(100)).tested == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"narrow_width": 0}, r"narrow_width must be in 1\.\.4, got 0"),
        ({"wide_width": 5}, r"wide_width must be in 1\.\.4, got 5"),
        ({"narrow_units": 65537}, r"narrow_units must be in 0\.\.65536, got 65537"),
        ({"free_units": 40000}, r"free_units must be in 0\.\.32768"),
        ({"free_prefix": -1}, r"free_prefix must be in 0\.\.65536, got -1"),
        ({"purpose": "fun"}, 'purpose must be .* got "fun"'),
        ({"mark": "acme/1"}, "unknown mark"),
        ({"accounts": True, "purpose": "provenance"}, "accounts need both layers"),
        ({"tokenizer": {"name": "x"}}, "tokenizer lacks fingerprint, vocab_size"),
        ({"tokenizer": TOKENIZER | {"vocab_size": 1}}, r"vocab_size must be in 2\.\."),
    ],
)
def test_parameters_out_of_range(ring: cm.KeyRing, arguments: Any, message: str) -> None:
    with pytest.raises(cm.CountermarkError, match=message):
        ring.create_profile("new", **arguments)
    assert len(ring.profiles) == 2


def test_profiles_travel_as_json(ring: cm.KeyRing) -> None:
    profile = ring.profile("named")
    same = cm.Profile.from_json(profile.to_json())
    assert same == profile == pickle.loads(pickle.dumps(profile))
    assert hash(same) == hash(profile)
    assert same != ring.profile("prod")
    said = json.loads(profile.to_json())
    assert said["format"] == "countermark.profile/1"
    assert said["parameters"] == {
        "narrow_width": 2,
        "wide_width": 4,
        "narrow_units": 32768,
        "free_units": 0,
        "free_prefix": 24,
        "accounts": True,
    }
    assert said["key_id"] == said["commitment"][:16]


def test_errors_travel_between_processes() -> None:
    error = cm.CountermarkError("text", "no_candidate")
    same = pickle.loads(pickle.dumps(error))
    assert (str(same), same.code) == ("text", "no_candidate")


def test_a_secret_is_taken_as_it_lies() -> None:
    ring = cm.KeyRing.generate()
    secret = bytearray(range(32))
    profile = ring.import_secret("a", secret)
    assert ring.import_secret("b", memoryview(bytes(range(40)))[:32]).key_id == profile.key_id
    import numpy as np

    for wrong in (np.arange(64, dtype=np.uint8)[::2], memoryview(secret)[::-1], np.zeros(4)):
        with pytest.raises(cm.CountermarkError, match="contiguous bytes"):
            ring.import_secret("c", wrong)  # type: ignore[arg-type]
    with pytest.raises(cm.CountermarkError, match="must hold 32 bytes, got 31"):
        ring.import_secret("c", secret[:31])
    assert len(ring.profiles) == 2


def test_saving_never_loses_a_key(saved: Path, ring: cm.KeyRing) -> None:
    first, second = cm.KeyRing.open(saved), cm.KeyRing.open(saved)
    first.create_profile("first")
    first.save(saved)
    second.create_profile("second")
    with pytest.raises(cm.CountermarkError, match="would be lost"):
        second.save(saved)
    with pytest.raises(cm.CountermarkError, match="would be lost"):
        cm.KeyRing.generate().save(saved)
    assert [p.id for p in cm.KeyRing.open(saved).profiles] == ["prod", "named", "first"]
    # What is no key ring holds no keys.
    saved.write_text("{")
    ring.save(saved)
    assert cm.KeyRing.open(saved).profiles == ring.profiles


def test_a_link_goes_on_pointing_at_the_ring(saved: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to(saved)
    ring = cm.KeyRing.open(link)
    ring.create_profile("new")
    ring.save(link)
    assert link.is_symlink()
    assert len(cm.KeyRing.open(saved).profiles) == 3


def test_a_path_that_is_no_utf8_can_be_told() -> None:
    with pytest.raises(cm.CountermarkError, match="cannot open"):
        cm.KeyRing.open("/nowhere/\udcff")
