"""Which tokens of a long text a page shows."""

from __future__ import annotations

from collections.abc import Sequence

from countermark._core import Region, TracedRegion

MOST_TOKENS = 20_000
_BEGINNING = 5_000
_AROUND = 100  # tokens before and after a part
_ENDS = 2_000  # of a long part its beginning and its end


def excerpts(tokens: int, regions: Sequence[Region | TracedRegion]) -> list[range]:
    """Return ranges of tokens: all, or the strongest parts and what is around them."""
    if tokens <= MOST_TOKENS:
        return [range(tokens)]
    wanted: list[range] = []
    left = MOST_TOKENS
    for region in sorted(regions, key=lambda region: region.log10_p):
        begin, end = max(0, region.begin - _AROUND), min(tokens, region.end + _AROUND)
        pieces = [range(begin, end)]
        if end - begin > 2 * _ENDS:
            pieces = [range(begin, begin + _ENDS), range(end - _ENDS, end)]
        left -= sum(map(len, pieces))
        if left < 0:
            break
        wanted += pieces
    return _merged(wanted) or [range(_BEGINNING)]


def _merged(ranges: list[range]) -> list[range]:
    merged: list[range] = []
    for piece in sorted(ranges, key=lambda piece: piece.start):
        if merged and piece.start <= merged[-1].stop:
            merged[-1] = range(merged[-1].start, max(merged[-1].stop, piece.stop))
        else:
            merged.append(piece)
    return merged
