"""Reading events: the branches are found and checked once, then any range of entries can be read."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

import numpy as np

from e2edist.errors import (
    ChangedFileError,
    EntriesError,
    InputError,
    ResourceError,
    guarded,
    unknown_name,
)
from e2edist.imaging.event_batch import TABLES, EventBatch, Ragged, dtypes_of, layer_of
from e2edist.imaging.select_events import select
from e2edist.input_file import FileInfo, InputFile

from ._baskets import MAX_RATIO
from ._branch_map import BranchErrors, BranchMap, Request
from ._column_reader import DAMAGED, ColumnReader
from ._file import OpenTree, open_tree
from ._without_hits import USE_INSTEAD, without_hits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from e2edist.imaging.event_batch import Array, Columns
    from e2edist.imaging.lumi_mask import LumiMask

    from ._branch_map import Branch, JaggedColumn

_GIB = 1024**3
#: A read may take this much without question; beyond it must be in proportion to what is on disk.
_FREE_BYTES = 2 * _GIB
#: Bytes that are kept of a folded branch for each of its compressed ones: a pixel has 8, and is copied once.
_FOLDED = 4


class Reader:
    """Events of one open file, as `open_events` gives it; use it in a ``with`` statement.

    Attributes
    ----------
    info : FileInfo
        What the file is.
    branches : dict of str to tuple of str
        Table -> branches that it is read from.
    """

    def __init__(self, opened: OpenTree, found: BranchMap) -> None:
        self.info: FileInfo = opened.info
        self.branches = {table.table: tuple(b.name for b in table.branches) for table in found.tables}
        self._opened, self._found = opened, found
        # A branch may serve several columns.
        branches = list(dict.fromkeys(branch for table in found.tables for branch in table.branches))
        numbers = found.event_ids.branches if found.event_ids else ()
        self._columns = ColumnReader(
            opened.directory, opened.tree, list(dict.fromkeys([*branches, *numbers]))
        )
        self._branches = branches
        with guarded(f"{self.info.url}:{self.info.tree}", "the sizes of branches can't be read", DAMAGED):
            self._bytes = sum(map(_bytes_in_memory, branches))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._opened.close()

    def bytes_per_event(self) -> float:
        """Return the bytes of the branches that are read, as they are kept, per event; 0 without events."""
        if self.info.entries == 0:
            return 0.0
        return self._bytes / self.info.entries

    def require_lumis(self) -> None:
        """Refuse a file to which no lumi mask can be applied; its first event is looked at.

        Raises
        ------
        InputError
            Run and luminosity block are not there in readable form.
        """
        if self.info.entries:
            self._read_lumis(f"{self.info.url}:{self.info.tree}", 0, 1)

    def read(self, start: int, stop: int, mask: LumiMask | None = None) -> EventBatch:
        """Return the half-open range of entries ``start:stop``.

        Parameters
        ----------
        mask : LumiMask, optional
            Events that are not in it have no rows in any table. Where none is, only the numbers of the events
            are read.

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
        if mask is not None and stop > start:
            return self._read_masked(where, start, stop, mask)
        lists = self._columns.read(where, start, stop)
        with _of_range(where, start):
            tables = self._build(lists)
            numbers, notes = self._event_ids(lists)
        return EventBatch(start, stop, tables, **numbers, notes=notes)

    def _read_masked(self, where: str, start: int, stop: int, mask: LumiMask) -> EventBatch:
        numbers, notes = self._read_lumis(where, start, stop)
        wanted = mask.contains(numbers["run"], numbers["lumi"])
        if wanted.any():
            lists = self._columns.read(where, start, stop, self._branches)
            with _of_range(where, start):
                tables = self._build(lists)
        else:
            nothing = self._build(self._columns.read(where, start, start))
            offsets = np.zeros(stop - start + 1, np.int64)
            tables = {name: Ragged(offsets, table.columns) for name, table in nothing.items()}
        batch = EventBatch(start, stop, tables, **numbers, notes=notes, in_mask=wanted)
        return select(batch, wanted)

    def _read_lumis(self, where: str, start: int, stop: int) -> tuple[dict[str, Array], tuple[str, ...]]:
        """Return the numbers of some events, run and lumi among them, and notes on what is not there.

        Raises
        ------
        EntriesError
            Run or lumi are not there, or the bytes are damaged.
        """
        event_ids = self._found.event_ids
        lists = self._columns.read(where, start, stop, event_ids.branches) if event_ids else {}
        with _of_range(where, start):
            numbers, notes = self._event_ids(lists)
        known = {name: values for name, values in numbers.items() if values is not None}
        if not {"run", "lumi"} <= known.keys():
            why = [note for note in notes if note.startswith(("run", "lumi", "event"))] or notes
            what = f"has no readable run and luminosity block for the lumi mask ({'; '.join(why)})"
            raise EntriesError(where, what, "Leave it out, or run it without --lumi-mask")
        return known, notes

    def _build(self, lists: Mapping[str, JaggedColumn]) -> dict[str, Ragged]:
        return {table.table: table.build(lists) for table in self._found.tables}

    def _event_ids(
        self, lists: Mapping[str, JaggedColumn]
    ) -> tuple[dict[str, Array | None], tuple[str, ...]]:
        """Return run, lumi and event as far as the file has them, and a note on what it has not."""
        event_ids, notes = self._found.event_ids, self._found.notes
        if event_ids is None:
            return {}, notes or ("run, lumi, event: the format finds none",)
        found = event_ids.decode(lists)
        odd = [key for key, values in found.items() if values is None]
        names = ", ".join(branch.name for branch in event_ids.branches)
        return found, notes + ((f"{', '.join(odd)}: not understood in {names}",) if odd else ())

    def _check_memory(self, where: str, start: int, stop: int) -> None:
        share = (stop - start) / max(self.info.entries, 1)
        needed = share * self._bytes + 8.0 * (stop - start) * len(self._branches)
        if needed > _FREE_BYTES and needed > MAX_RATIO * self.info.size:
            what = f"would need {needed / _GIB:.1f} GiB from a file of {self.info.size} bytes"
            raise ResourceError(where, what, "The file is most likely damaged: leave it out")


@contextmanager
def _of_range(where: str, first: int) -> Iterator[None]:
    """Say of which entries a format speaks, which knows neither the file nor where its lists begin."""
    try:
        yield
    except EntriesError as error:
        raise error.placed(where, DAMAGED, first) from error


def _bytes_in_memory(branch: Branch) -> int:
    """Return the bytes of all entries: uncompressed, or of a folded branch about those that are kept.

    What is kept of images are pixels that are not zero, which are most of the compressed bytes too.
    """
    if branch.fold is None:
        return int(branch.source.member("fTotBytes"))
    return _FOLDED * int(branch.source.member("fZipBytes"))


def open_events(
    file: InputFile | str,
    columns: Columns,
    collections: Mapping[str, tuple[str, ...]] | None = None,
    *,
    format: str | None = None,  # noqa: A002
    tree: str | None = None,
) -> Reader:
    """Open a file for reading `columns`; every branch is found and checked before this returns.

    Parameters
    ----------
    file : InputFile or str
        A url or path; or what `inspect` returned: the file must still be that one.
    columns : mapping of str to frozenset of str
        Table -> columns, names as in `TABLES`, and `pixel_table` of layers: which a format gives, hits or
        pixels, is its own. Object columns that may be missing are filled up.
    collections : mapping of str to tuple of str, optional
        Table (or "vertices") -> labels in order of preference, as a tagger file has them.
    format, tree : str, optional
        Found out where not given.

    Raises
    ------
    InputError
        The file can't be used: BranchError, UnsplitError (both name all faults), ChangedFileError.
    UnknownNameError
        There is no such table, column, collection or format.
    """
    _check_request(columns, collections or {})
    if isinstance(file, InputFile):
        edges = file.edges if isinstance(file, FileInfo) else ()  # a chunk is not cut further
        opened = open_tree(file.url, format or file.format, tree or file.tree, edges)
    else:
        opened = open_tree(file, format, tree)
    try:
        _check_same(opened.info, file)
        return Reader(opened, _map_branches(opened, columns, collections or {}))
    except BaseException:
        opened.close()
        raise


def _map_branches(
    opened: OpenTree, columns: Columns, collections: Mapping[str, tuple[str, ...]]
) -> BranchMap:
    """Return the branches for `columns`, or raise one error that names every one that fails."""
    errors = BranchErrors(f"{opened.info.url}:{opened.info.tree}")
    layers = frozenset(filter(None, map(layer_of, columns)))
    tables = {name: wanted for name, wanted in columns.items() if not layer_of(name)}
    request = Request(opened.tree, tables, collections, errors, layers)
    found = opened.format.map_branches(request)
    if errors.messages and (cause := without_hits(request.branches)):
        errors.add_cause(cause, USE_INSTEAD)
    errors.raise_if_any()
    return found


def _check_request(columns: Columns, collections: Mapping[str, tuple[str, ...]]) -> None:
    for name, wanted in columns.items():
        if name not in TABLES and not layer_of(name):
            raise unknown_name("table", name, TABLES)
        for column in sorted(wanted - dtypes_of(name).keys()):
            raise unknown_name(f"column of {name}", column, dtypes_of(name))
    for name in collections:
        if name not in TABLES and name != "vertices":
            raise unknown_name("collection", name, [*TABLES, "vertices"])


def _check_same(found: InputFile, expected: InputFile | str) -> None:
    """Refuse another file than the one that was described; a name describes any."""
    if isinstance(expected, str):
        return
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
