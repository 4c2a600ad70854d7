"""Candidates of all kinds as one list of objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .event_batch import NOT_GIVEN, OBJECT_COLUMNS, OBJECT_KINDS, SEED_COLUMNS, Array, EventBatch, Ragged


@dataclass(frozen=True, slots=True)
class Objects:
    """One row per candidate, those that will be rejected too.

    Rows are ordered by event, then kind in the order asked for, then place in the collection.

    Attributes
    ----------
    event : int32, shape (objects,)
        Index in the batch.
    kind : int8, shape (objects,)
        Index into `OBJECT_KINDS`.
    index : int32, shape (objects,)
        Place in the collection of its kind and event.
    columns : mapping of str to array, shape (objects,)
        The columns of `OBJECT_COLUMNS`, ``objects["pt"]`` is one of them, and `SEED_COLUMNS`.
    """

    event: Array
    kind: Array
    index: Array
    columns: Mapping[str, Array]

    def __len__(self) -> int:
        return len(self.event)

    def __getitem__(self, column: str) -> Array:
        return self.columns[column]


def collect(batch: EventBatch, kinds: Sequence[str]) -> Objects:
    """Return the objects of `kinds` of all events of `batch`."""
    tables = [batch[kind] for kind in kinds]
    event = np.concatenate([table.events() for table in tables])
    index = np.concatenate([np.arange(table.rows) - table.offsets[table.events()] for table in tables])
    kind = np.repeat([OBJECT_KINDS.index(kind) for kind in kinds], [table.rows for table in tables])
    order = np.argsort(event, kind="stable")
    columns = {name: np.concatenate([table[name] for table in tables])[order] for name in OBJECT_COLUMNS}
    for name in SEED_COLUMNS:
        columns[name] = np.concatenate([_seeds(table, name) for table in tables])[order]
    return Objects(event[order], kind[order].astype(np.int8), index[order].astype(np.int32), columns)


def _seeds(table: Ragged, column: str) -> Array:
    return table.columns.get(column, np.full(table.rows, NOT_GIVEN, SEED_COLUMNS[column]))
