"""Quark and gluon jets, boosted tops, hadronic taus and the QCD jets they are told from."""

from __future__ import annotations

import numpy as np

from e2edist.demo.particles import (
    CHARGED,
    PHOTON,
    Table,
    Truth,
    collect,
    fragment,
    join,
    pick,
    radiate,
)
from e2edist.imaging.event_batch import Array

TOP, W, B, PION = 172.5, 80.4, 4.8, 0.14
#: Mean transverse distance (cm) by which tracks of b and tau decays miss the vertex.
LIFE_B, LIFE_TAU = 0.04, 0.012


def make_qg(count: int, rng: np.random.Generator) -> Truth:
    """Return one light-quark (label 1) or gluon (label 0) jet of pT 50-200 GeV per event."""
    jets, label = _jets(count, (50, 200), rng)
    partons = {**jets, "gluon": label == 0, "life": np.zeros(len(label))}
    return _finish(jets, label, fragment(radiate(partons, rng), rng), rng)


def make_top(count: int, rng: np.random.Generator) -> Truth:
    """Return one boosted top (label 1: t -> b q q') or QCD jet (label 0) of pT 400-600 GeV per event."""
    jets, label = _jets(count, (400, 600), rng)
    top = pick(jets, label == 1)
    partons = join([_top_decay(top, rng), _qcd(pick(jets, label == 0), rng)])
    return _finish(jets, label, fragment(radiate(partons, rng), rng), rng)


def make_tau(count: int, rng: np.random.Generator) -> Truth:
    """Return one hadronic tau (label 1: 1 or 3 prongs, pi0s) or QCD jet of pT 40-150 GeV per event."""
    jets, label = _jets(count, (40, 150), rng)
    qcd = fragment(radiate(_qcd(pick(jets, label == 0), rng), rng), rng)
    return _finish(jets, label, join([_tau_decay(pick(jets, label == 1), rng), qcd]), rng)


def _jets(count: int, pt: tuple[float, float], rng: np.random.Generator) -> tuple[Table, Array]:
    """Return the axes and labels of one jet per event; 2 % of events have none, some jets lie forward."""
    event = np.flatnonzero(rng.random(count) > 0.02)
    n = len(event)
    eta = np.where(rng.random(n) < 0.9, rng.uniform(-1.3, 1.3, n), rng.uniform(-2.6, 2.6, n))
    axis = {"event": event, "pt": rng.uniform(*pt, n), "eta": eta, "phi": rng.uniform(-np.pi, np.pi, n)}
    return axis, (rng.random(n) < 0.5).astype(np.int64)


def _qcd(jets: Table, rng: np.random.Generator) -> Table:
    """Return the parton of QCD jets: 60 % gluons, 5 % b quarks."""
    dice = rng.random(len(jets["pt"]))
    return {**jets, "gluon": dice < 0.6, "life": np.where(dice > 0.95, LIFE_B, 0.0)}


def _isotropic(count: int, rng: np.random.Generator) -> Array:
    """Return unit vectors, shape (count, 3)."""
    vectors = rng.standard_normal((count, 3))
    unit: Array = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def _boost(momentum: Array, mass: float, frame: Array, frame_mass: float) -> Array:
    """Return momenta (n, 3) in the laboratory of particles of `mass`, given in the rest frame of `frame`."""
    energy = np.sqrt((momentum**2).sum(axis=1) + mass**2)
    frame_energy = np.sqrt((frame**2).sum(axis=1) + frame_mass**2)
    along = (momentum * frame).sum(axis=1)
    factor = along / (frame_mass * (frame_energy + frame_mass)) + energy / frame_mass
    boosted: Array = momentum + factor[:, None] * frame
    return boosted


def _vectors(jets: Table) -> Array:
    """Return momenta (n, 3) of pt, eta, phi."""
    pt, phi = jets["pt"], jets["phi"]
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(jets["eta"])], axis=1)


def _table(event: Array, vectors: Array) -> Table:
    """Return event, pt, eta, phi of momenta (n, 3)."""
    pt = np.hypot(vectors[:, 0], vectors[:, 1])
    phi = np.arctan2(vectors[:, 1], vectors[:, 0])
    return {"event": event, "pt": pt, "eta": np.arcsinh(vectors[:, 2] / np.maximum(pt, 1e-9)), "phi": phi}


def _top_decay(tops: Table, rng: np.random.Generator) -> Table:
    """Return b, q, q' of t -> b W, W -> q q', both decays isotropic in their rest frames."""
    frame, n = _vectors(tops), len(tops["pt"])
    p_star = np.sqrt((TOP**2 - (W + B) ** 2) * (TOP**2 - (W - B) ** 2)) / (2 * TOP)
    way, quark_way = _isotropic(n, rng) * p_star, _isotropic(n, rng) * (W / 2)
    bottom, w = _boost(way, B, frame, TOP), _boost(-way, W, frame, TOP)
    made = [
        _table(tops["event"], p) for p in (bottom, _boost(quark_way, 0, w, W), _boost(-quark_way, 0, w, W))
    ]
    lives = (LIFE_B, 0.0, 0.0)
    none = np.zeros(n, dtype=bool)
    return join([{**t, "gluon": none, "life": np.full(n, life)} for t, life in zip(made, lives, strict=True)])


def _tau_decay(taus: Table, rng: np.random.Generator) -> Table:
    """Return one or three charged pions and zero to two pi0s (as photon pairs) per tau; 70 % are visible."""
    n = len(taus["pt"])
    prongs = np.where(rng.random(n) < 0.77, 1, 3)
    neutral = np.where(prongs == 1, rng.choice(3, n, p=[0.17, 0.55, 0.28]), rng.choice(2, n, p=[0.65, 0.35]))
    parent = np.repeat(np.arange(n), prongs + 2 * neutral)
    order = np.arange(len(parent)) - np.repeat(
        np.cumsum(prongs + 2 * neutral) - prongs - 2 * neutral, prongs + 2 * neutral
    )
    charged = order < prongs[parent]
    weight = rng.gamma(np.where(charged, 2.0, 1.0)) + 1e-3
    weight /= np.bincount(parent, weights=weight, minlength=n)[parent]
    made = pick(taus, parent)
    # A cone of m_tau / pT; the second photon of a pi0 lies close to the first, which this spread covers.
    width = 0.9 / made["pt"]
    made |= {"pt": made["pt"] * weight, "gluon": np.zeros(len(parent), dtype=bool)}
    made["eta"], made["phi"] = made["eta"] + rng.normal(0, width), made["phi"] + rng.normal(0, width)
    made |= {"life": np.full(len(parent), LIFE_TAU), "kind": np.where(charged, CHARGED, PHOTON)}
    return {**made, "charge": np.where(order % 2 == 0, 1, -1) * np.where(rng.random(n) < 0.5, 1, -1)[parent]}


def _finish(jets: Table, label: Array, particles: Table, rng: np.random.Generator) -> Truth:
    """Return the truth of jets with their particles; the jet's pT is smeared by 5 %."""
    truth = Truth()
    particles["phi"] = (particles["phi"] + np.pi) % (2 * np.pi) - np.pi
    collect(truth, particles, rng)
    n = len(label)
    jet = {"event": jets["event"], "pt": jets["pt"] * (1 + rng.normal(0, 0.05, n)), "label": label}
    truth.jet.append(jet | {name: jets[name] + rng.normal(0, 0.01, n) for name in ("eta", "phi")})
    return truth
