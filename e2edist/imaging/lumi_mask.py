"""Masks of luminosity blocks: which events count, by run and luminosity block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
#: Run -> ranges (first, last) of its luminosity blocks, both of them included, as CMS writes them.
LumiRanges = Mapping[int, Iterable[tuple[int, int]]]
_LUMI_BITS, _LUMI = np.uint64(32), np.uint64(0xFFFFFFFF)


@dataclass(frozen=True, slots=True, eq=False)
class LumiMask:
    """Luminosity blocks as sorted ranges that neither touch nor overlap.

    Attributes
    ----------
    first, last : uint64, shape (ranges,)
        Ends of the ranges, both included, as ``run << 32 | lumi``.
    """

    first: Array
    last: Array

    @classmethod
    def of(cls, ranges: LumiRanges) -> Self:
        """Return the mask of some ranges, in any order."""
        merged = [(run, *one) for run in sorted(ranges) for one in merge_ranges(ranges[run])]
        runs, first, last = np.array(merged, np.uint64).reshape(-1, 3).T
        return cls(_keys(runs, first), _keys(runs, last))

    def contains(self, run: Array, lumi: Array) -> Array:
        """Return which events are in the mask, bool, shape (events,).

        Parameters
        ----------
        run, lumi : uint32, shape (events,)
        """
        keys = _keys(run, lumi)
        at = np.searchsorted(self.first, keys, side="right")
        # The range that begins at or before the event, if there is one, decides.
        return np.asarray((at > 0) & (keys <= np.append(self.last, np.uint64(0))[at - 1]))


def merge_ranges(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the same numbers in as few ranges as there can be, in order.

    >>> merge_ranges([(5, 6), (1, 3), (2, 4), (8, 8)])
    [(1, 6), (8, 8)]
    """
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(last, merged[-1][1])
        else:
            merged.append((first, last))
    return merged


def lumis_of(run: Array, lumi: Array) -> dict[str, list[tuple[int, int]]]:
    """Return the luminosity blocks of some events: run -> merged ranges, as in a lumi mask of CMS.

    Parameters
    ----------
    run, lumi : uint32, shape (events,)
    """
    found: dict[str, list[tuple[int, int]]] = {}
    for number, first, last in _ranges(np.unique(_keys(run, lumi))):
        found.setdefault(str(number), []).append((first, last))
    return found


def _ranges(keys: Array) -> Iterator[tuple[int, int, int]]:
    """Yield (run, first, last) of the ranges that sorted keys make."""
    ends = (np.diff(keys) > 1) | (np.diff(keys >> _LUMI_BITS) > 0)
    for some in np.split(keys, np.flatnonzero(ends) + 1):
        if len(some):
            yield int(some[0] >> _LUMI_BITS), int(some[0] & _LUMI), int(some[-1] & _LUMI)


def _keys(run: Array, lumi: Array) -> Array:
    return np.asarray(run.astype(np.uint64) << _LUMI_BITS | lumi.astype(np.uint64))
