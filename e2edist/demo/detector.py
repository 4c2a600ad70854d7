"""The demo detector: which cell a direction hits, and the detid of a cell (docs/images.md, Detector ids)."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

import numpy as np

from e2edist.imaging.event_batch import Array
from e2edist.imaging.geometry import CRYSTAL, EB_SHAPE, HBHE_ETA_EDGES

EB_ROWS, EB_COLS = EB_SHAPE
ETA_MAX = 3.0
#: Resolution of the direction -> EE crystal raster, in units of x/z.
_STEP = 0.004
_RASTER = 136


def eb_position(eta: Array, phi: Array) -> tuple[Array, Array]:
    """Return the fractional EB row and column of directions; the integer part is the crystal."""
    return eta / CRYSTAL + EB_ROWS // 2, (np.degrees(phi) + 10.0) % EB_COLS


def eb_detid(row: Array, col: Array) -> Array:
    """Return the uint32 detid of EB crystals at grid (row, col)."""
    ieta = np.where(row >= 85, row - 84, row - 85)
    side = np.where(ieta > 0, 0x10000, 0)
    detid: Array = (3 << 28) | (1 << 25) | side | (np.abs(ieta) << 9) | (col + 1)
    return detid.astype(np.uint32)


def ee_detid(ix: Array, iy: Array, positive: Array) -> Array:
    """Return the uint32 detid of EE crystals."""
    side = np.where(positive, 0x4000, 0)
    return ((3 << 28) | (2 << 25) | side | (ix << 7) | iy).astype(np.uint32)


def hcal_detid(ieta: Array, iphi: Array, depth: Array, *, new: bool) -> Array:
    """Return the uint32 detid of HB (|ieta| <= 16) and HE towers, in the old or the new form."""
    size = np.abs(ieta)
    head = (4 << 28) | (np.where(size <= 16, 1, 2) << 25)
    if new:
        body = 0x1000000 | (depth << 20) | np.where(ieta > 0, 0x80000, 0) | (size << 10) | iphi
    else:
        body = (depth << 14) | np.where(ieta > 0, 0x2000, 0) | (size << 7) | iphi
    return (head | body).astype(np.uint32)


def hcal_tower(eta: Array, phi: Array) -> tuple[Array, Array]:
    """Return signed ieta (1 ... 28) and iphi (odd beyond 20) of directions with |eta| < 3."""
    size = np.clip(np.searchsorted(HBHE_ETA_EDGES, np.abs(eta), side="right"), 1, 28)
    turn = (phi % (2 * np.pi)) / (2 * np.pi)
    fine = np.minimum(np.floor(turn * 72).astype(np.int64), 71) + 1
    coarse = 2 * np.minimum(np.floor(turn * 36).astype(np.int64), 35) + 1
    return np.where(eta < 0, -size, size), np.where(size > 20, coarse, fine)


@lru_cache(maxsize=1)
def ee_quadrant() -> tuple[Array, Array, Array]:
    """Return (ix, iy) int64 and the slopes (x/z, y/z), shape (crystals, 2), of one EE quadrant."""
    text = files("e2edist.imaging").joinpath("ee_quadrant.csv").read_text(encoding="utf-8")
    table = np.array([line.split(",") for line in text.splitlines()[1:]], dtype=np.float64)
    return table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2:4] / table[:, 4:5]


@lru_cache(maxsize=1)
def ee_exists() -> Array:
    """Return a bool mask [ix, iy], shape (102, 102), of the crystals of one EE plane."""
    ix, iy, _ = ee_quadrant()
    mask = np.zeros((102, 102), dtype=bool)
    for x in (ix, 101 - ix):
        for y in (iy, 101 - iy):
            mask[x, y] = True
    return mask


@lru_cache(maxsize=1)
def _ee_raster() -> Array:
    """Nearest crystal of the quadrant for each cell of a raster in slope space, int64."""
    centres = (np.arange(_RASTER) + 0.5) * _STEP
    slopes = ee_quadrant()[2]
    x2 = (centres[:, None] - slopes[:, 0]) ** 2
    y2 = (centres[:, None] - slopes[:, 1]) ** 2
    # One raster row at a time: the full table of distances would need 270 MB.
    return np.stack([np.argmin(row + y2, axis=1) for row in x2])


def ee_position(eta: Array, phi: Array) -> tuple[Array, Array, Array, Array]:
    """Return ix, iy of the crystal nearest to directions in the endcaps, and the offsets from its centre.

    Offsets are in crystal widths, clipped to +-0.5; directions outside the crystals go to the nearest.
    """
    ix, iy, slopes = ee_quadrant()
    tan = 1.0 / np.sinh(np.abs(eta))
    x, y = tan * np.cos(phi), tan * np.sin(phi)
    bins = [np.minimum((np.abs(v) / _STEP).astype(np.int64), _RASTER - 1) for v in (x, y)]
    near = _ee_raster()[bins[0], bins[1]]
    shift = [(np.abs(v) - slopes[near, k]) / 0.00905 * np.sign(v) for k, v in enumerate((x, y))]
    ix, iy = np.where(x > 0, ix[near], 101 - ix[near]), np.where(y > 0, iy[near], 101 - iy[near])
    return ix, iy, np.clip(shift[0], -0.5, 0.499), np.clip(shift[1], -0.5, 0.499)
