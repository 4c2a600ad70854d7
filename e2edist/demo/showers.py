"""Energy per calorimeter cell from energies at impact points."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from e2edist.demo.detector import (
    EB_COLS,
    EB_ROWS,
    eb_detid,
    eb_position,
    ee_detid,
    ee_exists,
    ee_position,
    hcal_detid,
    hcal_tower,
)
from e2edist.demo.particles import Table, join, pick
from e2edist.imaging.event_batch import Array
from e2edist.imaging.geometry import BARREL_ETA

HALF, SUB = 2, 16
#: Width of the lateral profile in crystals: 79 % of a central shower in its crystal, 95 % in 3x3.
_CORE = 0.14
_SPOTS = 4


@lru_cache(maxsize=1)
def profile() -> Array:
    """Return shares of a shower in 5x5 crystals for 16x16 impact points, shape (16, 16, 25).

    Cumulative of the profile 1/(r^2 + a^2)^(3/2) (Lednev, NIM A 366 (1995) 292), differenced at the
    crystals' corners.
    """
    place = (np.arange(SUB) + 0.5) / SUB
    corner = np.arange(2 * HALF + 2) - HALF
    x = (corner[None, :] - place[:, None])[:, None, :, None]
    y = (corner[None, :] - place[:, None])[None, :, None, :]
    cumulative = np.arctan(x / _CORE) + np.arctan(y / _CORE)
    cumulative = cumulative + np.arctan(x * y / (_CORE * np.sqrt(_CORE**2 + x**2 + y**2)))
    share = np.diff(np.diff(cumulative / (2 * np.pi), axis=2), axis=3)
    return (share / 0.965).reshape(SUB, SUB, -1)


def _spread(energy: Array, sub: tuple[Array, Array], rng: np.random.Generator) -> Array:
    """Return cell energies, shape (rays, 25): resolution of the whole, fluctuation of the shares."""
    total = energy * np.maximum(1 + rng.normal(0, 0.03 / np.sqrt(np.maximum(energy, 0.05)) + 0.003), 0.1)
    cells = total[:, None] * profile()[sub[0], sub[1]]
    wobble = rng.standard_normal(cells.shape, dtype=np.float32) * np.sqrt(0.006 * cells)
    return np.maximum(cells + wobble, 0.0)


def _sub(fraction: Array) -> Array:
    return np.clip((fraction * SUB).astype(np.int64), 0, SUB - 1)


def barrel(rays: Table, rng: np.random.Generator) -> Table:
    """Return event, detid, energy of EB cells hit by electromagnetic `rays`."""
    row, col = eb_position(rays["eta"], rays["phi"])
    r0, c0 = np.floor(row).astype(np.int64), np.floor(col).astype(np.int64)
    cells = _spread(rays["energy"], (_sub(row - r0), _sub(col - c0)), rng)
    step = np.arange(-HALF, HALF + 1)
    rows = (r0[:, None] + np.repeat(step, len(step))).ravel()
    cols = (c0[:, None] + np.tile(step, len(step))).ravel() % EB_COLS
    keep = (cells.ravel() > 0.004) & (rows >= 0) & (rows < EB_ROWS)
    event = np.repeat(rays["event"], len(step) ** 2)[keep]
    return {"event": event, "detid": eb_detid(rows[keep], cols[keep]), "energy": cells.ravel()[keep]}


def endcap(rays: Table, rng: np.random.Generator) -> Table:
    """Return event, detid, energy of EE cells hit by electromagnetic `rays`."""
    ix0, iy0, dx, dy = ee_position(rays["eta"], rays["phi"])
    cells = _spread(rays["energy"], (_sub(dx + 0.5), _sub(dy + 0.5)), rng)
    step = np.arange(-HALF, HALF + 1)
    ix = (ix0[:, None] + np.repeat(step, len(step))).ravel().clip(0, 101)
    iy = (iy0[:, None] + np.tile(step, len(step))).ravel().clip(0, 101)
    keep = (cells.ravel() > 0.01) & ee_exists()[ix, iy]
    side = np.repeat(rays["eta"] > 0, len(step) ** 2)[keep]
    event = np.repeat(rays["event"], len(step) ** 2)[keep]
    return {"event": event, "detid": ee_detid(ix[keep], iy[keep], side), "energy": cells.ravel()[keep]}


def hcal(rays: Table, rng: np.random.Generator, *, new: bool) -> Table:
    """Return event, detid, energy of HB and HE cells: four spots per hadron, over towers and depths."""
    count = len(rays["event"])
    share = rng.exponential(1.0, (count, _SPOTS))
    share /= share.sum(axis=1, keepdims=True)
    energy = rays["energy"] * np.maximum(1 + rng.normal(0, 0.8 / np.sqrt(rays["energy"] + 0.5)), 0.05)
    eta = np.clip(rays["eta"][:, None] + rng.normal(0, 0.04, share.shape), -2.99, 2.99).ravel()
    phi = (rays["phi"][:, None] + rng.normal(0, 0.04, share.shape)).ravel()
    ieta, iphi = hcal_tower(eta, phi)
    event = np.repeat(rays["event"], _SPOTS)
    detid = hcal_detid(ieta, iphi, depths(ieta, rng, new=new), new=new)
    return {"event": event, "detid": detid, "energy": (energy[:, None] * share).ravel()}


def depths(ieta: Array, rng: np.random.Generator, *, new: bool) -> Array:
    """Return a depth per hit that exists at `ieta`: one to three in Run 1, four or six in the new form."""
    size = np.abs(ieta)
    if new:
        return np.minimum(rng.geometric(0.45, len(size)), np.where(size <= 16, 4, 6))
    deepest = np.where((size <= 14) | (size == 17), 1, np.where(size >= 27, 3, 2))
    return np.minimum(rng.geometric(0.6, len(size)), deepest)


def digitise(parts: list[Table], noise: float, threshold: float, rng: np.random.Generator) -> Table:
    """Return one hit per (event, cell), sorted by both: noise added, cells below `threshold` dropped."""
    hits = join(parts)
    key = (hits["event"].astype(np.int64) << 32) | hits["detid"]
    cell, where = np.unique(key, return_inverse=True)
    summed = np.bincount(where, weights=hits["energy"], minlength=len(cell))
    energy = summed + rng.normal(0, noise, len(cell))
    table = {"event": cell >> 32, "detid": (cell & 0xFFFFFFFF).astype(np.uint32), "energy": energy}
    return pick(table, energy > threshold)


def split_barrel(rays: Table) -> tuple[Table, Table]:
    """Return the rays on EB and those on EE."""
    inside = np.abs(rays["eta"]) < BARREL_ETA
    return pick(rays, inside), pick(rays, ~inside & (np.abs(rays["eta"]) < 2.95))
