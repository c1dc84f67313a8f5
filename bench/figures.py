"""Figures of the documentation: drawn without a screen, and the same file from the same numbers.

matplotlib is imported where a figure is drawn: tests use these scripts without it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def subplots(
    rows: int, columns: int, size: tuple[float, float], **shared: Any
) -> tuple[Figure, Any]:
    """Return a figure of ``size`` inches and its axes, one or an array of them."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.hashsalt"] = "countermark"
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns, **shared)


def save(figure: Figure, path: Path) -> None:
    """Write an SVG without a date."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
