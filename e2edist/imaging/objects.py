"""Candidates of all kinds as one list of objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .event_batch import OBJECT_KINDS, Array, EventBatch


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
    pt, eta, phi : float32, shape (objects,)
        GeV and radians.
    label : int32, shape (objects,)
        Truth, -1 where unknown.
    """

    event: Array
    kind: Array
    index: Array
    pt: Array
    eta: Array
    phi: Array
    label: Array

    def __len__(self) -> int:
        return len(self.event)


def collect(batch: EventBatch, kinds: Sequence[str]) -> Objects:
    """Return the objects of `kinds` of all events of `batch`."""
    tables = [batch[kind] for kind in kinds]
    event = np.concatenate([table.events() for table in tables])
    index = np.concatenate([np.arange(table.rows) - table.offsets[table.events()] for table in tables])
    kind = np.repeat([OBJECT_KINDS.index(kind) for kind in kinds], [table.rows for table in tables])
    order = np.argsort(event, kind="stable")
    pt, eta, phi, label = (
        np.concatenate([table[column] for table in tables])[order] for column in ("pt", "eta", "phi", "label")
    )
    return Objects(
        event[order], kind[order].astype(np.int8), index[order].astype(np.int32), pt, eta, phi, label
    )
