"""Some events of a batch: frames are made only of events that have an object to cut out."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace

import numpy as np

from ._numba import kernel
from .event_batch import Array, EventBatch, Ragged


@kernel
def _rows(offsets: Array, wanted: Array, values: Array, out: Array) -> None:
    """Copy the rows of the events that are `wanted`."""
    count = 0
    for e in range(len(wanted)):
        if wanted[e]:
            more = offsets[e + 1] - offsets[e]
            out[count : count + more] = values[offsets[e] : offsets[e + 1]]
            count += more


def _select(table: Ragged, wanted: Array) -> Ragged:
    offsets = np.zeros(len(wanted) + 1, np.int64)
    np.cumsum(np.where(wanted, table.counts(), 0), out=offsets[1:])
    columns = {}
    for name, values in table.columns.items():
        columns[name] = np.empty(offsets[-1], values.dtype)
        _rows(table.offsets, wanted, values, columns[name])
    return Ragged(offsets, columns)


def select(batch: EventBatch, wanted: Array, *, but: Container[str] = ()) -> EventBatch:
    """Return `batch` with no rows in events that are not wanted.

    Parameters
    ----------
    wanted : bool, shape (events,)
    but : container of str
        Tables that stay as they are.
    """
    if wanted.all():
        return batch
    tables = {name: table if name in but else _select(table, wanted) for name, table in batch.tables.items()}
    return replace(batch, tables=tables)
