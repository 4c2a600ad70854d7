"""Run, luminosity block and event from the bytes of EventAuxiliary, which uproot can't read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from e2edist.imaging.event_batch import Array

    from ._branch_map import JaggedColumn

_COUNT_FLAG = 0x40000000
_EVENT_ID_BYTES = 18  # version u16, run u32, lumi u32, event u64


def event_ids_of(records: JaggedColumn) -> dict[str, Array | None]:
    """Return run, lumi and event from raw EventAuxiliary records, nothing if a byte count does not fit.

    A record begins with a process history id (a 4-byte count with bit 30 set, then that many bytes) and
    goes on with the EventID: count (18 with a 64-bit event number), version, run, lumi, event. All of it
    is big-endian.

    Parameters
    ----------
    records : JaggedColumn
        uint8; one record an entry.

    Returns
    -------
    dict of str to array or None
        "run" and "lumi" as uint32, "event" as uint64, shape (entries,).
    """
    none: dict[str, Array | None] = {"run": None, "lumi": None, "event": None}
    starts, sizes = records.offsets[:-1], np.diff(records.offsets)
    if len(starts) == 0 or sizes.min() < 4:
        return none
    skip = _big_endian(records.data, starts, "u4").astype(np.int64) - _COUNT_FLAG + 4
    if skip.min() < 4 or (skip + 4 + _EVENT_ID_BYTES > sizes).any():
        return none
    at = starts + skip
    if (_big_endian(records.data, at, "u4") != (_COUNT_FLAG | _EVENT_ID_BYTES)).any():
        return none
    return {
        "run": _big_endian(records.data, at + 6, "u4"),
        "lumi": _big_endian(records.data, at + 10, "u4"),
        "event": _big_endian(records.data, at + 14, "u8"),
    }


def _big_endian(data: Array, at: Array, dtype: str) -> Array:
    size = np.dtype(dtype).itemsize
    gathered = np.ascontiguousarray(data[at[:, None] + np.arange(size)])
    return gathered.view(f">{dtype}").ravel().astype(dtype)
