"""From flat branches to tables: casts that lose nothing unseen, and tables glued event by event."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from e2edist.errors import EntriesError
from e2edist.imaging.event_batch import OBJECT_COLUMNS, OBJECT_KINDS, TABLES, Array, Ragged

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._branch_map import JaggedColumn


def cast(values: Array, dtype: str, what: str) -> Array:
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


def may_be_missing(table: str, column: str) -> bool:
    """Return whether files need not have a column: those of objects that have a value for it."""
    return table in OBJECT_KINDS and OBJECT_COLUMNS[column].missing is not None


def missing_value(column: str) -> str:
    """Return what stands in a column where the file has none, for the provenance."""
    value = OBJECT_COLUMNS[column].missing if column in OBJECT_COLUMNS else None
    return "" if value is None else f"{value:g}"


def table(name: str, columns: Mapping[str, JaggedColumn], wanted: frozenset[str]) -> Ragged:
    """Return the table `name` with the columns `wanted`; object columns that may be missing are filled up.

    Parameters
    ----------
    name : str
        Key of `TABLES`.
    columns : mapping of str to Lists
        At least one; all must have the same rows in each event.
    wanted : frozenset of str
        Columns to return.

    Raises
    ------
    EntriesError
        If two columns disagree on the rows of an event.
    """
    first, lists = next(iter(columns.items()))
    for column, other in columns.items():
        if not np.array_equal(other.offsets, lists.offsets):
            what = f"{name}.{first} and {name}.{column} have different numbers of rows in an event"
            raise EntriesError("", what)
    types = TABLES[name]
    out = {c: cast(columns[c].data, types[c], f"{name}.{c}") for c in sorted(wanted & columns.keys())}
    for column in sorted(wanted - columns.keys()):
        missing = OBJECT_COLUMNS[column].missing
        out[column] = np.full(len(lists.data), np.nan if missing is None else missing, dtype=types[column])
    return Ragged(lists.offsets, out)


def glue(first: Ragged, second: Ragged) -> Ragged:
    """Return one table that has, in each event, the rows of `first` followed by those of `second`."""
    counts, more = first.counts(), second.counts()
    offsets = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts + more, out=offsets[1:])
    where = np.arange(first.rows) + np.repeat(offsets[:-1] - first.offsets[:-1], counts)
    where_more = np.arange(second.rows) + np.repeat(offsets[:-1] + counts - second.offsets[:-1], more)
    columns = {}
    for name, values in first.columns.items():
        merged = np.empty(first.rows + second.rows, dtype=values.dtype)
        merged[where], merged[where_more] = values, second[name]
        columns[name] = merged
    return Ragged(offsets, columns)
