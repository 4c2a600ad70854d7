"""Branches to arrays: from their baskets where that can be, else by uproot; and which baskets are damaged."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from e2edist.errors import EntriesError, InputError, guarded

from ._baskets import Baskets, has_bytes, read_baskets, responds
from ._branch_map import Branch, JaggedColumn
from ._only_root_reads import reading
from ._uproot import uproot

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ._branch_map import Fold

DAMAGED = "The file is damaged or of a kind that uproot can't read: copy or make it again, or leave it out"
#: A branch that is folded is read in pieces of whole baskets of about so many uncompressed bytes.
_PIECE_BYTES = 8 << 20


class _OutOfReachError(Exception):
    """The bytes of a basket can't be had: a disk or a network fails, or they are beyond the end."""


class ColumnReader:
    """The branches of one open file that are read together.

    Parameters
    ----------
    directory, tree : object
        Of uproot.
    branches : sequence of Branch
    """

    def __init__(self, directory: Any, tree: Any, branches: Sequence[Branch]) -> None:
        self._directory, self._tree, self._branches = directory, tree, branches
        self._baskets: dict[str, Baskets | None] = {}

    def read(
        self, where: str, start: int, stop: int, branches: Sequence[Branch] = ()
    ) -> dict[str, JaggedColumn]:
        """Return branch name -> its values for the entries ``start:stop``, of some `branches` or of all.

        Raises
        ------
        EntriesError
            The bytes are damaged; it has the ranges of the baskets that are.
        InputError
            They can't be had now.
        """
        try:
            with reading(where, "can't be read", DAMAGED, EntriesError):
                return self._read(branches or self._branches, start, stop)
        except EntriesError as error:
            # What a format says of the entries that it folds has no place yet.
            placed = error.placed(where, DAMAGED, 0)
            raise self._explained(placed, start, stop) from error.__cause__

    def _read(self, branches: Sequence[Branch], start: int, stop: int) -> dict[str, JaggedColumn]:
        found = self._whole([branch for branch in branches if branch.fold is None], start, stop)
        folded = {b.name: self._folded(b, b.fold, start, stop) for b in branches if b.fold is not None}
        return found | folded

    def _folded(self, branch: Branch, fold: Fold, start: int, stop: int) -> JaggedColumn:
        """Return what is kept of a branch, of which no more than a piece is in memory."""
        parts = [
            fold(self._whole([branch], low, high)[branch.name], low)
            for low, high in _pieces(branch.source, start, stop)
        ]
        if len(parts) == 1:
            return parts[0]
        offsets = np.zeros(stop - start + 1, np.int64)
        np.cumsum(np.concatenate([np.diff(part.offsets) for part in parts]), out=offsets[1:])
        return JaggedColumn(offsets, np.concatenate([part.data for part in parts]))

    def _whole(self, branches: Sequence[Branch], start: int, stop: int) -> dict[str, JaggedColumn]:
        found: dict[str, JaggedColumn] = {}
        if stop > start:
            plain = [baskets for branch in branches if (baskets := self._plain(branch))]
            found = read_baskets(plain, start, stop)
        rest = [branch for branch in branches if branch.name not in found]
        return found | (read_by_uproot(self._tree, rest, start, stop) if rest else {})

    def _plain(self, branch: Branch) -> Baskets | None:
        """Return the baskets of a branch; None where they are for uproot alone."""
        if branch.name not in self._baskets:
            try:
                self._baskets[branch.name] = Baskets(branch)
            except (ValueError, LookupError):  # a kind of branch that uproot alone can read, or say why not
                self._baskets[branch.name] = None
        return self._baskets[branch.name]

    def _explained(self, error: EntriesError, start: int, stop: int) -> InputError:
        """Return what to raise for a range that fails: whether its bytes are bad, or can't be had now."""
        try:
            error.ranges = self._bad_ranges(start, stop)
        except _OutOfReachError:
            pass
        else:
            return error
        if responds(self._directory):  # these bytes alone: smaller ranges will tell which
            return error
        return InputError(error.where, error.what, "Check the disk or the network", retryable=True)

    def _bad_ranges(self, start: int, stop: int) -> tuple[tuple[int, int], ...]:
        """Return the ranges in ``start:stop`` of the baskets that can't be decoded, joined where they touch.

        Raises
        ------
        _OutOfReachError
            Some bytes can't be had at the moment, which says nothing about what they are.
        """
        bad = [
            (max(first, start), min(last, stop))
            for branch in self._branches
            for number, (first, last) in enumerate(pairwise(_edges(branch.source)))
            if max(first, start) < min(last, stop)
            and self._is_bad(branch, number, max(first, start), min(last, stop))
        ]
        joined: list[tuple[int, int]] = []
        for low, high in sorted(bad):
            if joined and low <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
            else:
                joined.append((low, high))
        return tuple(joined)

    def _is_bad(self, branch: Branch, number: int, start: int, stop: int) -> bool:
        """Return whether the entries ``start:stop``, all in one basket, can't be decoded."""
        # If the bytes came: what failed before for the lack of them is tried once more.
        for _ in range(2):
            if self._can_read(branch, start, stop):
                return False
            if not has_bytes(self._directory, branch.source, number):
                raise _OutOfReachError
        return True

    def _can_read(self, branch: Branch, start: int, stop: int) -> bool:
        try:
            with guarded("", "", "", EntriesError):
                self._read([branch], start, stop)
        except EntriesError:
            return False
        return True


def _edges(source: Any) -> list[int]:
    """Return where the baskets of a branch begin and end; as of one basket if its list of them is damaged."""
    try:
        edges = [int(edge) for edge in source.entry_offsets]
    except Exception:  # of uproot, on numbers that do not add up
        edges = []
    return edges if edges[:1] == [0] and edges == sorted(edges) else [0, int(source.num_entries)]


def _pieces(source: Any, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Yield the range of entries ``start:stop`` in pieces that end where baskets do, at least one."""
    most = _PIECE_BYTES * int(source.num_entries) // max(int(source.member("fTotBytes")), 1)
    edges = {edge for edge in map(int, source.entry_offsets) if start < edge < stop}
    first = last = start
    for edge in (*sorted(edges), stop):
        if edge - first > most and last > first:
            yield first, last
            first = last
        last = edge
    yield first, last


def read_by_uproot(tree: Any, branches: Sequence[Branch], start: int, stop: int) -> dict[str, JaggedColumn]:
    """Return branch name -> its values for the entries ``start:stop``, without a loop over events.

    Raises whatever uproot raises on bad bytes, and ValueError if it gives another number of entries.
    """
    for branch in branches:
        _check_counts(branch)
    plain = [branch.name for branch in branches if branch.interpretation is None]
    arrays: dict[str, Any] = {}
    if plain and stop > start:
        arrays = dict(tree.arrays(plain, entry_start=start, entry_stop=stop, how=dict, array_cache=None))
    for branch in branches:
        if branch.interpretation is not None and stop > start:
            arrays[branch.name] = tree[branch.name].array(
                branch.interpretation, entry_start=start, entry_stop=stop, array_cache=None
            )
    return {branch.name: _column(branch, arrays.get(branch.name), stop - start) for branch in branches}


def _check_counts(branch: Branch) -> None:
    """Refuse lists without offsets (ROOT's kGenerateOffsetMap) whose counter has other baskets.

    uproot takes their counts from the counter's basket of the same number, and may give wrong rows.
    """
    source = branch.source
    if branch.scalar or branch.header_bytes or not isinstance(source, uproot.TBranch):
        return
    counter, tree = source.count_branch, source.tree
    if counter is None:
        return
    bits = int(tree.member("fIOFeatures").member("fIOBits")) if tree.has_member("fIOFeatures") else 0
    if bits and source.entry_offsets != counter.entry_offsets:
        what = "has no offsets, and other baskets than its counter: copy it with hadd"
        raise ValueError(f"{branch.name} {what}")


def _column(branch: Branch, array: Any, events: int) -> JaggedColumn:
    if array is None:
        return JaggedColumn(np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.uint8))
    if len(array) != events:
        raise ValueError(f"{branch.name} has {len(array)} entries in a range of {events}")
    if branch.scalar:
        return JaggedColumn(np.arange(events + 1, dtype=np.int64), np.asarray(array.layout.data))
    layout = array.layout.to_ListOffsetArray64(True)  # True: offsets begin at 0
    offsets = np.asarray(layout.offsets.data)
    return JaggedColumn(offsets, np.asarray(layout.content.data)[: offsets[-1]])
