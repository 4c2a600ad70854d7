"""Reading events: the branches are found and checked once, then any range of entries can be read."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from e2edist.errors import (
    ChangedFileError,
    EntriesError,
    InputError,
    ResourceError,
    guarded,
    unknown_name,
)
from e2edist.imaging.event_batch import TABLES, EventBatch

from ._baskets import MAX_RATIO, Baskets, answers, has_bytes, read_baskets
from ._branch_map import BranchErrors, BranchMap, JaggedColumn, Leaf, Request, uproot
from ._file import FileInfo, OpenTree, open_tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from e2edist.imaging.event_batch import Array, Columns

_GIB = 1024**3
#: A read may take this much without question; beyond it must be in proportion to what is on disk.
_FREE_BYTES = 2 * _GIB
_DAMAGED = "The file is damaged or of a kind that uproot can't read: copy or make it again, or leave it out"


class _OutOfReachError(Exception):
    """The bytes of a basket can't be had: a disk or a network fails, or they are beyond the end."""


class Reader:
    """Events of one open file, as `open_events` gives it; use it in a ``with`` statement.

    Attributes
    ----------
    info : FileInfo
        What the file is.
    branches : dict of str to str
        ``table.column`` -> branches it is read from, for the provenance.
    """

    def __init__(self, opened: OpenTree, binding: BranchMap) -> None:
        self.info: FileInfo = opened.info
        self.branches: dict[str, str] = {
            f"{source.table}.{column}": names
            for source in binding.sources
            for column, names in source.matched.items()
        }
        self._opened = opened
        self._binding = binding
        self._leaves = list(dict.fromkeys(one for source in binding.sources for one in source.leaves))
        numbers = binding.numbers.leaves if binding.numbers else ()
        self._all_leaves = list(dict.fromkeys([*self._leaves, *numbers]))
        self._baskets: dict[str, Baskets | None] = {}
        with guarded(f"{self.info.url}:{self.info.tree}", "the sizes of branches can't be read", _DAMAGED):
            self._bytes = sum(int(one.branch.member("fTotBytes")) for one in self._leaves)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._opened.close()

    def bytes_per_event(self) -> float:
        """Return the uncompressed bytes of the branches that are read, per event; 0 without events."""
        if self.info.entries == 0:
            return 0.0
        return self._bytes / self.info.entries

    def read(self, start: int, stop: int) -> EventBatch:
        """Return the half-open range of entries ``start:stop``.

        Raises
        ------
        InputError
            If the range is not in the file.
        EntriesError
            If the bytes there are damaged, or hold what a table can't.
        ResourceError
            If the file asks for absurdly much memory.
        Exception
            What a format's own code raises is a bug of it.
        """
        info = self.info
        where = f"{info.url}:{info.tree} entries {start}-{stop}"
        if not 0 <= start <= stop <= info.entries:
            raise InputError(
                where, f"the tree has entries 0-{info.entries}", "The file is not the one planned"
            )
        self._check_memory(where, start, stop)
        try:
            with guarded(where, "can't be read", _DAMAGED, EntriesError):
                lists = self._lists(self._all_leaves, start, stop)
        except EntriesError as error:
            raise self._explained(error, start, stop) from error.__cause__
        try:
            tables = {source.table: source.build(lists) for source in self._binding.sources}
        except EntriesError as error:  # by a format, which does not know where
            raise EntriesError(error.where or where, error.what, error.todo or _DAMAGED) from error
        numbers, notes = self._event_numbers(lists)
        return EventBatch(start, stop, tables, **numbers, notes=notes)

    def _lists(self, leaves: Iterable[Leaf], start: int, stop: int) -> dict[str, JaggedColumn]:
        """Return branch name -> its values, from the baskets where that can be, else from uproot."""
        leaves = list(leaves)
        found: dict[str, JaggedColumn] = {}
        if stop > start:
            plain = [baskets for one in leaves if (baskets := self._plain(one))]
            found = read_baskets(plain, start, stop)
        rest = [one for one in leaves if one.name not in found]
        return found | (read_leaves(self._opened.tree, rest, start, stop) if rest else {})

    def _plain(self, leaf: Leaf) -> Baskets | None:
        """Return the baskets of a branch; None where they are for uproot alone."""
        if leaf.name not in self._baskets:
            try:
                self._baskets[leaf.name] = Baskets(leaf)
            except (ValueError, LookupError):  # a kind of branch that uproot alone can read, or say why not
                self._baskets[leaf.name] = None
        return self._baskets[leaf.name]

    def _explained(self, error: EntriesError, start: int, stop: int) -> InputError:
        """Return what to raise for a range that fails: whether its bytes are bad, or can't be had now."""
        try:
            error.ranges = self._bad_baskets(start, stop)
        except _OutOfReachError:
            pass
        else:
            return error
        if answers(self._opened.directory):  # these bytes alone: smaller ranges will tell which
            return error
        return InputError(error.where, error.what, "Check the disk or the network", retryable=True)

    def _bad_baskets(self, start: int, stop: int) -> tuple[tuple[int, int], ...]:
        """Return the ranges in ``start:stop`` of the baskets that can't be decoded, joined where they touch.

        Raises
        ------
        _OutOfReachError
            Some bytes can't be had at the moment, which says nothing about what they are.
        """
        bad: list[tuple[int, int]] = []
        for one in self._all_leaves:
            edges = [int(edge) for edge in one.branch.entry_offsets]
            for number, (first, last) in enumerate(pairwise(edges)):
                low, high = max(first, start), min(last, stop)
                if low < high and not self._reads(one, low, high):
                    self._need_bytes(one, number)
                    # The bytes came: what failed before for the lack of them is tried once more.
                    if not self._reads(one, low, high):
                        self._need_bytes(one, number)
                        bad.append((low, high))
        joined: list[tuple[int, int]] = []
        for low, high in sorted(bad):
            if joined and low <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
            else:
                joined.append((low, high))
        return tuple(joined)

    def _need_bytes(self, leaf: Leaf, number: int) -> None:
        if not has_bytes(self._opened.directory, leaf.branch, number):
            raise _OutOfReachError

    def _reads(self, leaf: Leaf, start: int, stop: int) -> bool:
        try:
            with guarded("", "", "", EntriesError):
                self._lists([leaf], start, stop)
        except EntriesError:
            return False
        return True

    def _event_numbers(
        self, lists: Mapping[str, JaggedColumn]
    ) -> tuple[dict[str, Array | None], tuple[str, ...]]:
        """Return run, lumi and event as far as the file has them, and a note on what it has not."""
        numbers, notes = self._binding.numbers, self._binding.notes
        if numbers is None:
            return {}, notes or ("run, lumi, event: the format finds none",)
        found = numbers.decode(lists)
        odd = [key for key, values in found.items() if values is None]
        names = ", ".join(leaf.name for leaf in numbers.leaves)
        return found, notes + ((f"{', '.join(odd)}: not understood in {names}",) if odd else ())

    def _check_memory(self, where: str, start: int, stop: int) -> None:
        share = (stop - start) / max(self.info.entries, 1)
        needed = share * self._bytes + 8.0 * (stop - start) * len(self._leaves)
        if needed > _FREE_BYTES and needed > MAX_RATIO * self.info.size:
            what = f"would need {needed / _GIB:.1f} GiB from a file of {self.info.size} bytes"
            raise ResourceError(where, what, "The file is most likely damaged: leave it out")


def read_leaves(tree: Any, leaves: Iterable[Leaf], start: int, stop: int) -> dict[str, JaggedColumn]:
    """Return branch name -> its values for the entries ``start:stop``, without a loop over events.

    Raises whatever uproot raises on bad bytes, and ValueError if it gives another number of entries.
    """
    leaves = list(leaves)
    for one in leaves:
        _check_counts(one)
    plain = [one.name for one in leaves if one.interpretation is None]
    arrays: dict[str, Any] = {}
    if plain and stop > start:
        arrays = dict(tree.arrays(plain, entry_start=start, entry_stop=stop, how=dict, array_cache=None))
    for one in leaves:
        if one.interpretation is not None and stop > start:
            arrays[one.name] = tree[one.name].array(
                one.interpretation, entry_start=start, entry_stop=stop, array_cache=None
            )
    return {one.name: _lists(one, arrays.get(one.name), stop - start) for one in leaves}


def _check_counts(one: Leaf) -> None:
    """Refuse lists without offsets (ROOT's kGenerateOffsetMap) whose counter has other baskets.

    uproot takes their counts from the counter's basket of the same number, and may give wrong rows.
    """
    branch = one.branch
    if one.scalar or one.header or not isinstance(branch, uproot.TBranch) or branch.count_branch is None:
        return
    tree = branch.tree
    bits = int(tree.member("fIOFeatures").member("fIOBits")) if tree.has_member("fIOFeatures") else 0
    if bits and branch.entry_offsets != branch.count_branch.entry_offsets:
        raise ValueError(f"{one.name} has no offsets, and other baskets than its counter: copy it with hadd")


def _lists(one: Leaf, array: Any, events: int) -> JaggedColumn:
    if array is None:
        return JaggedColumn(np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.uint8))
    if len(array) != events:
        raise ValueError(f"{one.name} has {len(array)} entries in a range of {events}")
    if one.scalar:
        return JaggedColumn(np.arange(events + 1, dtype=np.int64), np.asarray(array.layout.data))
    layout = array.layout.to_ListOffsetArray64(True)  # True: offsets begin at 0
    offsets = np.asarray(layout.offsets.data)
    return JaggedColumn(offsets, np.asarray(layout.content.data)[: offsets[-1]])


def open_events(
    file: FileInfo | str,
    columns: Columns,
    collections: Mapping[str, tuple[str, ...]] | None = None,
    *,
    format: str | None = None,  # noqa: A002
    tree: str | None = None,
    expect: FileInfo | None = None,
) -> Reader:
    """Open a file for reading `columns`; every branch is found and checked before this returns.

    Parameters
    ----------
    file : FileInfo or str
        A url or path; or what `inspect` said, which then is also what the file must still be.
    columns : mapping of str to frozenset of str
        Table -> columns, names as in `imaging.batch.TABLES`. ``label`` is -1 where the file has none.
    collections : mapping of str to tuple of str, optional
        Table (or "vertices") -> labels in order of preference, for any format: an EDM label
        (``ak4PFJetsCHS``, ``label:instance:PROCESS``) or the prefix of a hit ntuple (``PFJet``).
    format, tree : str, optional
        Found out where not given.
    expect : FileInfo, optional
        What was planned.

    Raises
    ------
    InputError
        If the file can't be used: BranchError, UnsplitError (both name all faults), ChangedFileError.
    UnknownNameError
        If a table, column, collection or format does not exist.
    """
    _check_request(columns, collections or {})
    planned = expect
    if isinstance(file, FileInfo):
        planned = expect or file
        format, tree, file = format or file.format, tree or file.tree, file.url  # noqa: A001
    opened = open_tree(file, format, tree, planned.edges if planned else None)
    try:
        if planned is not None:
            _check_same(opened.info, planned)
        return Reader(opened, _bind(opened, columns, collections or {}))
    except BaseException:
        opened.close()
        raise


def _bind(opened: OpenTree, columns: Columns, collections: Mapping[str, tuple[str, ...]]) -> BranchMap:
    """Return the branches for `columns`, or raise one error that names every one that fails."""
    where = f"{opened.info.url}:{opened.info.tree}"
    request = Request(opened.tree, columns, collections, BranchErrors(where))
    binding: BranchMap = opened.module.bind(request)
    request.faults.check()
    return binding


def _check_request(columns: Columns, collections: Mapping[str, tuple[str, ...]]) -> None:
    for name, wanted in columns.items():
        if name not in TABLES:
            raise unknown_name("table", name, TABLES)
        for column in sorted(wanted - TABLES[name].keys()):
            raise unknown_name(f"column of {name}", column, TABLES[name])
    for name in collections:
        if name not in TABLES and name != "vertices":
            raise unknown_name("collection", name, [*TABLES, "vertices"])


def _check_same(found: FileInfo, expected: FileInfo) -> None:
    pairs = {
        key: (getattr(expected, key), getattr(found, key))
        for key in ("uuid", "size", "entries")
        if getattr(expected, key) != getattr(found, key)
    }
    if pairs:
        what = ", ".join(f"{key} was {was}, is {now}" for key, (was, now) in pairs.items())
        raise ChangedFileError(
            found.url, f"changed since it was planned: {what}", "Plan a new campaign for it"
        )
