"""Compares countermark's marks of other engines with the engines' own packages.

    python tools/verify_engines [CACHE] [--only vllm sglang ...] [--synthid-tree FOLDER]

Fetches the packages into CACHE (default build/engines; vLLM's wheel has 336 MB) unless they lie
there, takes out the watermark modules alone, and imports them as they are; what they import and do
not need is a stub. Both sides then score the same texts and select from the same logits. Prints a
row of a Markdown table for each comparison, and exits with 1 if any differs.

Slow, and apart from the tests: it needs a package index. No kernel for a GPU runs: where an engine
has a reference for a CPU, that is compared. `--synthid-tree` is a checkout of synthid-text later
than June 2025, whose mark no release has. transformers is compared in every test run, by
tests/python/test_engine_transformers.py.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import torch

import of_sbw
import of_sglang
import of_synthid
import of_textseal
import of_vllm
from packages import prepare, stub_jax, stub_vllm
from table import Table

#: What is done, with the packages it needs.
JOBS: dict[str, tuple[Callable[[Table], None], tuple[str, ...]]] = {
    "vllm": (of_vllm.verify, ("vllm",)),
    "sglang": (of_sglang.verify, ("sglang",)),
    "textseal": (of_textseal.verify, ("textseal",)),
    "synthid": (of_synthid.verify_package, ("synthid-text",)),
    "sbw": (of_sbw.verify, ("sbw", "vllm-sbw")),
}


def main() -> int:
    """Verify every engine, or those named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("cache", type=Path, nargs="?", default=Path("build/engines"))
    parser.add_argument("--only", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--synthid-tree", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    folder = prepare(options.cache, [name for job in options.only for name in JOBS[job][1]])
    stub_vllm(folder)
    stub_jax()
    torch.manual_seed(0)
    table = Table()
    table.begin()
    for job in options.only:
        JOBS[job][0](table)
    if options.synthid_tree:
        of_synthid.verify_tree(table, options.synthid_tree)
    return 0 if table.agrees else 1


if __name__ == "__main__":
    sys.exit(main())
