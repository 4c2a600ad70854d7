"""The columns of the results; scores follow them. What an object is known by comes from `OBJECT_COLUMNS`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from e2edist.imaging.event_batch import OBJECT_COLUMNS

_TEXT = pa.dictionary(pa.int32(), pa.string())


@dataclass(frozen=True, slots=True)
class PartColumn:
    """A column of a part.

    Attributes
    ----------
    type : pyarrow.DataType
    meaning : str
        What it is, with its unit, and when it is null.
    in_friends : bool
        Whether friend trees have it too, as numbers.
    """

    type: pa.DataType
    meaning: str
    in_friends: bool = False


#: (uuid, entry, kind, object) is the key of a row.
PART_COLUMNS: dict[str, PartColumn] = {
    "uuid": PartColumn(_TEXT, "of the input file"),
    "entry": PartColumn(pa.int64(), "in the tree"),
    "run": PartColumn(pa.uint32(), "null where the file hasn't it in readable form"),
    "lumi": PartColumn(pa.uint32(), "luminosity block; null as run"),
    "event": PartColumn(pa.uint64(), "null as run"),
    "kind": PartColumn(_TEXT, "photon, electron, jet", in_friends=True),
    "object": PartColumn(pa.int32(), "index in its collection", in_friends=True),
    **{
        name: PartColumn(
            pa.from_numpy_dtype(np.dtype(column.dtype)), column.meaning, in_friends=name != "label"
        )
        for name, column in OBJECT_COLUMNS.items()
    },
    "seed_row": PartColumn(pa.int16(), "pixel on the EB grid (e/gamma) or the stitched grid (jets)"),
    "seed_col": PartColumn(pa.int16(), "null where there is no seed"),
    "status": PartColumn(_TEXT, "ok, or why there is no image; then the scores are null", in_friends=True),
}

#: What tables of several files have before those.
AGGREGATED_COLUMNS: dict[str, PartColumn] = {
    "dataset": PartColumn(_TEXT, "name of the input file's dataset; empty where the inputs name none"),
    "file": PartColumn(_TEXT, "path or address of the input file, without user name, password and token"),
}
