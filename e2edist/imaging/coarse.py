"""Coarse images, for files without hits: calorimeter towers and particles on the grids of the layers.

A tower gives the same energy to every pixel whose centre it covers; one that covers none, as towers finer
than the grid, gives all of it to the pixel at its direction. Towers and particles beyond ``|eta| = 3``, and
numbers that are not finite, are in no image (docs/images.md, Coarse images).

A pixel may occur more than once in an event; its values are added.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .event_batch import Array
from .geometry import (
    BARREL_ETA,
    CRYSTAL,
    EB_FIRST_ROW,
    EB_SHAPE,
    ECAL_SHAPE,
    EE_ETA_EDGES,
    HBHE_ETA_EDGES,
    HBHE_SHAPE,
    direction_pixels,
)

_BARREL_EDGES = np.append(np.arange(EB_SHAPE[0] // 2) * CRYSTAL, BARREL_ETA)
#: HCAL towers from the next one on are 10 degrees wide: two columns are one place among the seeds.
_LAST_NARROW_TOWER = 20


@dataclass(frozen=True, slots=True)
class Grid:
    """A grid that towers can be spread over.

    Attributes
    ----------
    shape : (int, int)
        Rows and columns; column 0 begins at -10 degrees.
    centres : float64, shape (rows,)
        Pseudorapidity of the middle of each row, ascending.
    per_pixel : int
        Rows, and columns, of the stitched grid that one of its pixels is made of.
    """

    shape: tuple[int, int]
    centres: Array
    per_pixel: int


class Pixels(NamedTuple):
    """Pixels of events, in any order.

    Attributes
    ----------
    offsets : int64, shape (events + 1,)
        Row range of each event.
    row, col : int, shape (rows,)
        Place on the grid; row -1 is nowhere.
    value : array, shape (rows,)
        0 where there is nothing.
    """

    offsets: Array
    row: Array
    col: Array
    value: Array


def _centres(edges: Array) -> Array:
    middles = (edges[1:] + edges[:-1]) / 2
    return np.concatenate([-middles[::-1], middles])


ECAL = Grid(ECAL_SHAPE, _centres(np.append(_BARREL_EDGES[:-1], EE_ETA_EDGES)), 1)
HBHE = Grid(HBHE_SHAPE, _centres(HBHE_ETA_EDGES), 5)


def particle_pixels(grid: Grid, eta: Array, phi: Array, value: Array, offsets: Array) -> Pixels:
    """Return `value` in the pixel of `grid` at each direction, given in radians; NaN and infinity as 0.

    Parameters
    ----------
    eta, phi, value : array, shape (rows,)
    offsets : int64, shape (events + 1,)
        Row range of each event.
    """
    row, col = direction_pixels(eta, phi)
    value = np.where(np.isfinite(value), value, 0)
    return Pixels(offsets, row // grid.per_pixel, col // grid.per_pixel, value)


def tower_pixels(
    grid: Grid, edges: Array, direction: tuple[Array, Array], energy: Array, offsets: Array
) -> Pixels:
    """Return the energies of towers, each spread evenly over what it covers.

    Parameters
    ----------
    edges : array, shape (rows, 4)
        Lower and upper eta, lower and upper phi in radians. A tower whose edges are not ascending covers
        nothing.
    direction : (array, array)
        Eta and phi of each tower; one that is not finite is left out.
    energy : array, shape (rows,)
        In GeV; what is not positive is left out.
    offsets : int64, shape (events + 1,)
        Row range of each event.

    Raises
    ------
    ValueError
        The towers of an event cover more than the whole grid.
    """
    eta, phi = direction
    used = np.flatnonzero((energy > 0) & np.isfinite(energy + eta + phi))
    offsets = np.searchsorted(used, offsets)
    first, rows, left, cols = _covered(grid, edges[used])
    none = rows * cols == 0
    row, col = direction_pixels(eta[used[none]], phi[used[none]])
    first[none], left[none], rows[none], cols[none] = row // grid.per_pixel, col // grid.per_pixel, 1, 1
    counts = rows * cols
    ends = np.concatenate([[0], np.cumsum(counts)])
    # Before anything is made of that size: towers of a calorimeter do not overlap.
    if (np.diff(ends[offsets]) > grid.shape[0] * grid.shape[1] + np.diff(offsets)).any():
        raise ValueError("the towers of an event cover more than the whole detector")
    down, right = np.divmod(np.arange(ends[-1]) - np.repeat(ends[:-1], counts), np.repeat(cols, counts))
    return Pixels(
        ends[offsets],
        first.repeat(counts) + down,
        (left.repeat(counts) + right) % grid.shape[1],
        np.repeat(energy[used].astype(np.float64) / counts, counts),
    )


def hcal_tower_edges(eta: Array, phi: Array) -> Array:
    """Return the edges of the HCAL tower at each direction, as `tower_pixels` takes them: float64, (rows, 4).

    Beyond the last tower, and where a direction is not finite, they are NaN.
    """
    with np.errstate(invalid="ignore"):
        tower = np.searchsorted(HBHE_ETA_EDGES, np.abs(eta), side="right")
        inside = (np.abs(eta) < HBHE_ETA_EDGES[-1]) & np.isfinite(phi)
    tower = np.where(inside, tower, 1)
    width = np.radians(np.where(tower > _LAST_NARROW_TOWER, 10, 5))
    begin = np.floor(np.where(inside, phi, np.nan) / width) * width
    low, high = HBHE_ETA_EDGES[tower - 1], HBHE_ETA_EDGES[tower]
    mirrored = eta < 0
    return np.stack(
        [np.where(mirrored, -high, low), np.where(mirrored, -low, high), begin, begin + width], axis=1
    )


def _covered(grid: Grid, edges: Array) -> tuple[Array, Array, Array, Array]:
    """Return first row, rows, first column and columns of the pixels whose centres each tower covers."""
    low, high, begin, end = edges.astype(np.float64).T
    with np.errstate(invalid="ignore"):
        sound = np.isfinite(edges).all(axis=1) & (low < high) & (begin < end)
    low, high, begin, end = (np.where(sound, side, 0) for side in (low, high, begin, end))
    first = np.searchsorted(grid.centres, low)
    rows = np.searchsorted(grid.centres, high) - first
    # Centres are in the middle of columns, whose first begins at -10 degrees.
    width = 360 / grid.shape[1]
    left = np.ceil((np.degrees(begin) + 10) / width - 0.5)
    right = np.ceil((np.degrees(end) + 10) / width - 0.5)
    cols = np.minimum(right - left, grid.shape[1]).astype(np.int64)
    return first, rows, (left % grid.shape[1]).astype(np.int64), cols


def barrel_pixels(pixels: Pixels) -> Pixels:
    """Return those of the stitched grid that are in the barrel, on the EB grid."""
    row = pixels.row - EB_FIRST_ROW
    return pixels._replace(row=np.where(row < EB_SHAPE[0], np.maximum(row, -1), -1))


def seed_pixels(pixels: Pixels) -> Pixels:
    """Return those of the HBHE grid where jet seeds are looked for (`layers.hbhe_depth1`).

    Columns are iphi - 1, and of the two columns of a 10-degree tower the first.
    """
    col, middle = (pixels.col - 2) % HBHE_SHAPE[1], HBHE_SHAPE[0] // 2
    tower = np.where(pixels.row >= middle, pixels.row - middle + 1, middle - pixels.row)
    return pixels._replace(col=np.where(tower > _LAST_NARROW_TOWER, col - col % 2, col))
