"""Grids and detector geometry: shapes, eta edges, and where things fall.

Definitions: docs/images.md, Grids. The endcap table holds the front-face centres of one EE quadrant of
the ideal geometry of CMSSW 12; the other seven follow by mirroring.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from math import floor, isnan, pi

import numpy as np

from ._numba import Scalar, kernel
from .event_batch import Array

EB_SHAPE = (170, 360)
ECAL_SHAPE = (280, 360)
HBHE_SHAPE = (56, 72)
EE_SHAPE = (100, 100)
#: First row of the barrel in the stitched grid; rows 0-54 are EE-, 225-279 EE+.
EB_FIRST_ROW = 55
EE_PLUS_FIRST_ROW = 225
#: Name of the endcap geometry, part of every campaign's provenance.
GEOMETRY = "CMSSW_12 ideal EE front faces, quadrant mirrored"

# fmt: off
#: The 56 edges of the 55 |eta| bins of an endcap in the stitched grid.
EE_ETA_EDGES = np.array([
    1.479, 1.4964, 1.5138, 1.5312, 1.5486, 1.566, 1.5834, 1.6008, 1.6182, 1.6356, 1.653, 1.6704, 1.6878,
    1.7052, 1.7226, 1.74, 1.758, 1.776, 1.794, 1.812, 1.83, 1.85, 1.87, 1.89, 1.91, 1.93, 1.9526, 1.9752,
    1.9978, 2.0204, 2.043, 2.0688, 2.0946, 2.1204, 2.1462, 2.172, 2.202, 2.232, 2.262, 2.292, 2.322, 2.3576,
    2.3932, 2.4288, 2.4644, 2.5, 2.53, 2.56, 2.59, 2.62, 2.65, 2.72, 2.79, 2.86, 2.93, 3.0,
])
#: The 29 |eta| edges of HCAL towers 1-28 (29 is part of 28).
HBHE_ETA_EDGES = np.array([
    0, .087, .174, .261, .348, .435, .522, .609, .695, .783, .870, .957, 1.044, 1.131, 1.218, 1.305, 1.392,
    1.479, 1.566, 1.653, 1.740, 1.830, 1.930, 2.043, 2.172, 2.322, 2.500, 2.650, 3.000,
])
# fmt: on

#: |eta| up to which directions belong to the barrel.
BARREL_ETA = 1.479
#: Width of an EB crystal in eta (and in phi, 1 degree).
CRYSTAL = 0.0174533


@kernel
def eta_row(eta: Scalar) -> Scalar:
    """Return the stitched row (0..279) of a pseudorapidity, or -1 for |eta| > 3 and NaN.

    Barrel, |eta| <= 1.479: crystal ``min(85, floor(|eta| / 0.0174533) + 1)``; endcaps: the eta bin,
    upper edge of the last one included (docs/images.md, Tracks).
    """
    a = abs(eta)
    if isnan(a) or a > 3.0:
        return -1
    if a <= BARREL_ETA:
        crystal = min(85, floor(a / CRYSTAL) + 1)
        return 55 + (85 - crystal if eta < 0 else 84 + crystal)
    index: Scalar = np.searchsorted(EE_ETA_EDGES, a, side="right")
    index = min(index - 1, 54)
    return 54 - index if eta < 0 else 225 + index


@kernel
def phi_column(phi: Scalar) -> Scalar:
    """Return the ECAL column (0..359) of an azimuth in radians: column 0 starts at -10 degrees."""
    return floor(phi * 180 / pi + 10) % 360


@kernel
def direction_pixels(eta: Array, phi: Array) -> tuple[Array, Array]:
    """Return stitched row and column (int16) of directions; row -1 outside |eta| <= 3 or not finite."""
    row, col = np.full(len(eta), -1, np.int16), np.zeros(len(eta), np.int16)
    for k in range(len(eta)):
        if np.isfinite(phi[k]):
            row[k] = eta_row(np.float64(eta[k]))
            col[k] = phi_column(np.float64(phi[k]))
    return row, col


@kernel
def tower_at(eta: Scalar, phi: Scalar) -> tuple[int, int]:
    """Return (ieta, iphi) of the HCAL tower at a direction with |eta| < 3 (docs/images.md, Jets)."""
    a: Scalar = np.searchsorted(HBHE_ETA_EDGES, abs(eta), side="right")
    a = min(a, 28)
    count = 72 if a <= 20 else 36
    # The remainder of a tiny negative angle rounds to 2 pi itself: wrap once more.
    index = floor((phi % (2 * pi)) / (2 * pi) * count) % count + 1
    iphi = index if a <= 20 else 2 * index - 1
    return (-a if eta < 0 else a), iphi


@cache
def ee_table() -> Array:
    """Return the stitched (row, column) of every EE crystal.

    Returns
    -------
    int16, shape (2, 100, 100, 2)
        Indexed by side (0: EE-, 1: EE+), ix-1, iy-1; (-1, 0) where there is no crystal.
        Row: eta bin of the front-face centre seen from the origin; column ``(b + 190) mod 360`` with
        ``b = floor((phi + pi) / 2 pi * 360)`` (docs/images.md, Endcaps).
    """
    text = files("e2edist.imaging").joinpath("ee_quadrant.csv").read_text()
    ix, iy, x, y, z = np.loadtxt(text.splitlines(), delimiter=",", skiprows=1).T
    table = np.zeros((2, *EE_SHAPE, 2), np.int16)
    table[..., 0] = -1
    index = np.searchsorted(EE_ETA_EDGES, np.arcsinh(z / np.hypot(x, y)), side="right") - 1
    for sx in (1, -1):
        for sy in (1, -1):
            phi = np.arctan2(sy * y, sx * x)
            column = (np.floor((phi + np.pi) / (2 * np.pi) * 360) + 190) % 360
            at_x = (ix if sx > 0 else 101 - ix).astype(int) - 1
            at_y = (iy if sy > 0 else 101 - iy).astype(int) - 1
            for side, row in ((0, 54 - index), (1, EE_PLUS_FIRST_ROW + index)):
                table[side, at_x, at_y] = np.stack([row, column], axis=-1)
    table.setflags(write=False)
    return table
