"""A plot's frame and scales, as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

Tick = tuple[float, str]

EVIDENCE_TICKS = (0, 1, 2, 3, 5, *(m * 10**e for e in range(1, 6) for m in (1, 2, 5)))
"""Powers of ten for an axis of :func:`evidence_place`."""


@dataclass(frozen=True)
class Plot:
    """A plot of ``size``, within ``margins`` left, right, top and bottom, of two ranges."""

    size: tuple[float, float]
    margins: tuple[float, float, float, float]
    x_range: tuple[float, float]
    y_range: tuple[float, float]

    @property
    def left(self) -> float:
        """The left edge of what is plotted."""
        return self.margins[0]

    @property
    def right(self) -> float:
        """The right edge."""
        return self.size[0] - self.margins[1]

    @property
    def top(self) -> float:
        """The upper edge."""
        return self.margins[2]

    @property
    def bottom(self) -> float:
        """The lower edge."""
        return self.size[1] - self.margins[3]

    def x(self, value: float) -> float:
        """Where a value is, from the left."""
        low, high = self.x_range
        return round(self.left + (self.right - self.left) * (value - low) / (high - low), 1)

    def y(self, value: float) -> float:
        """Where a value is, from the top."""
        low, high = self.y_range
        return round(self.bottom - (self.bottom - self.top) * (value - low) / (high - low), 1)

    def points(self, values: Iterable[tuple[float, float]]) -> str:
        """Return the ``points`` of a line."""
        return " ".join(f"{self.x(x)},{self.y(y)}" for x, y in values)

    def x_axis(self, ticks: Iterable[Tick], size: float = 12) -> str:
        """Label values within the range below the plot, as many as find room at a font size."""
        parts, last = [], -math.inf
        for value, name in ticks:
            at, width = self.x(value), 0.55 * size * len(name)
            near_the_edge = self.size[0] - at < size * len(name) / 2
            middle = at - width / 2 if near_the_edge else at
            if middle - last < size + width or not self.left <= at <= self.right:
                continue
            last = middle
            parts.append(
                f'<text class=tick x="{at}" y="{self.bottom}" dy="1.35em" '
                f'text-anchor="{"end" if near_the_edge else "middle"}">{escape(name)}</text>'
            )
        return "".join(parts)

    def y_axis(self, ticks: Iterable[Tick]) -> str:
        """Draw a line across the plot at values, and label them on the left."""
        return "".join(
            f'<line class=grid x1="{self.left}" x2="{self.right}" y1="{self.y(value)}" '
            f'y2="{self.y(value)}"/><text class=tick x="{self.left}" y="{self.y(value)}" '
            f'dx="-.5em" dy=".35em" text-anchor="end">{escape(name)}</text>'
            for value, name in ticks
        )

    def svg(self, label: str, *parts: str, css: str = "") -> str:
        """Return the picture; ``label`` says it to who cannot see it."""
        width, height = self.size
        return (
            f'<svg class="{css}" viewBox="0 0 {width} {height}" role="img" '
            f'aria-label="{escape(label)}">{"".join(parts)}</svg>'
        )


def evidence_place(log10_p: float) -> float:
    """Nearly in proportion to the evidence, with room for what is near none."""
    return math.log1p(max(0.0, -log10_p))


def even_ticks(top: float, most: int = 5) -> list[int]:
    """Return 0 and round numbers up to ``top``, at most ``most`` of them."""
    for step in (s * 10**e for e in range(12) for s in (1, 2, 5)):
        if top / step <= most:
            return [step * i for i in range(int(top / step) + 1)]
    return [0]
