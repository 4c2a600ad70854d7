"""PF-NanoAOD: images of particle-flow candidates at their directions, coarser than those of rechits.

Photons and electrons give their energy to the ECAL, hadrons to the HCAL, charged candidates are the tracks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from e2edist.imaging.coarse import ECAL, Grid, Pixels, particle_pixels

from ._coarse import calorimeter_layers, coarse_readers, inputs_of, names_of, object_readers, track_layers
from .api import BranchMap, Request, find_columns, plain_event_ids

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from e2edist.imaging.event_batch import Array

TREES = ("Events",)
LABELS: dict[str, tuple[str, ...]] = {
    "candidates": ("PFCands", "PFCand"),
    "photon": ("Photon",),
    "electron": ("Electron",),
    "jet": ("Jet",),
}
#: Input of candidates -> its name behind the label.
LEAVES = {"candidates": {key: key for key in ("eta", "phi", "pt", "mass", "d0", "dz")} | {"id": "pdgId"}}
EVENT_IDS = {"run": "run", "lumi": "luminosityBlock", "event": "event"}
#: |pdgId| of particle-flow candidates: e, photon, of HF; charged and neutral hadron, of HF; e, mu, hadron.
ECAL_IDS, HCAL_IDS, TRACK_IDS = (11, 22, 2), (211, 130, 1), (11, 13, 211)
APPROXIMATE = (
    "the images are approximate: made of particle-flow candidates at their direction at the vertex, and of "
    "all charged ones, whatever track_quality says; NanoAOD keeps only candidates of some jets"
)


def _energies(grid: Grid, values: Mapping[str, Array], offsets: Array) -> Pixels:
    pt, mass, eta = (values[key].astype(np.float64) for key in ("pt", "mass", "eta"))
    energy = np.sqrt((pt * np.cosh(eta)) ** 2 + mass**2)
    kept = np.isin(np.abs(values["id"]), ECAL_IDS if grid is ECAL else HCAL_IDS) & (pt > 0)
    return particle_pixels(grid, values["eta"], values["phi"], np.where(kept, energy, 0), offsets)


def _tracks(values: Mapping[str, Array]) -> dict[str, Array]:
    charged = np.isin(np.abs(values["id"]), TRACK_IDS)
    return {**values, "pt": np.where(charged, values["pt"], 0)}


_CALORIMETER = ("eta", "phi", "pt", "mass", "id")
#: Layer -> how it is made.
LAYERS = {
    **calorimeter_layers("candidates", dict.fromkeys(("ECAL", "HBHE"), _CALORIMETER), _energies),
    **track_layers("candidates", ("eta", "phi", "pt", "id"), _tracks),
}


def detect(names: Collection[str]) -> bool:
    """Return whether a tree with branches `names` is NanoAOD with particle-flow candidates."""
    return any(f"{label}_pt" in names for label in LABELS["candidates"])


def map_branches(request: Request) -> BranchMap:
    """Find the branches for all layers and objects of `request`; what is missing goes to its errors."""
    branches, rows = request.branches, "candidates"
    names = names_of(LABELS[rows], LEAVES[rows], "_", branches)
    wanted = inputs_of(request, LAYERS, rows)
    found = {rows: find_columns(request, rows, wanted, names, branches) if wanted else {}}
    tables = coarse_readers(request, LAYERS, found)
    tables += object_readers(request, "pfnano", "_", LABELS, branches)
    event_ids, notes = plain_event_ids(request, EVENT_IDS)
    return BranchMap(tuple(tables), event_ids, (APPROXIMATE, *notes))
