"""How long a search over many accounts takes, their keys mapped from a file.

    python bench/registry.py --accounts 1e6 1e8

The text is an answer of 400 tokens drawn from random logits, for one of the accounts. Prints a row
for each number of accounts and threads: the time to write the index, to open it (its pages are in
the system's cache by then), and to trace with the start stated and with nothing assumed; then what
the sums alone take in numpy, whose loops are compiled too.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

import countermark as cm

T = TypeVar("T")
TOKENS = 400


def timed(call: Callable[[], T]) -> tuple[T, float]:
    """Return what a call returned, and its seconds."""
    begin = time.perf_counter()
    result = call()
    return result, time.perf_counter() - begin


def answer(ring: cm.KeyRing, account: int) -> npt.NDArray[np.int32]:
    """Return an answer for an account."""
    random = np.random.default_rng(1)
    response = cm.Sampler(ring, "prod").sequence(account=account, seed=1)
    for _ in range(TOKENS):
        response.sample(random.normal(0, 2, 1000).astype(np.float32))
    return np.asarray(response.tokens, dtype=np.int32)


def numpy_sums(
    hashes: npt.NDArray[np.uint64], a1: npt.NDArray[np.uint64], a2: npt.NDArray[np.uint64]
) -> npt.NDArray[np.float64]:
    """Return each account's sum of scores, as docs/spec/countermark-1.md says."""
    prime = np.uint64(0x9FB21C651E98DF25)
    sums = np.zeros(len(a1))
    for h in hashes:
        z = h ^ a1
        z ^= ((z << np.uint64(49)) | (z >> np.uint64(15))) ^ (
            (z << np.uint64(24)) | (z >> np.uint64(40))
        )
        z *= prime
        z ^= ((z >> np.uint64(35)) + np.uint64(8)) ^ a2
        z *= prime
        z ^= z >> np.uint64(28)
        sums -= np.log(((~z >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52)
    return sums


def in_numpy(count: int, positions: int) -> str:
    """Return the seconds of a search in numpy; of 10^6 accounts, if there are more, scaled up."""
    some = min(count, 1_000_000)
    random = np.random.default_rng(2)
    a1, a2 = random.integers(0, 2**64, (2, some), dtype=np.uint64)
    hashes = random.integers(0, 2**64, positions, dtype=np.uint64)
    _, took = timed(lambda: numpy_sums(hashes, a1, a2))
    return f"{took * count / some:.1f} s"


def measure(count: int, threads: int, folder: Path, repeats: int) -> list[str]:
    """Return the cells of one row."""
    ring = cm.KeyRing.generate()
    ring.create_profile("prod", accounts=True)
    accounts = np.arange(count, dtype=np.uint64) * np.uint64(1009)
    index = folder / f"{count}-{threads}.index"
    _, building = timed(
        lambda: cm.build_account_index(ring, "prod", accounts, index, threads=threads)
    )
    size = index.stat().st_size
    tracer, opening = timed(lambda: cm.Tracer(ring, "prod", accounts, index=index, threads=threads))
    guilty = int(accounts[count // 3])
    text = answer(ring, guilty)
    cells = [f"{count:.0e}", str(threads), f"{size / 1e6:.0f} MB", f"{building:.2f} s"]
    cells.append(f"{opening:.2f} s")
    for call in (lambda: tracer.trace(text, "response"), lambda: tracer.trace(text)):
        traces, seconds = zip(*(timed(call) for _ in range(repeats)), strict=True)
        assert all(trace.account == guilty for trace in traces), traces
        cells.append(f"{statistics.median(seconds) * 1e3:.0f} ms")
    index.unlink()
    positions = tracer.scored(text)
    return [*cells, in_numpy(count, positions) if threads == 1 else "", str(positions)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--accounts", type=float, nargs="+", default=[1e6])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 0])
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    print(
        "| accounts | threads | index | written in | opened in | traced, start stated "
        "| traced, nothing assumed | numpy | wide positions |"
    )
    print("|" + "---|" * 9)
    with tempfile.TemporaryDirectory() as folder:
        for count in arguments.accounts:
            for threads in arguments.threads:
                row = measure(int(count), threads, Path(folder), arguments.repeats)
                print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
