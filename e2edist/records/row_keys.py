"""The order of rows, by their key: file, entry, kind, place in the collection."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

#: What makes a row unique within its file.
KEY = ("entry", "kind", "object")


def in_order(rows: pa.Table) -> pa.Table:
    """Return the rows of one file in ascending order of `KEY`; as they are where they lie so already."""
    keys = _keys(rows)
    if _ascending(keys).all():
        return rows
    return rows.take(pc.sort_indices(keys, [(name, "ascending") for name in KEY]))


def key_fault(rows: pa.Table, uuid: str, start: int, stop: int) -> str:
    """Return what is wrong with the keys of a part's rows, which are in order; empty if nothing is.

    Parameters
    ----------
    uuid : str
        Of the file that they should be of.
    start, stop : int
        Entries that they should be of, half-open.
    """
    if not len(rows):
        return ""
    keys = _keys(rows)
    if not _ascending(keys).all():
        return "has two rows of one key"
    first, last = keys["entry"][0].as_py(), keys["entry"][-1].as_py()
    if first < start or last >= stop:
        return f"has rows of entries {first}-{last}, which are not its own"
    if pc.unique(_decoded(rows["uuid"])).to_pylist() != [uuid]:
        return "has rows of another file"
    return ""


def _keys(rows: pa.Table) -> pa.Table:
    return pa.table({name: _decoded(rows[name]) for name in KEY})


def _decoded(column: Any) -> Any:
    kind = column.type
    return column.cast(kind.value_type) if pa.types.is_dictionary(kind) else column


def _ascending(keys: pa.Table) -> Any:
    """Return for each row but the first whether its key is above that of the row before."""
    above = np.zeros(max(0, len(keys) - 1), bool)
    same = np.ones(max(0, len(keys) - 1), bool)
    for name in KEY:
        column = keys[name].combine_chunks()
        later, earlier = column[1:], column[:-1]
        above |= same & pc.greater(later, earlier).to_numpy(zero_copy_only=False)
        same &= pc.equal(later, earlier).to_numpy(zero_copy_only=False)
    return above
