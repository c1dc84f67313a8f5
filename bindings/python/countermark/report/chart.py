"""The evidence along a text, as inline SVG."""

from __future__ import annotations

from countermark.report.exhibit import Exhibit

_WIDTH, _HEIGHT = 720, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 24, 30


def evidence_chart(exhibit: Exhibit) -> str:
    """Draw -log10 p of the text up to each token, against the threshold."""
    threshold = -exhibit.detection.log10_threshold
    points = [(0, 0.0), *((tokens, max(0.0, -log10_p)) for tokens, log10_p in exhibit.curve)]
    tokens = points[-1][0]
    top = 1.15 * max(threshold, max(y for _, y in points))
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def x(token: float) -> float:
        return _LEFT + (right - _LEFT) * token / tokens

    def y(evidence: float) -> float:
        return bottom - (bottom - _TOP) * evidence / top

    line = " ".join(f"{x(token):.1f},{y(evidence):.1f}" for token, evidence in points)
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="Evidence along the text: 10^-{points[-1][1]:.1f} at the end, '
        f'10^-{threshold:.1f} asked for">'
    ]
    for evidence in _ticks(top):
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y(evidence):.1f}" '
            f'y2="{y(evidence):.1f}"/><text class="tick" x="{_LEFT - 6}" '
            f'y="{y(evidence) + 4:.1f}" text-anchor="end">{evidence:g}</text>'
        )
    for token in _ticks(tokens):
        parts.append(
            f'<text class="tick" x="{x(token):.1f}" y="{bottom + 15}" '
            f'text-anchor="middle">{token:,g}</text>'
        )
    parts.append(
        f'<polygon class="area" points="{x(0):.1f},{y(0):.1f} {line} {x(tokens):.1f},{y(0):.1f}"/>'
        f'<polyline class="line" points="{line}"/>'
        f'<line class="threshold" x1="{_LEFT}" x2="{right}" y1="{y(threshold):.1f}" '
        f'y2="{y(threshold):.1f}"/><text class="label" x="{right}" y="{y(threshold) - 5:.1f}" '
        f'text-anchor="end">asked for</text>'
        f'<text class="tick" x="{right}" y="{_HEIGHT - 2}" text-anchor="end">tokens</text>'
        f'<text class="tick" x="2" y="11">-log10 p</text></svg>'
    )
    return "".join(parts)


def _ticks(top: float) -> list[float]:
    for step in (s * 10**e for e in range(8) for s in (1, 2, 5)):
        if top / step <= 5:
            return [step * i for i in range(int(top / step) + 1)]
    return [0]
