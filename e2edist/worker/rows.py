"""The rows of a part: one per candidate, with its scores or the reason why it has none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from e2edist.imaging.event_batch import OBJECT_COLUMNS, OBJECT_KINDS, Array, EventBatch
from e2edist.imaging.seeds import STATUSES
from e2edist.records.part_columns import PART_COLUMNS

from .images import Images


def make_table(
    uuid: str, batch: EventBatch, images: Images, scores: Mapping[str, Array], dtypes: Mapping[str, str]
) -> pa.Table:
    """Return the table of a chunk.

    Parameters
    ----------
    uuid : str
        Of the input file.
    batch : EventBatch
        The events, for entry and event numbers.
    images : Images
        Objects, seeds and crops.
    scores : mapping of str to array, shape (crops,)
        For the accepted objects, in their order.
    dtypes : mapping of str to str
        Score column -> dtype, in the order of the columns.

    Returns
    -------
    pyarrow.Table
        Columns of `PART_COLUMNS`, then the scores; rows in the order of the objects.
    """
    rows, ok = len(images.objects), images.accepted
    known = _object_columns(uuid, batch, images)
    columns = {name: _typed(known[name], column.type, rows) for name, column in PART_COLUMNS.items()}
    for name, dtype in dtypes.items():
        values = np.zeros(rows, dtype)
        values[ok] = scores[name]
        columns[name] = pa.array(values, mask=~ok)
    return pa.table(columns)


def _object_columns(uuid: str, batch: EventBatch, images: Images) -> dict[str, Any]:
    objects, seeds = images.objects, images.seeds
    seeded = seeds.row >= 0
    return {
        "uuid": _words(np.zeros(len(objects), np.int32), (uuid,)),
        "entry": pa.array(objects.event.astype(np.int64) + batch.start),
        "run": _numbers(batch.run, objects.event),
        "lumi": _numbers(batch.lumi, objects.event),
        "event": _numbers(batch.event, objects.event),
        "kind": _words(objects.kind, OBJECT_KINDS),
        "object": pa.array(objects.index),
        **{
            name: pa.array(objects[name], mask=column.is_missing(objects[name]))
            for name, column in OBJECT_COLUMNS.items()
        },
        "seed_row": pa.array(seeds.row, mask=~seeded),
        "seed_col": pa.array(seeds.col, mask=~seeded),
        "status": _words(seeds.status, STATUSES),
    }


def _words(codes: Array, words: tuple[str, ...]) -> Any:
    return pa.DictionaryArray.from_arrays(codes.astype(np.int32), pa.array(words))


def _numbers(values: Array | None, event: Array) -> Any:
    return None if values is None else pa.array(values[event])


def _typed(values: Any, kind: Any, rows: int) -> Any:
    return pa.nulls(rows, kind) if values is None else values.cast(kind)
