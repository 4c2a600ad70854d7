"""CMS detector identifiers (DetId, uint32) to image rows and columns.

Bit layouts: docs/images.md, Detector ids; after CMSSW's EBDetId, EEDetId and HcalDetId. HCAL ids come
in two forms (Run 1: bit 24 clear; since 2017: bit 24 set), and one event may hold both, so every hit is
decoded by itself. An id of another detector, or outside its detector, gets row -1: it is not in the image.
"""

from __future__ import annotations

import numpy as np

from ._numba import Scalar, kernel
from .event_batch import Array

ECAL, HCAL = 3, 4
_EB, _EE = 1, 2
_HB, _HE = 1, 2


@kernel
def eb_index(detid: Scalar) -> tuple[int, int]:
    """Return (ieta, iphi) of an EB crystal, ieta in -85..85 without 0, iphi in 1..360; (0, 0) if none."""
    if detid >> 28 != ECAL or (detid >> 25) & 7 != _EB:
        return 0, 0
    ieta, iphi = (detid >> 9) & 0x7F, detid & 0x1FF
    if ieta < 1 or ieta > 85 or iphi < 1 or iphi > 360:
        return 0, 0
    return (ieta if detid & 0x10000 else -ieta), iphi


@kernel
def ee_index(detid: Scalar) -> tuple[int, int, int]:
    """Return (side, ix, iy) of an EE crystal, side -1 or +1, ix and iy in 1..100; (0, 0, 0) if none."""
    if detid >> 28 != ECAL or (detid >> 25) & 7 != _EE:
        return 0, 0, 0
    ix, iy = (detid >> 7) & 0x7F, detid & 0x7F
    if ix < 1 or ix > 100 or iy < 1 or iy > 100:
        return 0, 0, 0
    return (1 if detid & 0x4000 else -1), ix, iy


@kernel
def hbhe_index(detid: Scalar) -> tuple[int, int, int]:
    """Return (ieta, iphi, depth) of an HB or HE cell, |ieta| in 1..29, iphi in 1..72; (0, 0, 0) if none."""
    subdetector = (detid >> 25) & 7
    if detid >> 28 != HCAL or subdetector not in (_HB, _HE):
        return 0, 0, 0
    if detid & 0x01000000:
        ieta, iphi, depth = (detid >> 10) & 0x1FF, detid & 0x3FF, (detid >> 20) & 0xF
        positive = detid & 0x80000
    else:
        ieta, iphi, depth = (detid >> 7) & 0x3F, detid & 0x7F, (detid >> 14) & 0x1F
        positive = detid & 0x2000
    if ieta < 1 or ieta > 29 or iphi < 1 or iphi > 72:
        return 0, 0, 0
    return (ieta if positive else -ieta), iphi, depth


@kernel
def tower_row(ieta: int) -> int:
    """Return the HBHE row (0..55) of a tower; tower 29 is part of 28."""
    a = min(abs(ieta), 28)
    return (a - 1 if ieta > 0 else -a) + 28


@kernel
def tower_column(iphi: int) -> int:
    """Return the HBHE column (0..71): HCAL iphi 1 lies over EB columns 10-14."""
    return (iphi + 1) % 72


@kernel
def eb_pixels(detid: Array, energy: Array) -> tuple[Array, Array]:
    """Return row and column (int16) on the 170x360 EB grid; row -1 for hits that are not in the image."""
    row, col = np.full(len(detid), -1, np.int16), np.zeros(len(detid), np.int16)
    for k in range(len(detid)):
        if energy[k] > 0:
            ieta, iphi = eb_index(np.int64(detid[k]))
            if ieta != 0:
                row[k] = ieta + 84 if ieta > 0 else ieta + 85
                col[k] = iphi - 1
    return row, col


@kernel
def ee_plane_pixels(detid: Array, energy: Array, table: Array, wanted: int) -> tuple[Array, Array]:
    """Return row iy-1 and column ix-1 (int16) on the 100x100 plane of side `wanted` (-1 or +1).

    `table` is `geometry.ee_table`: the corners of the plane have no crystals.
    """
    row, col = np.full(len(detid), -1, np.int16), np.zeros(len(detid), np.int16)
    for k in range(len(detid)):
        if energy[k] > 0:
            side, ix, iy = ee_index(np.int64(detid[k]))
            if side == wanted and table[(side + 1) // 2, ix - 1, iy - 1, 0] >= 0:
                row[k], col[k] = iy - 1, ix - 1
    return row, col


@kernel
def ee_stitched_pixels(detid: Array, energy: Array, table: Array) -> tuple[Array, Array]:
    """Return row and column (int16) on the 280x360 stitched grid, by `geometry.ee_table`."""
    row, col = np.full(len(detid), -1, np.int16), np.zeros(len(detid), np.int16)
    for k in range(len(detid)):
        if energy[k] > 0:
            side, ix, iy = ee_index(np.int64(detid[k]))
            if side != 0:
                plane = (side + 1) // 2
                row[k], col[k] = table[plane, ix - 1, iy - 1, 0], table[plane, ix - 1, iy - 1, 1]
    return row, col


@kernel
def hbhe_pixels(detid: Array, energy: Array) -> tuple[Array, Array, Array]:
    """Return row, column and energy on the 56x72 HBHE grid, two entries per hit.

    Entries 2k and 2k+1 belong to hit k. Towers with |ieta| > 20 are 10 degrees wide: half of the
    energy goes to the column, half to the next one. For the others the second entry has row -1.
    """
    row, col = np.full(2 * len(detid), -1, np.int16), np.zeros(2 * len(detid), np.int16)
    value = np.zeros(2 * len(detid), np.float32)
    for k in range(len(detid)):
        if energy[k] > 0:
            ieta, iphi, _ = hbhe_index(np.int64(detid[k]))
            if ieta == 0:
                continue
            wide = abs(ieta) > 20
            for half in range(2 if wide else 1):
                row[2 * k + half] = tower_row(ieta)
                col[2 * k + half] = tower_column(iphi + half)
                value[2 * k + half] = energy[k] * np.float32(0.5) if wide else energy[k]
    return row, col, value


@kernel
def depth1_towers(detid: Array, energy: Array) -> tuple[Array, Array]:
    """Return row (as HBHE) and iphi-1 (int16) of depth-1 cells with |ieta| <= 28; row -1 for others."""
    row, col = np.full(len(detid), -1, np.int16), np.zeros(len(detid), np.int16)
    for k in range(len(detid)):
        if energy[k] > 0:
            ieta, iphi, depth = hbhe_index(np.int64(detid[k]))
            if ieta != 0 and depth == 1 and abs(ieta) <= 28:
                row[k], col[k] = tower_row(ieta), iphi - 1
    return row, col
