"""Sparse frames: the pixels of a layer, each once in an event."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ._numba import kernel
from .event_batch import Array


@dataclass(frozen=True, slots=True)
class Hits:
    """Sparse frames of one layer.

    Attributes
    ----------
    offsets : int64, shape (events + 1,)
        Half-open pixel ranges of the events.
    row, col : int16, shape (pixels,)
        Place on the grid `shape`; no pixel occurs twice in an event.
    value : float32, shape (pixels,)
        GeV for energies and pT, ns for times, cm for d0 and dz, hits for tracker layers.
    shape : (int, int)
        Rows and columns of the grid.
    """

    offsets: Array
    row: Array
    col: Array
    value: Array
    shape: tuple[int, int]


@kernel
def _merge(offsets: Array, row: Array, col: Array, value: Array, slot: Array) -> tuple[Array, ...]:
    """Add up entries of the same pixel per event, in order; entries with row < 0 are left out.

    `slot` is scratch of one int32 per pixel, shape (rows, columns), all -1 before: the entry that a pixel
    last had. Entries only grow, so one below this event's first is of an earlier event: nothing is wiped.
    """
    out_offsets = np.zeros(len(offsets), np.int64)
    out_row, out_col = np.empty(len(row), np.int16), np.empty(len(row), np.int16)
    out_value = np.empty(len(row), np.float32)
    count = 0
    for e in range(len(offsets) - 1):
        first = count
        for k in range(offsets[e], offsets[e + 1]):
            r, c = row[k], col[k]
            if r < 0:
                continue
            entry = slot[r, c]
            if entry < first:
                slot[r, c] = count
                out_row[count], out_col[count], out_value[count] = r, c, value[k]
                count += 1
            else:
                out_value[entry] += value[k]
        out_offsets[e + 1] = count
    return out_offsets, out_row[:count], out_col[:count], out_value[:count]


def add_up(offsets: Array, row: Array, col: Array, value: Array, shape: tuple[int, int]) -> Hits:
    """Return a layer of entries, of which several may be of one pixel; those with row < 0 are left out.

    Parameters
    ----------
    offsets : int64, shape (events + 1,)
        Half-open ranges of the events.
    row, col, value : shape (entries,)
        Place on the grid and what is added there, in float32 and in order.
    shape : (int, int)
        Rows and columns of the grid.
    """
    slot = np.full(shape, -1, np.int32)
    ends, rows, cols, sums = _merge(offsets, row, col, np.asarray(value, np.float32), slot)
    return Hits(ends, rows, cols, sums, shape)


@kernel
def joined_order(a: Array, b: Array) -> Array:
    """Return the order that puts the entries of b behind those of a, event by event."""
    order = np.empty(a[-1] + b[-1], np.int64)
    count = 0
    for e in range(len(a) - 1):
        for k in range(a[e], a[e + 1]):
            order[count] = k
            count += 1
        for k in range(b[e], b[e + 1]):
            order[count] = a[-1] + k
            count += 1
    return order
