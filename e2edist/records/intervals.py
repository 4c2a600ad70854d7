"""Half-open ranges of entries: what they hold together, what they leave, which to take where they overlap."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import NamedTuple


class Range(NamedTuple):
    """Entries of one file, half-open; an empty one stands for a file without entries."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        """Number of entries."""
        return self.stop - self.start

    def halves(self) -> tuple[Range, Range]:
        """Return the two halves of at least two entries."""
        middle = (self.start + self.stop) // 2
        return Range(self.start, middle), Range(middle, self.stop)

    def clip(self, start: int, stop: int) -> Range:
        """Return the part of it from `start` to `stop`, with which it overlaps."""
        return Range(max(self.start, start), min(self.stop, stop))


def union(ranges: Iterable[Range]) -> list[Range]:
    """Return the entries of `ranges` as few ranges that do not touch, in order; empty ranges are left out."""
    joined: list[Range] = []
    for start, stop in sorted(ranges):
        if start == stop:
            continue
        if joined and start <= joined[-1].stop:
            joined[-1] = Range(joined[-1].start, max(joined[-1].stop, stop))
        else:
            joined.append(Range(start, stop))
    return joined


def gaps(whole: Range, ranges: Iterable[Range]) -> Iterator[Range]:
    """Yield the entries of `whole` that `ranges` do not hold, in order."""
    at = whole.start
    for start, stop in union(ranges):
        if at < min(start, whole.stop):
            yield Range(at, min(start, whole.stop))
        at = max(at, stop)
    if at < whole.stop:
        yield Range(at, whole.stop)


def is_covered(whole: Range, joined: Sequence[Range]) -> bool:
    """Return whether every entry of `whole`, which is not empty, is in one of `joined`, a `union`."""
    # Only the last one that does not begin behind `whole` can hold it.
    at = bisect_left(joined, (whole.start + 1, 0)) - 1
    return at >= 0 and whole.stop <= joined[at].stop


def inside(whole: Range, ordered: Sequence[Range]) -> list[Range]:
    """Return those of `ordered`, which is sorted, that lie inside `whole`."""
    edges = (whole.start, max(whole.stop, whole.start + 1))
    first, last = (bisect_left(ordered, (edge, 0)) for edge in edges)
    return [one for one in ordered[first:last] if one.stop <= whole.stop]


def best_cover(ranges: Iterable[Range], preferred: Container[Range] = ()) -> list[Range]:
    """Return ranges that do not overlap and hold as many entries as possible, in order.

    Parameters
    ----------
    preferred : container of Range
        Where several choices hold as many entries, one with few others than these is taken, and of those one
        with few ranges.
    """
    ordered = sorted(set(ranges), key=lambda one: (one.stop, one.start))
    stops = [one.stop for one in ordered]
    # best[i]: entries, minus the other ranges, minus all ranges, of the best choice among the first i
    best, before = [(0, 0, 0)], []
    for i, one in enumerate(ordered):
        before.append(bisect_right(stops, one.start, 0, i))
        entries, others, count = best[before[i]]
        best.append(max(best[i], (entries + one.size, others - (one not in preferred), count - 1)))
    chosen, i = list[Range](), len(ordered)
    while i:
        if best[i] == best[i - 1]:
            i -= 1
        else:
            chosen.append(ordered[i - 1])
            i = before[i - 1]
    return chosen[::-1]
