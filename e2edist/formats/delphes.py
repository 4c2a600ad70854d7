"""Delphes output: images of calorimeter towers and tracks, coarser than those of rechits.

The energies of a tower are spread over the pixels that its edges cover (`imaging.coarse`). Files without
``Tower.Edges`` are taken to have the towers of CMS's HCAL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from e2edist.imaging.coarse import ECAL, Grid, Pixels, hcal_tower_edges, tower_pixels

from ._check_branch import float_rows
from ._coarse import calorimeter_layers, coarse_readers, inputs_of, names_of, object_readers, track_layers
from .api import BranchErrors, BranchMap, EventIds, Request, check_branch, find_columns

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from e2edist.imaging.event_batch import Array

    from .api import JaggedColumn

TREES = ("Delphes",)
LABELS: dict[str, tuple[str, ...]] = {
    "towers": ("Tower",),
    "tracks": ("Track",),
    "photon": ("Photon",),
    "electron": ("Electron",),
    "jet": ("Jet",),
}
#: Input of towers or tracks -> its leaf.
LEAVES: dict[str, dict[str, str]] = {
    "towers": {"eta": "Eta", "phi": "Phi", "em": "Eem", "had": "Ehad"},
    "tracks": {"eta": "Eta", "phi": "Phi", "pt": "PT", "d0": "D0", "dz": "DZ"},
}
APPROXIMATE = (
    "the images are approximate: made of Delphes towers, each spread over the crystals that it covers, and "
    "of all tracks, whatever track_quality says"
)
NOTES = (APPROXIMATE, "run, lumi: Delphes output has none")
_NO_EDGES = "no Tower.Edges: each tower is spread over the tower of CMS's HCAL at its direction"
_CARD = (
    "A Delphes card writes towers and tracks with: add Branch Calorimeter/towers Tower Tower, and add Branch "
    "TrackMerger/tracks Track Track, in the module TreeWriter"
)
_EDGES = "Tower.Edges[4]"
#: Delphes gives lengths in mm.
_CM = 0.1


def _spread(grid: Grid, values: Mapping[str, Array], offsets: Array) -> Pixels:
    at = values["eta"], values["phi"]
    edges = values["edges"] if "edges" in values else hcal_tower_edges(*at)
    return tower_pixels(grid, edges, at, values["em" if grid is ECAL else "had"], offsets)


def _in_cm(values: Mapping[str, Array]) -> dict[str, Array]:
    return {key: one * np.float32(_CM) if key in ("d0", "dz") else one for key, one in values.items()}


#: Layer -> how it is made.
LAYERS = {
    **calorimeter_layers("towers", {"ECAL": ("eta", "phi", "em"), "HBHE": ("eta", "phi", "had")}, _spread),
    **track_layers("tracks", ("eta", "phi", "pt"), _in_cm),
}


def detect(names: Collection[str]) -> bool:
    """Return whether a tree with branches `names` is Delphes output."""
    known = frozenset(names)
    kinds = {"Tower", "Track", "EFlowTrack", "Jet"}
    return "Tower.Eta" in known or ({"Event", "Event_size"} <= known and not known.isdisjoint(kinds))


def map_branches(request: Request) -> BranchMap:
    """Find the branches for all layers and objects of `request`; what is missing goes to its errors."""
    branches = {branch.name: branch for branch in reversed(list(request.tree.itervalues(recursive=True)))}
    found = {}
    for rows, leaves in LEAVES.items():
        labels = request.collections.get(rows, LABELS[rows])
        names = names_of(labels, leaves, ".", branches)
        wanted = inputs_of(request, LAYERS, rows)
        found[rows] = find_columns(request, rows, wanted, names, branches) if wanted else {}
        if wanted > found[rows].keys():
            request.errors.add_hint(_CARD)
    edges = float_rows(branches[_EDGES], 4) if _EDGES in branches else None
    if found["towers"] and edges:
        found["towers"]["edges"] = edges
    tables = coarse_readers(request, LAYERS, found)
    tables += object_readers(request, "delphes", ".", LABELS, branches)
    notes = NOTES if edges or not found["towers"] else (*NOTES, _NO_EDGES)
    return BranchMap(tuple(tables), _event_ids(request, branches), notes)


def _event_ids(request: Request, branches: Mapping[str, Any]) -> EventIds | None:
    """Return how to read the number of the event, a list of one."""
    name, errors = "Event.Number", BranchErrors(request.errors.where)  # of its own: it is optional
    branch = check_branch(branches[name], name, "integer", errors) if name in branches else None
    if branch is None:
        return None

    def decode(lists: Mapping[str, JaggedColumn]) -> dict[str, Array | None]:
        numbers = lists[name]
        whole = len(numbers.data) == len(numbers.offsets) - 1 and (np.diff(numbers.offsets) == 1).all()
        sound = whole and numbers.data.min(initial=0) >= 0
        return {"event": numbers.data.astype(np.uint64) if sound else None}

    return EventIds((branch,), decode)
