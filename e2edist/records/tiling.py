"""Which parts of a chunk count, where several hold the same entries: those that hold the most together."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Container, Iterable, Iterator

#: Entries, half-open.
Range = tuple[int, int]


def best_tiles(pieces: Iterable[Range], known: Container[Range] = ()) -> list[Range]:
    """Return pieces that do not overlap and hold as many entries as possible, in order.

    Parameters
    ----------
    known : container of (int, int)
        Pieces that count already. Where several choices hold as many entries, one with few others is taken,
        and of those one with few pieces.
    """
    ordered = sorted(set(pieces), key=lambda piece: (piece[1], piece[0]))
    stops = [stop for _, stop in ordered]
    # best[i]: entries, minus the new pieces, minus all pieces, of the best choice among the first i pieces
    best, before = [(0, 0, 0)], []
    for i, (start, stop) in enumerate(ordered):
        before.append(bisect_right(stops, start, 0, i))
        entries, new, count = best[before[i]]
        taken = entries + stop - start, new - ((start, stop) not in known), count - 1
        best.append(max(best[i], taken))
    chosen, i = list[Range](), len(ordered)
    while i:
        if best[i] == best[i - 1]:
            i -= 1
        else:
            chosen.append(ordered[i - 1])
            i = before[i - 1]
    return chosen[::-1]


def gaps(start: int, stop: int, tiles: Iterable[Range]) -> Iterator[Range]:
    """Yield the entries from `start` to `stop` that `tiles`, sorted, do not hold."""
    for first, last in tiles:
        if start < min(first, stop):
            yield start, min(first, stop)
        start = max(start, last)
    if start < stop:
        yield start, stop
