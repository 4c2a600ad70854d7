"""Noise, other collisions and fake candidates, as many as in real events (docs/images.md, Occupancies)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from e2edist.demo.detector import EB_COLS, EB_ROWS, eb_detid, ee_detid, ee_exists, hcal_detid, hcal_tower
from e2edist.demo.particles import Table, Truth
from e2edist.demo.showers import depths
from e2edist.imaging.event_batch import Array


@dataclass(frozen=True, slots=True)
class Level:
    """Mean hits per event of each kind, for `pileup` = 1: as in 2012 Open Data."""

    eb: float = 385.0
    ee: float = 245.0
    hbhe: float = 48.0
    tracks: float = 128.0
    candidates: float = 0.4


LEVEL = Level()
NEGATIVE = 0.115


def activity(count: int, pileup: float, rng: np.random.Generator) -> Array:
    """Return the activity of each event: mean `pileup`, spread so that the 95 % point is twice the mean."""
    return pileup * rng.gamma(3.5, 1 / 3.5, count)


def _events(mean: float, busy: Array, rng: np.random.Generator) -> Array:
    return np.repeat(np.arange(len(busy)), rng.poisson(mean * busy))


def _energies(count: int, median: float, spread: float, rng: np.random.Generator) -> Array:
    """Return log-normal energies, one in ten of them negative and small."""
    energy = median * np.exp(rng.normal(0, spread, count))
    return np.where(rng.random(count) < NEGATIVE, -np.abs(rng.normal(0, 0.4 * median, count)), energy)


def barrel_hits(busy: Array, rng: np.random.Generator) -> Table:
    """Return EB hits in loose groups of three, event by event."""
    seeds = _events(LEVEL.eb / 3, busy, rng)
    row = rng.integers(1, EB_ROWS - 1, len(seeds))[:, None] + rng.integers(-1, 2, (len(seeds), 3))
    col = rng.integers(0, EB_COLS, len(seeds))[:, None] + rng.integers(-1, 2, (len(seeds), 3))
    detid = eb_detid(row.ravel(), col.ravel() % EB_COLS)
    return {"event": np.repeat(seeds, 3), "detid": detid, "energy": _energies(len(detid), 0.18, 0.9, rng)}


def endcap_hits(busy: Array, rng: np.random.Generator) -> Table:
    """Return EE hits, uniform over the crystals."""
    event = _events(LEVEL.ee, busy, rng)
    ix, iy = np.nonzero(ee_exists())
    cell = rng.integers(0, len(ix), len(event))
    detid = ee_detid(ix[cell], iy[cell], rng.random(len(event)) < 0.5)
    return {"event": event, "detid": detid, "energy": _energies(len(detid), 1.2, 0.7, rng)}


def hcal_hits(busy: Array, rng: np.random.Generator, *, new: bool) -> Table:
    """Return HB and HE hits, uniform in eta and phi."""
    event = _events(LEVEL.hbhe, busy, rng)
    ieta, iphi = hcal_tower(rng.uniform(-2.9, 2.9, len(event)), rng.uniform(0, 2 * np.pi, len(event)))
    detid = hcal_detid(ieta, iphi, depths(ieta, rng, new=new), new=new)
    return {"event": event, "detid": detid, "energy": _energies(len(detid), 0.9, 0.8, rng)}


def soft_tracks(busy: Array, rng: np.random.Generator) -> Table:
    """Return tracks of other vertices: soft, and spread over 5 cm along the beam."""
    event = _events(LEVEL.tracks, busy, rng)
    n = len(event)
    same = rng.random(n) < 0.15
    return {
        "event": event,
        "pt": 0.3 + rng.exponential(0.7, n) + 8 * rng.pareto(3.0, n) * (rng.random(n) < 0.02),
        "eta": rng.uniform(-2.5, 2.5, n),
        "phi": rng.uniform(-np.pi, np.pi, n),
        "dxy": rng.normal(0, 0.01, n),
        "dz": rng.normal(0, np.where(same, 0.02, 5.0)),
        "quality": np.where(rng.random(n) < 0.85, 4, 0),
    }


def fakes(truth: Truth, busy: Array, rng: np.random.Generator) -> None:
    """Add candidates without truth (label -1): mostly soft or forward, so that cuts have work to do."""
    for tables in (truth.photon, truth.electron, truth.jet):
        event = _events(LEVEL.candidates, np.minimum(busy, 2.0), rng)
        n = len(event)
        place = {"eta": rng.uniform(-2.8, 2.8, n), "phi": rng.uniform(-np.pi, np.pi, n)}
        pt = 4 + rng.exponential(9.0, n) * (3 if tables is truth.jet else 1)
        tables.append({"event": event, "pt": pt, **place, "label": np.full(n, -1)})
