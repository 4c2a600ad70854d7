"""Single electrons and photons in the barrel: bremsstrahlung and conversions in the tracker."""

from __future__ import annotations

import numpy as np

from e2edist.demo.particles import BEND, ECAL_RADIUS, Table, Truth, join, pick
from e2edist.imaging.event_batch import Array

#: Radii (m) where the tracker's material is lumped together.
_RADII = np.array([0.04, 0.08, 0.14, 0.24, 0.36, 0.48, 0.60, 0.74, 0.88, 1.02])
_SOFTEST = 0.01
#: Share of conversions that photon identification lets pass: pairs with tracks are mostly vetoed.
_UNVETOED = 0.4
#: Slope of the energy spectrum in GeV.
SLOPE = 12.0
NONE = -1


def make_eg(count: int, rng: np.random.Generator) -> Truth:
    """Return one electron (label 1) or photon (label 0) of 15-80 GeV per event; 2 % of events have none."""
    event = np.flatnonzero(rng.random(count) > 0.02)
    n = len(event)
    label = (rng.random(n) < 0.5).astype(np.int64)
    # A falling spectrum between 15 and 80 GeV: 15 - L log(1 - u (1 - exp(-65 / L))).
    energy = 15 - SLOPE * np.log1p(-rng.random(n) * -np.expm1(-65 / SLOPE))
    eta = rng.uniform(-1.46, 1.46, n)
    gun = {"event": event, "energy": energy, "eta": eta, "phi": rng.uniform(-np.pi, np.pi, n)}
    rays, charged = _propagate(gun, label == 1, rng)
    truth = Truth(em=[rays], tracks=[charged])
    _candidates(truth, gun, rays, label, rng)
    return truth


def material(eta: Array) -> Array:
    """Return the tracker's thickness in radiation lengths at `eta` (barrel)."""
    return 0.5 + 1.0 * (eta / 1.44) ** 2


def _propagate(gun: Table, electron: Array, rng: np.random.Generator) -> tuple[Table, Table]:
    """Step electrons, and the pairs of photons that convert, through the tracker.

    Small-angle motion in the transverse plane: ``offset`` (m) and ``slope`` with respect to the initial
    direction; a radiated photon goes on straight from where it is born.
    """
    step = material(gun["eta"]) / len(_RADII)
    born = np.where(electron, 0, _conversion(step, rng))
    legs = _legs(gun, born, electron, rng)
    thin = step[legs["row"]]
    radius, photons = 0.0, [pick(gun, born == NONE)]
    for layer, at in enumerate((*_RADII, ECAL_RADIUS)):
        alive = (legs["born"] < layer) | legs["prompt"]
        bend = np.where(alive, legs["charge"] * BEND / np.maximum(legs["pt"], 0.05), 0.0)
        path = at - radius
        legs["offset"] = legs["offset"] + legs["slope"] * path + bend * path**2
        legs["slope"] = legs["slope"] + 2 * bend * path
        radius = at
        if layer < len(_RADII):
            photons.append(_radiate(legs, np.where(alive, thin, 0.0), at, rng))
    inside = legs["pt"] > 0.75
    legs["phi"] = legs["phi"] + legs["offset"] / ECAL_RADIUS
    legs["energy"] = legs["pt"] * np.cosh(legs["eta"])
    rays = [{k: t[k] for k in ("event", "energy", "eta", "phi")} for t in (*photons, pick(legs, inside))]
    return join(rays), _tracks(legs, gun, rng)


def _conversion(step: Array, rng: np.random.Generator) -> Array:
    """Return the layer where an identified photon converts (7/9 per radiation length), or NONE."""
    depth = rng.exponential(9 / 7, len(step)) / step
    converts = (depth < len(_RADII)) & (rng.random(len(step)) < _UNVETOED)
    return np.where(converts, depth, NONE).astype(np.int64)


def _legs(gun: Table, born: Array, electron: Array, rng: np.random.Generator) -> Table:
    """Return one leg per electron and two, of opposite charge, per converted photon."""
    n = len(born)
    share, sign = rng.beta(0.9, 0.9, n), np.where(rng.random(n) < 0.5, -1, 1)
    first, second = np.flatnonzero(born != NONE), np.flatnonzero((born != NONE) & ~electron)
    row = np.concatenate([first, second])
    other = np.concatenate([np.zeros(len(first), dtype=bool), np.ones(len(second), dtype=bool)])
    part = np.where(electron[row], 1.0, np.where(other, 1 - share[row], share[row]))
    pt = gun["energy"][row] / np.cosh(gun["eta"][row]) * part
    legs = {name: gun[name][row] for name in ("event", "eta", "phi")}
    still = np.zeros(len(row))
    legs |= {"row": row, "born": born[row], "prompt": electron[row], "pt": pt, "start": pt}
    return legs | {"charge": np.where(other, -1, 1) * sign[row], "offset": still, "slope": still}


def _radiate(legs: Table, thickness: Array, at: float, rng: np.random.Generator) -> Table:
    """Let legs radiate at radius `at` with dN/dz ~ 1/z, and return the photons at ECAL."""
    rate = 4 / 3 * np.log(1 / _SOFTEST) * thickness
    hit = rng.random(len(rate)) < -np.expm1(-rate)
    share = _SOFTEST ** rng.random(len(rate))
    photons = pick(legs, hit)
    energy = (legs["pt"] * share * np.cosh(legs["eta"]))[hit]
    turn = (photons["offset"] + photons["slope"] * (ECAL_RADIUS - at)) / ECAL_RADIUS
    legs["pt"] = np.where(hit, legs["pt"] * (1 - share), legs["pt"])
    return {"event": photons["event"], "energy": energy, "eta": photons["eta"], "phi": photons["phi"] + turn}


def _tracks(legs: Table, gun: Table, rng: np.random.Generator) -> Table:
    """Return the tracks of legs that begin in the inner tracker."""
    rows = pick(legs, (legs["born"] <= 3) & (legs["start"] > 0.5))
    n = len(rows["event"])
    return {
        "event": rows["event"],
        "pt": rows["start"] * (1 + rng.normal(0, 0.03, n)),
        "eta": rows["eta"] + rng.normal(0, 0.001, n),
        "phi": gun["phi"][rows["row"]] + rng.normal(0, 0.001, n),
        "dxy": rng.normal(0, 0.004, n),
        "dz": rng.normal(0, 0.006, n),
        "quality": np.where(rng.random(n) < 0.85, 4, 0),
    }


def _candidates(truth: Truth, gun: Table, rays: Table, label: Array, rng: np.random.Generator) -> None:
    """Add a Photon per particle at the energy-weighted impact point; electrons are GsfElectrons as well."""
    size = int(gun["event"].max(initial=-1)) + 1
    centre = np.zeros(size)
    centre[gun["event"]] = gun["phi"]
    away = rays["phi"] - centre[rays["event"]]
    energy = np.bincount(rays["event"], weights=rays["energy"], minlength=size)
    shift = np.bincount(rays["event"], weights=rays["energy"] * away, minlength=size) / np.maximum(
        energy, 1e-9
    )
    n = len(label)
    seen = {
        "event": gun["event"],
        "pt": gun["energy"] / np.cosh(gun["eta"]) * (1 + rng.normal(0, 0.02, n)),
        "eta": gun["eta"] + rng.normal(0, 0.003, n),
        "phi": gun["phi"] + shift[gun["event"]] + rng.normal(0, 0.003, n),
        "label": label,
    }
    truth.photon.append(seen)
    truth.electron.append(pick(seen, label == 1))
