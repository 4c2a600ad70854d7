"""From flat branches to tables: found by name, cast without losing anything unseen, joined event by event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from e2edist.errors import EntriesError
from e2edist.imaging.event_batch import (
    OBJECT_COLUMNS,
    OBJECT_KINDS,
    PIXEL_COLUMNS,
    TABLES,
    Array,
    Ragged,
)
from e2edist.imaging.layers import GRIDS

from ._branch_map import TableReader
from ._check_branch import NumberKind, check_branch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from e2edist.imaging.layers import Layer

    from ._branch_map import Branch, JaggedColumn, Request


def find_columns(
    request: Request,
    table: str,
    wanted: frozenset[str],
    names: Mapping[str, Sequence[str]],
    branches: Mapping[str, Any],
) -> dict[str, Branch]:
    """Return column -> branch for those columns of a table that are there.

    Parameters
    ----------
    request : Request
        Its errors take every column that is missing or of another type.
    table : str
        Name in `TABLES`.
    wanted : frozenset of str
        Columns; one more is read for the number of rows where the file has none of them and needs none.
    names : mapping of str to sequence of str
        Column -> names that its branch may have, best first; its own where it is not there.
    branches : mapping of str to object
        Name -> branch of what the file has.
    """
    found: dict[str, Branch] = {}

    def first(column: str) -> str | None:
        return next((name for name in names.get(column, (column,)) if name in branches), None)

    needed = {column for column in wanted if first(column) or not _may_be_missing(table, column)}
    missing: dict[str, Sequence[str]] = {}
    for column in sorted(needed or {next(iter(TABLES[table]))}):
        what, name = f"{table}.{column}", first(column)
        if name is None:
            missing[what] = names.get(column, (column,))
            continue
        kind: NumberKind = "integer" if TABLES.get(table, {}).get(column, "f4")[0] in "iu" else "number"
        if branch := check_branch(branches[name], what, kind, request.errors):
            found[column] = branch
    if missing:
        request.errors.add_all_missing(missing, branches)
    return found


def table_reader(table: str, wanted: frozenset[str], *parts: Mapping[str, Branch]) -> TableReader:
    """Return what reads a table whose columns are branches.

    Parameters
    ----------
    table : str
        Name in `TABLES`.
    wanted : frozenset of str
        Columns.
    parts : mapping of str to Branch
        What `find_columns` gives. Of several parts, the table has the rows of the first, then those of the
        second, and so on, in each event.
    """

    def build(lists: Mapping[str, JaggedColumn]) -> Ragged:
        made = [build_table(table, columns_of(part, lists), wanted) for part in parts]
        return made[0] if len(made) == 1 else join_rows(made)

    branches = dict.fromkeys(branch for part in parts for branch in part.values())
    return TableReader(table, tuple(branches), build)


def columns_of(part: Mapping[str, Branch], lists: Mapping[str, JaggedColumn]) -> dict[str, JaggedColumn]:
    """Return column -> values; columns that lie in the records of an unsplit branch are decoded together.

    Parameters
    ----------
    part : mapping of str to Branch
        What `find_columns` gives.
    lists : mapping of str to JaggedColumn
        What was read of each branch, by its name.

    Raises
    ------
    EntriesError
        A record is not what the file says of it.
    """
    inside: dict[str, dict[str, JaggedColumn]] = {}
    for branch in part.values():
        if branch.inside is not None and branch.name not in inside:
            same = [other for other in part.values() if other.name == branch.name]
            paths = dict.fromkeys(other.inside[1] for other in same)
            inside[branch.name] = branch.inside[0].decode(lists[branch.name], paths)
    return {
        column: inside[branch.name][branch.inside[1]] if branch.inside is not None else lists[branch.name]
        for column, branch in part.items()
    }


def _may_be_missing(table: str, column: str) -> bool:
    """Return whether files need not have a column: those of objects that have a value for it."""
    return table in OBJECT_KINDS and OBJECT_COLUMNS[column].missing is not None


def to_dtype(values: Array, dtype: str, what: str) -> Array:
    """Return `values` in `dtype`, native byte order, contiguous.

    Raises
    ------
    EntriesError
        If an integer does not fit; a float beyond float32 becomes infinite, as in C++.
    """
    wanted = np.dtype(dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        out = np.ascontiguousarray(values, dtype=wanted)
    if wanted.kind in "iu" and not np.can_cast(values.dtype, wanted) and not np.array_equal(out, values):
        raise EntriesError("", f"{what} holds numbers that do not fit into {wanted.name}")
    return out


def build_table(name: str, columns: Mapping[str, JaggedColumn], wanted: frozenset[str]) -> Ragged:
    """Return the table `name` with the columns `wanted`; object columns that may be missing are filled up.

    Parameters
    ----------
    name : str
        Key of `TABLES`.
    columns : mapping of str to JaggedColumn
        At least one; all must have the same rows in each event.
    wanted : frozenset of str
        Columns to return.

    Raises
    ------
    EntriesError
        If two columns disagree on the rows of an event.
    """
    offsets = offsets_of(name, columns)
    types = TABLES[name]
    out = {c: to_dtype(columns[c].data, types[c], f"{name}.{c}") for c in sorted(wanted & columns.keys())}
    for column in sorted(wanted - columns.keys()):
        missing = OBJECT_COLUMNS[column].missing
        out[column] = np.full(offsets[-1], np.nan if missing is None else missing, dtype=types[column])
    return Ragged(offsets, out)


def offsets_of(name: str, columns: Mapping[str, JaggedColumn]) -> Array:
    """Return the row ranges of events in a table, which all columns have; EntriesError if one has others."""
    first, lists = next(iter(columns.items()))
    for column, other in columns.items():
        if not np.array_equal(other.offsets, lists.offsets):
            what = f"{name}.{first} and {name}.{column} have different numbers of rows in an event"
            raise EntriesError("", what)
    return lists.offsets


def build_pixels(layer: Layer, offsets: Array, row: Array, col: Array, value: Array) -> Ragged:
    """Return the pixel table of a layer from numbers of any type; pixels of row -1 or value 0 are left out.

    Parameters
    ----------
    layer : Layer
        An entry of `LAYERS`, or `HBHE_DEPTH1`.
    offsets : int64, shape (events + 1,)
    row, col, value : shape (pixels,)
        Places on the layer's grid.

    Raises
    ------
    EntriesError
        A pixel is outside the grid.
    """
    rows, columns = GRIDS[layer.grid]
    keep = (row >= 0) & (value != 0)
    if np.any(keep & ((row >= rows) | (col < 0) | (col >= columns))):
        raise EntriesError("", f"pixels of {layer.name} are outside its {rows}x{columns} grid")
    kept = np.concatenate([[0], np.cumsum(keep, dtype=np.int64)])[offsets]
    values = {"row": row, "col": col, "value": value}
    return Ragged(kept, {name: values[name][keep].astype(dtype) for name, dtype in PIXEL_COLUMNS.items()})


def join_rows(tables: Sequence[Ragged]) -> Ragged:
    """Return one table that has, in each event, the rows of the first table, then those of the next."""
    offsets = np.sum([table.offsets for table in tables], axis=0)
    columns = {name: np.empty(offsets[-1], values.dtype) for name, values in tables[0].columns.items()}
    begins = offsets[:-1].copy()
    for table in tables:
        counts = table.counts()
        places = np.arange(table.rows) + np.repeat(begins - table.offsets[:-1], counts)
        begins += counts
        for name, values in columns.items():
            values[places] = table[name]
    return Ragged(offsets, columns)
