"""The table, and the comparisons that fill its rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

FOUND = -10.0  # log10 of the p-value that a marked text must have


@dataclass
class Table:
    """Prints rows as they come, and remembers whether all agreed."""

    agrees: bool = True

    def begin(self) -> None:
        """Print the heading."""
        print("| engine | version | compared | cases | largest difference | verdict |")
        print("|---|---|---|---:|---:|---|", flush=True)

    def row(self, columns: Sequence[str], is_same: bool) -> None:
        """Print one row."""
        self.agrees &= is_same
        self.print([*columns, "agrees" if is_same else "DIFFERS"])

    def remark(self, columns: Sequence[str]) -> None:
        """Print a row of what is said and not compared."""
        self.print([*columns, "remark"])

    def print(self, cells: Sequence[str]) -> None:
        """Print a row's cells."""
        print("|", " | ".join(cells), "|", flush=True)


@dataclass
class Check:
    """The comparisons of one mark: collected case by case, then reported in their order."""

    table: Table
    mark: str
    version: str
    pairs: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    allowed: dict[str, float] = field(default_factory=dict)
    p_values: dict[str, list[float]] = field(default_factory=dict)
    bars: dict[str, float] = field(default_factory=dict)
    remarks: dict[str, str] = field(default_factory=dict)

    def same(self, what: str, ours: float, theirs: float, allowed: float = 0.0) -> None:
        """Compare two numbers; one that is missing must be missing on both sides."""
        self.pairs.setdefault(what, []).append((float(ours), float(theirs)))
        self.allowed[what] = allowed

    def all_same(self, what: str, ours: Any, theirs: Any, allowed: float = 0.0) -> None:
        """Compare numbers one by one."""
        for pair in zip(ours, theirs, strict=True):
            self.same(what, *pair, allowed)

    def holds(self, what: str, is_so: bool) -> None:
        """Require something; what does not hold is a difference of 1."""
        self.same(what, float(is_so), 1.0)

    def found(self, what: str, log10_p: float, bar: float = FOUND) -> None:
        """Require a small p-value."""
        self.p_values.setdefault(what, []).append(log10_p)
        self.bars[what] = bar

    def remark(self, what: str, difference: str) -> None:
        """Say what is different by intent."""
        self.remarks[what] = difference

    def report(self) -> None:
        """Print a row for each kind of comparison."""
        for what, pairs in self.pairs.items():
            numbers = np.array(pairs)
            apart = np.abs(numbers[:, 0] - numbers[:, 1])
            apart[numbers[:, 0] == numbers[:, 1]] = 0.0
            apart[np.isnan(numbers).all(axis=1)] = 0.0
            apart[np.isnan(numbers).sum(axis=1) == 1] = math.inf
            is_same = bool((apart <= self.allowed[what]).all())
            wrong = "" if is_same else f" ({int((apart > self.allowed[what]).sum())} cases)"
            self.row(what, len(pairs), f"{apart.max():.2g}{wrong}", is_same)
        for what, p_values in self.p_values.items():
            largest = max(p_values)
            cell = f"log10 p at most {largest:.0f}"
            self.row(what, len(p_values), cell, largest <= self.bars[what])
        for what, difference in self.remarks.items():
            self.table.remark([self.mark, self.version, what, "1", difference])

    def row(self, what: str, cases: int, difference: str, is_same: bool) -> None:
        """Print one row."""
        self.table.row([self.mark, self.version, what, str(cases), difference], is_same)
