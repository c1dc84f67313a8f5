"""What marking and detection cost, beside what a user would otherwise run, in one run.

    make bench
    python bench/performance.py BENCHMARK_PROGRAM [--json FILE] [--plots FOLDER] [--quick]

Prints one table: medians of interleaved repetitions, the middle half of them, and ratios to the
plain draw. docs/performance.md holds a table and the plots, and says what they mean.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from transformers import (
    PretrainedConfig,
    SynthIDTextWatermarkingConfig,
    WatermarkDetector,
    WatermarkingConfig,
)

import countermark as cm
import figures
from philox_gumbel import detect as vllm_detect

VOCAB = 128_256
KERNELS = ("avx512", "avx2", "scalar")


@dataclass
class Timing:
    """Seconds of one call: the median of the repetitions and the middle half of them."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, seconds: list[float]) -> Timing:
        """Summarise repetitions."""
        low, median, high = statistics.quantiles(seconds, n=4, method="inclusive")
        return cls(median, low, high)


Timings = dict[str, Timing]


def native(program: Path, repetitions: int) -> Timings:
    """The C++ benchmarks, whose repetitions are shuffled among each other."""
    done = subprocess.run(
        [
            program,
            f"--benchmark_repetitions={repetitions}",
            "--benchmark_enable_random_interleaving=true",
            "--benchmark_min_time=0.05",
            "--benchmark_format=json",
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    seconds: dict[str, list[float]] = {}
    for run in json.loads(done.stdout)["benchmarks"]:
        if run.get("run_type") == "iteration":
            name = run["run_name"].removesuffix("/real_time").split("/iterations:")[0]
            unit = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3}[run["time_unit"]]
            seconds.setdefault(name, []).append(run["real_time"] * unit)
    return {name: Timing.of(values) for name, values in seconds.items()}


def interleaved(calls: dict[str, Callable[[], object]], repetitions: int) -> Timings:
    """Time Python calls in turns, each for at least 20 ms a turn."""
    counts = {}
    for name, call in calls.items():
        start = time.perf_counter()
        call()
        counts[name] = max(1, math.ceil(0.02 / max(1e-6, time.perf_counter() - start)))
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in track(range(repetitions), "Python", transient=True):
        for name, call in calls.items():
            start = time.perf_counter()
            for _ in range(counts[name]):
                call()
            seconds[name].append((time.perf_counter() - start) / counts[name])
    return {name: Timing.of(values) for name, values in seconds.items()}


def synthid_processor() -> Any:
    """SynthID's mark with 30 keys over five tokens."""
    config = SynthIDTextWatermarkingConfig(keys=list(range(1, 31)), ngram_len=5)
    return config.construct_processor(VOCAB, "cpu")


def draws(rows: npt.NDArray[np.float32]) -> dict[str, Callable[[], object]]:
    """One draw from a fresh row each: ours, numpy, torch, and the processors of transformers."""
    torch.set_num_threads(1)
    tensors = torch.from_numpy(rows)
    random = np.random.default_rng(1)
    ring = cm.KeyRing.generate()
    ring.create_profile("bench", free_prefix=0)
    sequence = cm.Sampler(ring, "bench").sequence()
    for logits in rows[:9]:  # to a position whose distribution is not summed up, as most
        sequence.sample(logits)
    context = torch.arange(1, 9)[None]
    synthid = synthid_processor()
    kgw = WatermarkingConfig().construct_processor(VOCAB, "cpu")
    step = 0

    def row() -> int:
        nonlocal step
        step = (step + 1) % len(rows)
        return step

    def numpy_softmax() -> object:
        logits = rows[row()]
        sums = np.cumsum(np.exp(logits - logits.max()))
        return np.searchsorted(sums, random.random() * sums[-1])

    def numpy_gumbel() -> object:
        return np.argmax(rows[row()] + random.gumbel(size=VOCAB))

    def torch_multinomial() -> object:
        return torch.multinomial(torch.softmax(tensors[row()], -1), 1)

    def torch_exponential() -> object:
        weights = torch.softmax(tensors[row()], -1)
        return weights.div_(torch.empty_like(weights).exponential_()).argmax()

    def processed(processor: Any) -> Callable[[], object]:
        def call() -> object:
            scores = processor(context, tensors[row()][None].clone())
            return torch.multinomial(torch.softmax(scores[0], -1), 1)

        return call

    small = rows[0, :8].copy()
    small_tensor = torch.from_numpy(small)
    return {
        "python/draw/countermark/numpy": lambda: sequence.select(rows[row()]),
        "python/draw/countermark/torch": lambda: sequence.select(tensors[row()]),
        "python/call/numpy": lambda: sequence.select(small),
        "python/call/torch": lambda: sequence.select(small_tensor),
        "python/draw/numpy/softmax": numpy_softmax,
        "python/draw/numpy/gumbel": numpy_gumbel,
        "python/draw/torch/multinomial": torch_multinomial,
        "python/draw/torch/exponential": torch_exponential,
        "python/draw/transformers/SynthID": processed(synthid),
        "python/draw/transformers/KGW": processed(kgw),
    }


def detections(tokens: int) -> dict[str, Callable[[], object]]:
    """One text each: ours, the detectors of transformers, and vLLM's formula in plain Python."""
    text = np.random.default_rng(2).integers(0, VOCAB, tokens, dtype=np.int32)
    ids = torch.from_numpy(text.astype(np.int64))[None]
    ring = cm.KeyRing.generate()
    ring.create_profile("bench")
    detector = cm.Detector(ring)
    config = PretrainedConfig(vocab_size=VOCAB, bos_token_id=0)
    kgw = WatermarkDetector(
        model_config=config, device="cpu", watermarking_config=WatermarkingConfig()
    )
    synthid = synthid_processor()
    listed = text.tolist()

    def synthid_mean() -> object:
        values = synthid.compute_g_values(ids)
        mask = synthid.compute_context_repetition_mask(ids)
        return (values.float().mean(-1) * mask).sum() / mask.sum()

    return {
        f"python/detect/{tokens}/countermark": lambda: detector.detect(text),
        f"python/detect/{tokens}/transformers KGW": lambda: kgw(ids),
        f"python/detect/{tokens}/transformers SynthID": synthid_mean,
        f"python/detect/{tokens}/vLLM in Python": lambda: vllm_detect(listed, 42),
    }


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith(("vendor_id", "cpu family", "model\t", "stepping")):
                model += " " + line.replace("\t", "").replace(":", "")
            if not line:
                break
    return {
        "processor": model.strip(),
        "cores": str(os.cpu_count()),
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
    }


def readable(seconds: float) -> str:
    """Seconds with three digits and a unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def print_table(timings: Timings, console: Console) -> None:
    """One row a measurement: time, spread, a rate or a ratio, and what was to be reached."""
    table = Table(title="128,256 logits, temperature 1, one core, unless a row says otherwise")
    table.add_column(no_wrap=True)
    for column in ("median", "middle half", "ratio or rate", "to reach"):
        table.add_column(column, justify="right", no_wrap=True)

    def add(label: str, name: str, figure: str = "", goal: str = "") -> None:
        if name in timings:
            t = timings[name]
            spread = f"{readable(t.low)} to {readable(t.high)}"
            table.add_row(label, readable(t.median), spread, figure, goal)

    def ratio(name: str, to: str) -> str:
        if name not in timings or to not in timings:
            return ""
        return f"{timings[name].median / timings[to].median:.2f} x"

    def rate(name: str, tokens: int) -> str:
        return f"{tokens / timings[name].median / 1e6:.3g} M tokens/s" if name in timings else ""

    goals = {"avx512": ("0.8 x", "1.0 x"), "avx2": ("1.2 x", "1.5 x"), "scalar": ("", "")}
    for kernel in KERNELS:
        for where in ("fresh", "hot"):
            base = f"draw/{kernel}/{where}/"
            add(f"{kernel}, {where} row: plain softmax draw", base + "plain", "1.00 x")
            marked, account = goals[kernel]
            add("    marked draw", base + "marked", ratio(base + "marked", base + "plain"), marked)
            add(
                "    with account",
                base + "account",
                ratio(base + "account", base + "plain"),
                account,
            )
        table.add_section()
    best = next((k for k in KERNELS if f"draw/{k}/fresh/plain" in timings), "scalar")
    plain = f"draw/{best}/fresh/plain"
    for name, label in (
        ("draw/float16", "marked draw, float16 row"),
        ("draw/bfloat16", "marked draw, bfloat16 row"),
        ("stage/maximum/fresh", "one pass over a fresh row: its maximum"),
        ("sample/all", "a sequence's whole step"),
        ("sample/top_k=64", "    top-k 64"),
        ("sample/top_p=0.95/peaked", "    top-p 0.95, a certain model"),
        ("sample/top_p=0.95/flat", "    top-p 0.95, 20,000 tokens in the nucleus"),
        ("sample/min_p=0.05", "    min-p 0.05"),
    ):
        add(label, name, ratio(name, plain))
    add("a step from 64 candidates", "candidates/64/after/0", "", "1.5 µs")
    for threads in (1, 2):
        name = f"batch/256/{threads}"
        add(f"a batch of 256 rows, {threads} threads", name, ratio(name, "batch/256/1"))
    table.add_section()
    numpy_row = "python/draw/countermark/numpy"
    for name in [n for n in timings if n.startswith("python/draw/")]:
        add(name.removeprefix("python/draw/"), name, ratio(name, numpy_row))
    add("a Python call beside the draw, numpy row", "python/call/numpy", "", "5 µs")
    add("a Python call beside the draw, torch row", "python/call/torch", "", "5 µs")
    table.add_section()
    for tokens in (400, 10_000, 1_000_000, 10_000_000):
        name = f"detect/tokens/{tokens}"
        add(f"detect {tokens:,} tokens", name, rate(name, tokens), "15 M tokens/s")
    name = "detect_without_deduplication"
    add("    without deduplication, 65,536", name, rate(name, 65_536), "60 M tokens/s")
    for threads in (1, 2):
        name = f"detect_many/threads/{threads}"
        add(f"1,000 texts of 400, {threads} threads", name, rate(name, 400_000))
    for name in [n for n in timings if n.startswith("detect_engine/")]:
        add(f"1,000 tokens, {name.removeprefix('detect_engine/')}", name, rate(name, 1000))
    for tokens in (400, 10_000):
        ours = f"python/detect/{tokens}/countermark"
        for name in [n for n in timings if n.startswith(f"python/detect/{tokens}/")]:
            label = f"{name.rsplit('/', 1)[1]}, {tokens:,} tokens"
            add(label, name, ratio(name, ours))
    console.print(table)


def plot(timings: Timings, folder: Path) -> None:
    """Cost as work grows: vocabulary, batch, length of a response, length of a text."""

    def series(prefix: str, suffix: str = "") -> tuple[list[int], list[float]]:
        points = sorted(
            (int(n.removeprefix(prefix).removesuffix(suffix)), t.median)
            for n, t in timings.items()
            if n.startswith(prefix) and n.endswith(suffix)
        )
        return [x for x, _ in points], [y for _, y in points]

    figure, axes = figures.subplots(2, 2, (9, 6.5))

    def draw(at: tuple[int, int], title: str, x: str, y: str, label: str, points: Any) -> None:
        axis = axes[at]
        axis.plot(points[0], points[1], marker="o", label=label or None)
        axis.set(title=title, xlabel=x, ylabel=y, xscale="log", ylim=(0, None))
        axis.grid(visible=True, alpha=0.3)
        if label:
            axis.legend()

    sizes, seconds = series("vocabulary/")
    draw((0, 0), "A token, by vocabulary", "logits", "µs", "", (sizes, [s * 1e6 for s in seconds]))
    for threads in (1, 2):
        sizes, seconds = series("batch/", f"/{threads}")
        each = [s / n * 1e6 for n, s in zip(sizes, seconds, strict=True)]
        draw((0, 1), "A token, by batch", "rows", "µs", f"threads: {threads}", (sizes, each))
    sizes, seconds = series("candidates/64/after/")
    draw(
        (1, 0),
        "A token of 64 candidates, by length of the response",
        "tokens before it",
        "µs",
        "",
        ([max(1, n) for n in sizes], [s * 1e6 for s in seconds]),
    )
    sizes, seconds = series("detect/tokens/")
    each = [s / n * 1e9 for n, s in zip(sizes, seconds, strict=True)]
    draw((1, 1), "Detection, by length of the text", "tokens", "ns a token", "", (sizes, each))
    figures.save(figure, folder / "performance.svg")


def main() -> None:
    """Measure, print, and write what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("program", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plots", type=Path)
    parser.add_argument("--quick", action="store_true", help="three repetitions, for a first look")
    arguments = parser.parse_args()
    repetitions = 3 if arguments.quick else 11
    console = Console(width=120)
    with console.status("C++ (some minutes)"):
        timings = native(arguments.program, repetitions)
    rows = np.random.default_rng(1).normal(0, 3, (256, VOCAB)).astype(np.float32)
    timings |= interleaved(draws(rows), repetitions)
    for tokens in (400, 10_000):
        timings |= interleaved(detections(tokens), repetitions)
    about = machine()
    print_table(timings, console)
    console.print(", ".join(f"{key} {value}" for key, value in about.items()))
    if arguments.json:
        result = {"machine": about, "seconds": {n: asdict(t) for n, t in timings.items()}}
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    if arguments.plots:
        plot(timings, arguments.plots)


if __name__ == "__main__":
    main()
