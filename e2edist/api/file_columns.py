"""The columns `dataset` and `file`, which tables of several files have before those of a campaign's parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from e2edist.records.plan import Plan

#: As in the tables of ``aggregate``.
COLUMNS = ("dataset", "file")


def names_of_files(plan: Plan) -> dict[str, tuple[str, str]]:
    """Return uuid -> dataset, empty where the inputs name none, and address."""
    names = {uuid: dataset.name for dataset in plan.datasets for uuid in dataset.files}
    return {file.uuid: (names.get(file.uuid, ""), file.url) for file in plan.files}


def with_file_columns(
    rows: pa.Table, files: Mapping[str, tuple[str, str]], wanted: Iterable[str] = COLUMNS
) -> pa.Table:
    """Return rows, which have a column `uuid`, with the `wanted` ones of `COLUMNS` before them."""
    uuid: Any = rows["uuid"].unify_dictionaries().combine_chunks()
    if isinstance(uuid, pa.ChunkedArray):  # of no rows
        uuid = pa.array([], rows["uuid"].type)
    found = {}
    for place, name in enumerate(COLUMNS):
        if name in wanted:
            values = [files[one][place] for one in uuid.dictionary.to_pylist()]
            # Each name once in the dictionary: pandas takes no other.
            names = {value: number for number, value in enumerate(dict.fromkeys(values))}
            codes = np.array([names[value] for value in values], np.int32)[uuid.indices.to_numpy()]
            found[name] = pa.DictionaryArray.from_arrays(codes, pa.array([*names], pa.string()))
    return pa.table([*found.values(), *rows.columns], names=[*found, *rows.column_names])
