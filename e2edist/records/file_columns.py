"""The columns `dataset` and `file`, which tables of several files have before those of a campaign's parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from .part_columns import AGGREGATED_COLUMNS, PART_COLUMNS
from .plan import Plan


def names_of_files(plan: Plan) -> dict[str, tuple[str, str]]:
    """Return uuid -> dataset, empty where the inputs name none, and address."""
    names = {uuid: dataset.name for dataset in plan.datasets for uuid in dataset.files}
    return {file.uuid: (names.get(file.uuid, ""), file.url) for file in plan.files}


def with_file_columns(
    rows: pa.Table, files: Mapping[str, tuple[str, str]], wanted: Iterable[str] = AGGREGATED_COLUMNS
) -> pa.Table:
    """Return rows with the `wanted` ones of `AGGREGATED_COLUMNS` before them.

    Parameters
    ----------
    rows : pyarrow.Table
        With a column `uuid`.
    files : mapping of str to (str, str)
        `names_of_files` of the plan, or of several.
    """
    uuid: Any = rows["uuid"].dictionary_encode().unify_dictionaries().combine_chunks()
    if isinstance(uuid, pa.ChunkedArray):  # of no rows
        uuid = pa.array([], PART_COLUMNS["uuid"].type)
    found = {}
    for place, name in enumerate(AGGREGATED_COLUMNS):
        if name in wanted:
            values = [files[one][place] for one in uuid.dictionary.to_pylist()]
            # Each name once in the dictionary: pandas takes no other.
            names = {value: number for number, value in enumerate(dict.fromkeys(values))}
            codes = np.array([names[value] for value in values], np.int32)[uuid.indices.to_numpy()]
            found[name] = pa.DictionaryArray.from_arrays(codes, pa.array([*names], pa.string()))
    return pa.table([*found.values(), *rows.columns], names=[*found, *rows.column_names])
