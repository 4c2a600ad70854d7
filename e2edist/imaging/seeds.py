"""From reconstructed objects to crop centres, or the reason why there is none (docs/images.md, Seeds)."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TypeAlias

import numpy as np

from ._numba import Scalar, kernel
from .detid import tower_column
from .event_batch import Array
from .geometry import EB_FIRST_ROW, eta_row, phi_column, tower_at
from .hits import Hits

#: (event int32, eta float32, phi float32), each of shape (objects,), in radians.
Directions: TypeAlias = tuple[Array, Array, Array]

#: What can become of an object; the index is the code in `Seeds.status`.
STATUSES = ("ok", "nan", "pt", "eta", "no_hit", "seed_eta", "edge")
OK, NAN, PT, ETA, NO_HIT, SEED_ETA, EDGE = range(7)

#: e/gamma crops that leave these EB rows would reach over the end of the barrel.
EDGE_ROWS = (15, 153)
#: A jet seed beyond this tower could leave the stitched image.
SEED_IETA_MAX = 16


@dataclass(frozen=True, slots=True)
class Seeds:
    """Crop centre of each object, in the order of the objects.

    Attributes
    ----------
    status : int8, shape (objects,)
        Index into `STATUSES`; the centre is valid where it is 0.
    row, col : int16, shape (objects,)
        Pixel on the EB grid (e/gamma) or the stitched grid (jets); -1 where no seed was found.
        An object rejected for its seed (edge, seed_eta) keeps the place of the seed.
    """

    status: Array
    row: Array
    col: Array


@kernel
def cut_objects(pt: Array, eta: Array, phi: Array, pt_min: float, eta_max: float, closed: bool) -> Array:
    """Return the status (int8) of each object after the kinematic cuts.

    `closed` keeps an object at ``|eta| == eta_max``; compared in float32, the precision of the tables.
    """
    limit = np.float32(eta_max)
    status = np.zeros(len(pt), np.int8)
    for k in range(len(pt)):
        a = abs(eta[k])
        if not (isfinite(pt[k]) and isfinite(eta[k]) and isfinite(phi[k])):
            status[k] = NAN
        elif pt[k] < pt_min:
            status[k] = PT
        elif a > limit or (a == limit and not closed):
            status[k] = ETA
    return status


@kernel
def _hottest_in_window(
    frame: tuple[Array, Array, Array], first: int, last: int, corner: tuple[int, int], size: tuple[int, int]
) -> tuple[Scalar, Scalar]:
    """Return the place of the largest value among pixels first:last in a window; (-1, -1) if it is empty.

    Columns wrap at 360. Of equal values the one in the lowest window row, then column, wins, so that
    the order of hits in the file does not matter.
    """
    row, col, value = frame
    best, best_pixel, best_hit = np.float32(-1), -1, -1
    for k in range(first, last):
        i = row[k] - corner[0]
        if i < 0 or i >= size[0]:  # the usual case, decided without a division
            continue
        j = (col[k] - corner[1]) % 360
        if j >= size[1]:
            continue
        at = i * size[1] + j
        if best_hit < 0 or value[k] > best or (value[k] == best and at < best_pixel):
            best, best_pixel, best_hit = value[k], at, k
    if best_hit < 0:
        return -1, -1
    return np.int64(row[best_hit]), np.int64(col[best_hit])


@kernel
def _seed_eb(
    frame: tuple[Array, Array, Array],
    offsets: Array,
    objects: Directions,
    status: Array,
    size: tuple[int, int],
) -> tuple[Array, Array]:
    event, eta, phi = objects
    row, col = np.full(len(event), -1, np.int16), np.full(len(event), -1, np.int16)
    for k in range(len(event)):
        if status[k] != OK:
            continue
        r = eta_row(np.float64(eta[k])) - EB_FIRST_ROW
        c = phi_column(np.float64(phi[k]))
        first, last = offsets[event[k]], offsets[event[k] + 1]
        corner = (r - size[0] // 2, c - size[1] // 2)
        row[k], col[k] = _hottest_in_window(frame, first, last, corner, size)
        if row[k] < 0:
            status[k] = NO_HIT
    return row, col


def eb_hottest(
    energy: Hits, objects: Directions, status: Array, *, window_rows: int, window_cols: int, edge: str
) -> Seeds:
    """Take the hottest EB crystal round each object as the centre of its crop.

    The reference takes the hottest crystal of the super-cluster, whose hit list can't be read outside
    CMSSW; a window round the object's own direction stands in for it.

    Parameters
    ----------
    energy : Hits
        EB_energy frames.
    objects : Directions
        Only objects with status 0 are looked at.
    status : int8, shape (objects,)
        From `cut_objects`; not changed.
    window_rows, window_cols : int
        Window in crystals, odd numbers, centred on the crystal at the object's (eta, phi).
    edge : "pad" or "drop"
        Whether seeds in EB rows < 15 or > 153 are kept, or rejected as the training ntuples did.
    """
    status, size = status.copy(), (window_rows, window_cols)
    row, col = _seed_eb((energy.row, energy.col, energy.value), energy.offsets, objects, status, size)
    status[(status == OK) & _beyond_edge(row, edge)] = EDGE
    return Seeds(status, row, col)


def _beyond_edge(row: Array, edge: str) -> Array:
    return (row < EDGE_ROWS[0]) | (row > EDGE_ROWS[1]) if edge == "drop" else np.zeros(len(row), np.bool_)


@kernel
def _hottest_tower(
    frame: tuple[Array, Array, Array], first: int, last: int, axis: tuple[int, int]
) -> tuple[Scalar, Scalar]:
    """Return (ieta, iphi) of the hottest depth-1 tower in the 7x7 round `axis`; (0, 0) if there is none.

    ieta runs over the integers axis-3 ... axis+3, of which 0 does not exist.
    """
    row, col, value = frame
    best, best_pixel = np.float32(-1), -1
    found: tuple[Scalar, Scalar] = (0, 0)
    for k in range(first, last):
        ieta = row[k] - 27 if row[k] >= 28 else row[k] - 28
        i, j = ieta - axis[0] + 3, (col[k] + 1 - axis[1] + 3) % 72
        if i < 0 or i > 6 or j > 6:
            continue
        at = i * 7 + j
        if best_pixel < 0 or value[k] > best or (value[k] == best and at < best_pixel):
            best, best_pixel, found = value[k], at, (ieta, np.int64(col[k]) + 1)
    return found


@kernel
def _seed_jet(
    frame: tuple[Array, Array, Array],
    offsets: Array,
    objects: Directions,
    status: Array,
    keep_empty: bool,
) -> tuple[Array, Array]:
    event, eta, phi = objects
    row, col = np.full(len(event), -1, np.int16), np.full(len(event), -1, np.int16)
    for k in range(len(event)):
        if status[k] != OK:
            continue
        axis = tower_at(np.float64(eta[k]), np.float64(phi[k]))
        ieta, iphi = _hottest_tower(frame, offsets[event[k]], offsets[event[k] + 1], axis)
        if ieta == 0 and keep_empty:
            ieta, iphi = axis
        if ieta == 0:
            status[k] = NO_HIT
            continue
        tower = (ieta - 1 if ieta > 0 else ieta) + 28
        row[k], col[k] = 5 * tower + 2, 5 * tower_column(iphi) + 2
        if abs(ieta) > SEED_IETA_MAX:
            status[k] = SEED_ETA
    return row, col


def hcal_tower(depth1: Hits, objects: Directions, status: Array, *, no_hit: str) -> Seeds:
    """Take the hottest depth-1 HCAL tower round each jet axis as the centre of its crop.

    Parameters
    ----------
    depth1 : Hits
        From `layers.hbhe_depth1`.
    objects, status
        As in `eb_hottest`, for jets with |eta| < 3.
    no_hit : "axis" or "reject"
        Without any depth-1 hit in the 7x7 towers: centre on the jet axis, as the reference's C++ does, or
        reject the jet as no_hit.
    """
    status = status.copy()
    frame = (depth1.row, depth1.col, depth1.value)
    row, col = _seed_jet(frame, depth1.offsets, objects, status, no_hit == "axis")
    return Seeds(status, row, col)


def given_crystals(status: Array, row: Array, col: Array, *, edge: str, **_: object) -> Seeds:
    """Take the barrel crystals that the file says as the centres of crops.

    Parameters
    ----------
    status : int8, shape (objects,)
        From `cut_objects`; not changed.
    row, col : int16, shape (objects,)
        Pixel on the EB grid, -1 where the file says that there is none.
    edge : "pad" or "drop"
        As in `eb_hottest`.
    """
    return _given(status, row, col, _beyond_edge(row, edge), EDGE)


def given_towers(status: Array, row: Array, col: Array, **_: object) -> Seeds:
    """Take the HCAL towers that the file says, as pixels on the stitched grid, as the centres of crops."""
    beyond = (row // 5 < 28 - SEED_IETA_MAX) | (row // 5 >= 28 + SEED_IETA_MAX)
    return _given(status, row, col, beyond, SEED_ETA)


def _given(status: Array, row: Array, col: Array, beyond: Array, reason: int) -> Seeds:
    status = np.where(status == OK, np.where(row < 0, NO_HIT, np.where(beyond, reason, OK)), status)
    found = (status == OK) | (status == reason)
    places = (np.where(found, place, -1).astype(np.int16) for place in (row, col))
    return Seeds(status.astype(np.int8), *places)
