"""The engines' packages: fetched, and imported without what they do not need."""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
import types
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import torch

#: What is fetched: the version, and which files of it are imported.
PACKAGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "vllm": (
        "0.33.0",
        (
            "vllm/v1/watermarking/",
            "vllm/config/watermarking.py",
            "vllm/v1/worker/gpu/sample/watermark.py",
        ),
    ),
    "sglang": ("0.5.23", ("sglang/srt/sampling/watermarking/",)),
    "textseal": (
        "0.0.5",
        (
            "textseal/common/watermark/",
            "textseal/posthoc/detector.py",
            "textseal/posthoc/generator.py",
        ),
    ),
    "synthid-text": ("0.2.1", ("synthid_text/",)),
    "sbw": ("1.0.0", ("sbw/",)),
    "vllm-sbw": ("1.0.0", ("vllm_sbw/",)),
}
#: What the engines' modules import and countermark's environment may lack.
SUPPORT = ("msgspec", "pydantic")


def label(name: str) -> str:
    """Return a package's name and version."""
    return f"{name} {PACKAGES[name][0]}"


def pip(*arguments: str) -> None:
    """Run pip quietly."""
    subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments],
        check=True,
    )


def fetch(name: str, cache: Path) -> Path:
    """Return the wheel of a package, downloaded unless it lies in the cache."""
    version = PACKAGES[name][0]
    pattern = f"{name.replace('-', '_')}-{version}-*.whl"
    if not list(cache.glob(pattern)):
        pip("download", "--no-deps", "--only-binary=:all:", "-d", str(cache), f"{name}=={version}")
    return next(cache.glob(pattern))


def extract(wheel: Path, prefixes: Sequence[str], folder: Path) -> None:
    """Take the files out of a wheel that begin with one of the prefixes."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.startswith(tuple(prefixes)):
                archive.extract(name, folder)


def prepare(cache: Path, names: Iterable[str]) -> Path:
    """Fetch packages and make what is needed of them importable; return the modules' folder."""
    os.environ["TORCHDYNAMO_DISABLE"] = "1"  # what is compiled runs as it is written
    cache.mkdir(parents=True, exist_ok=True)
    folder, support = cache / "modules", cache / "support"
    for name in names:
        extract(fetch(name, cache), PACKAGES[name][1], folder)
    sys.path += [str(folder), str(support)]
    missing = [name for name in SUPPORT if importlib.util.find_spec(name) is None]
    if missing:
        pip("install", "--target", str(support), *missing)
        importlib.invalidate_caches()
    return folder


def stub(name: str, folder: Path | None = None, **attributes: Any) -> None:
    """Put a module in place of one that is not there; modules beneath it may lie in ``folder``."""
    module = types.ModuleType(name)
    module.__path__ = [str(folder / name.replace(".", "/"))] if folder else []
    vars(module).update(attributes)
    sys.modules[name] = module


def module(name: str) -> Any:
    """Import one of the engines' modules."""
    return importlib.import_module(name)


def draw(logits: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    """Draw ordinarily; stands in for the engines' own random sampling."""
    return torch.multinomial(torch.softmax(logits.float(), -1), 1).squeeze(-1)


def stub_vllm(folder: Path) -> None:
    """Put stubs in place of what vLLM's watermark modules import."""
    dataclasses = module("pydantic.dataclasses")
    stub("vllm.config", folder, VllmConfig=object)
    stub("vllm.config.utils", config=dataclasses.dataclass)
    stub("vllm.logger", init_logger=MagicMock())
    stub("vllm.sampling_params", SamplingParams=object)
    stub("vllm.triton_utils", HAS_TRITON=False, tl=MagicMock(), triton=MagicMock())
    stub("vllm.v1.sample.ops.topk_topp_sampler", apply_top_k_top_p=lambda logits, *_, **__: logits)
    stub("vllm.v1.worker.gpu.buffer_utils", UvaBackedTensor=object)
    stub("vllm.v1.worker.gpu.sample.sampler", Sampler=object)
    names = ("gumbel_noised_argmax", "spec_step_seed")
    others = {name: MagicMock() for name in names}
    stub("vllm.v1.worker.gpu.sample.gumbel", gumbel_sample=draw, **others)
    stub(
        "vllm.v1.sample.logits_processor",
        LogitsProcessor=type("LogitsProcessor", (), {"__init__": lambda *_: None}),
        BatchUpdate=object,
        MoveDirectionality=MagicMock(),
    )


def stub_jax() -> None:
    """Put numpy in place of jax, for SynthID's weighted mean."""
    stub("jax")
    stub("jax.numpy", **{name: getattr(np, name) for name in dir(np) if not name.startswith("__")})
    sys.modules["jax"].numpy = sys.modules["jax.numpy"]  # type: ignore[attr-defined]
