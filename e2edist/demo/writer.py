"""Clusters of demo events in the hits form: one ROOT file, one `extend` per cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from e2edist.demo import pileup, showers
from e2edist.demo.electrons import make_eg
from e2edist.demo.jets import make_qg, make_tau, make_top
from e2edist.demo.particles import Table, Truth, join, pick

CLUSTER = 250
_HITS = {"detid": "u4", "energy": "f4", "time": "f4"}
_OBJECT = {"pt": "f4", "eta": "f4", "phi": "f4", "label": "i4"}
_TRACK = {**dict.fromkeys(("pt", "eta", "phi", "dxy", "dz"), "f4"), "quality": "u1"}
BRANCHES: dict[str, dict[str, str]] = {
    **dict.fromkeys(("EBRecHit", "EERecHit", "HBRecHit", "HERecHit"), _HITS),
    "Track": _TRACK,
    **dict.fromkeys(("Photon", "GsfElectron", "PFJet"), _OBJECT),
}


@dataclass(frozen=True, slots=True)
class Sample:
    """A kind of demo events.

    Attributes
    ----------
    make : callable
        (events, rng) -> Truth of one cluster.
    pileup : float
        Activity of other collisions, 1 = 2012 Open Data.
    new_hcal : bool
        Whether HCAL detids are in the new form (docs/images.md, Detector ids).
    """

    make: Callable[[int, np.random.Generator], Truth]
    pileup: float
    new_hcal: bool


SAMPLES = {
    "eg": Sample(make_eg, 1.0, new_hcal=False),
    "qg": Sample(make_qg, 1.2, new_hcal=False),
    "top": Sample(make_top, 1.5, new_hcal=True),
    "tau": Sample(make_tau, 1.2, new_hcal=True),
}


def make_cluster(sample: Sample, count: int, rng: np.random.Generator) -> dict[str, Table]:
    """Return the tables of one cluster of `count` events, rows sorted by event; keys as in `BRANCHES`."""
    truth = sample.make(count, rng)
    busy = pileup.activity(count, sample.pileup, rng)
    truth.tracks.append(pileup.soft_tracks(busy, rng))
    pileup.fakes(truth, busy, rng)
    barrel, endcap = showers.split_barrel(join(truth.em))
    eb = _hits([showers.barrel(barrel, rng)], pileup.barrel_hits(busy, rng), (0.04, 0.08), rng)
    ee = _hits([showers.endcap(endcap, rng)], pileup.endcap_hits(busy, rng), (0.1, 0.25), rng)
    noise = pileup.hcal_hits(busy, rng, new=sample.new_hcal)
    towers = [showers.hcal(join(truth.hadrons), rng, new=sample.new_hcal)] if truth.hadrons else []
    hcal = _hits(towers, noise, (0.15, 0.4), rng)
    inner = (hcal["detid"] >> 25) & 7 == 1
    tables = {"EBRecHit": eb, "EERecHit": ee, "HBRecHit": pick(hcal, inner), "HERecHit": pick(hcal, ~inner)}
    objects = {
        "Track": truth.tracks,
        "Photon": truth.photon,
        "GsfElectron": truth.electron,
        "PFJet": truth.jet,
    }
    for name, parts in objects.items():
        rows = join(parts)
        rows["phi"] = (rows["phi"] + np.pi) % (2 * np.pi) - np.pi
        tables[name] = pick(rows, np.argsort(rows["event"], kind="stable"))
    return tables


def _hits(showered: list[Table], noise: Table, cuts: tuple[float, float], rng: np.random.Generator) -> Table:
    """Return hits of a cluster sorted by (event, detid): showers and noise in one cell are one hit.

    Noise keeps its negative energies. About 1 % of events hold a detid twice, as real events do.
    """
    parts = [noise]
    if showered:
        parts.append(showers.digitise(showered, *cuts, rng))
    merged = showers.digitise(parts, 0.0, -np.inf, rng)
    total = len(merged["energy"])
    events = int(merged["event"].max(initial=-1)) + 1
    twice = np.sort(rng.choice(total, min(total, rng.poisson(0.01 * events)), replace=False))
    again = pick(merged, twice)
    again["energy"] = 0.4 * again["energy"]
    merged["energy"][twice] *= 0.6
    hits = {name: np.insert(column, twice + 1, again[name]) for name, column in merged.items()}
    size = len(hits["energy"])
    width = np.minimum(0.5 + 2.0 / np.maximum(np.abs(hits["energy"]), 0.1), 20.0)
    hits["time"] = rng.standard_normal(size) * width
    return hits


def write_events(path: Path, sample: Sample, key: tuple[int, ...], start: int, stop: int) -> Path:
    """Write the events ``start:stop`` of a sample as the tree ``Events`` of `path` (ZSTD) and return it.

    A cluster has a random stream of its own, from `key` and its first event. Run is 1, the luminosity block
    the number of the cluster, the event its place in the sample, from 1 on.
    """
    uproot: Any = import_module("uproot")
    with uproot.recreate(path, compression=uproot.ZSTD(3)) as file:
        tree = None
        for first in range(start, stop, CLUSTER):
            count = min(CLUSTER, stop - first)
            tables = make_cluster(sample, count, np.random.default_rng((*key, first)))
            data = _ragged(tables, count) | {
                "run": np.ones(count, np.uint32),
                "luminosityBlock": np.full(count, 1 + first // CLUSTER, np.uint32),
                "event": np.arange(first + 1, first + count + 1, dtype=np.uint64),
            }
            if tree is None:
                tree = file.mktree("Events", {k: _branch_type(v) for k, v in data.items()})
            tree.extend(data)
    return path


def _branch_type(values: Any) -> Any:
    return values.dtype if isinstance(values, np.ndarray) else values.type.content


def _ragged(tables: dict[str, Table], events: int) -> dict[str, Any]:
    """Return each table as one awkward record array, which uproot splits into branches with one counter."""
    import awkward as ak

    arrays = {}
    for name, columns in BRANCHES.items():
        rows = tables[name]
        counts = np.bincount(rows["event"], minlength=events)
        flat = ak.zip({c: rows[c].astype(kind) for c, kind in columns.items()}, depth_limit=1)
        arrays[name] = ak.unflatten(flat, counts)
    return arrays
