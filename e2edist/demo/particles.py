"""From partons to particles to what meets the calorimeter, as tables of flat arrays."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from e2edist.demo.detector import ETA_MAX
from e2edist.imaging.event_batch import Array

#: Columns of equal length; every table has the column ``event``.
Table = dict[str, Array]

PHOTON, CHARGED, NEUTRAL = 0, 1, 2
#: 0.3 B R / 2 per metre in GeV: sine of the turn of a track of 1 GeV after 1 m in 3.8 T.
BEND = 0.57
ECAL_RADIUS, ECAL_Z = 1.29, 3.17


@dataclass
class Truth:
    """What one cluster of events holds before digitisation.

    Attributes
    ----------
    em, hadrons : list of tables
        event, energy (GeV), eta, phi: the impact points on ECAL.
    tracks, photon, electron, jet : list of tables
        As they are written; see `writer`.
    """

    em: list[Table] = field(default_factory=list)
    hadrons: list[Table] = field(default_factory=list)
    tracks: list[Table] = field(default_factory=list)
    photon: list[Table] = field(default_factory=list)
    electron: list[Table] = field(default_factory=list)
    jet: list[Table] = field(default_factory=list)


def join(tables: list[Table]) -> Table:
    """Return the rows of all tables, which have the same columns."""
    return {name: np.concatenate([t[name] for t in tables]) for name in tables[0]}


def pick(table: Table, index: Array) -> Table:
    """Return the rows of `table` that a mask or an index array names."""
    return {name: column[index] for name, column in table.items()}


def radiate(partons: Table, rng: np.random.Generator) -> Table:
    """Add gluons at log-uniform angle and momentum share; gluons emit 9/4 as often as quarks."""
    count = rng.poisson(np.where(partons["gluon"], 2.0, 0.9))
    parent = np.repeat(np.arange(len(count)), count)
    share = 0.02 * 20.0 ** rng.random(len(parent))
    angle, turn = 0.03 * 12.0 ** rng.random(len(parent)), rng.uniform(0, 2 * np.pi, len(parent))
    emitted = pick(partons, parent)
    emitted["pt"] = emitted["pt"] * share
    emitted["eta"] = emitted["eta"] + angle * np.cos(turn)
    emitted["phi"] = emitted["phi"] + angle * np.sin(turn)
    emitted["gluon"] = np.ones(len(parent), dtype=bool)
    emitted["life"] = np.zeros(len(parent))
    lost = np.bincount(parent, weights=np.log1p(-share), minlength=len(count))
    return join([{**partons, "pt": partons["pt"] * np.exp(lost)}, emitted])


def fragment(partons: Table, rng: np.random.Generator) -> Table:
    """Return hadrons and photons of partons: gluons give 1.6 times more, softer and broader."""
    gluon = partons["gluon"]
    count = 2 + rng.poisson(1.5 * partons["pt"] ** 0.45 * np.where(gluon, 1.6, 1.0))
    parent = np.repeat(np.arange(len(count)), count)
    weight = rng.gamma(np.where(gluon, 0.6, 0.4)[parent]) + 1e-6
    weight /= np.bincount(parent, weights=weight)[parent]
    made = pick(partons, parent)
    made["pt"] = made["pt"] * weight
    width = np.where(made["gluon"], 0.42, 0.34) / np.maximum(made["pt"], 0.2)
    # Transverse momenta of some 0.4 GeV with respect to the parton: soft hadrons lie farther out.
    made["eta"] = made["eta"] + np.clip(rng.normal(0, width), -0.5, 0.5)
    made["phi"] = made["phi"] + np.clip(rng.normal(0, width), -0.5, 0.5)
    dice = rng.random(len(parent))
    made["kind"] = np.where(dice < 0.6, CHARGED, np.where(dice < 0.87, PHOTON, NEUTRAL))
    made["charge"] = np.where(rng.random(len(parent)) < 0.5, -1, 1)
    return pick(made, made["pt"] > 0.3)


def impact(particles: Table) -> Table:
    """Return rows that reach ECAL with ``phi`` moved to the impact point; a helix round the beam."""
    radius = np.minimum(ECAL_RADIUS, ECAL_Z / np.maximum(np.sinh(np.abs(particles["eta"])), 1e-6))
    sine = BEND * radius / particles["pt"] * (particles["kind"] == CHARGED)
    good = (sine < 1.0) & (np.abs(particles["eta"]) < ETA_MAX)
    moved = pick(particles, good)
    moved["phi"] = moved["phi"] + moved["charge"] * np.arcsin(sine[good])
    return moved


def tracks_of(particles: Table, rng: np.random.Generator) -> Table:
    """Return the tracks of charged particles: 92 % seen, impact parameters of 20-50 um or from decays."""
    seen = (particles["kind"] == CHARGED) & (np.abs(particles["eta"]) < 2.5)
    rows = pick(particles, seen & (rng.random(len(seen)) < 0.92))
    count = len(rows["event"])
    resolution = np.sqrt(0.002**2 + (0.006 / rows["pt"]) ** 2)
    flight = rng.exponential(1.0, count) * rows["life"]
    return {
        "event": rows["event"],
        "pt": rows["pt"] * (1 + rng.normal(0, 0.015, count)),
        "eta": rows["eta"] + rng.normal(0, 0.0005, count),
        "phi": rows["phi"] + rng.normal(0, 0.0005, count),
        "dxy": rng.normal(0, resolution) + flight * rng.normal(0, 1, count),
        "dz": rng.normal(0, 1.5 * resolution) + flight * rng.normal(0, 1, count),
        "quality": np.where(rng.random(count) < 0.95, 4, 0),
    }


def collect(truth: Truth, particles: Table, rng: np.random.Generator) -> None:
    """Add tracks and calorimeter energies of `particles` to `truth`; hadrons leave some 30 % in ECAL."""
    truth.tracks.append(tracks_of(particles, rng))
    hits = impact(particles)
    energy = hits["pt"] * np.cosh(hits["eta"])
    hadron = hits["kind"] != PHOTON
    passing = rng.random(len(energy)) < 0.4
    share = np.where(passing, np.minimum(0.3 / energy, 1.0), rng.beta(2.0, 2.2, len(energy)))
    place = {name: hits[name] for name in ("event", "eta", "phi")}
    truth.em.append({**place, "energy": np.where(hadron, share, 1.0) * energy})
    truth.hadrons.append({**pick(place, hadron), "energy": ((1 - share) * energy)[hadron]})
