"""Ntuples of MLAnalyzer and SCRegressor (tree ``fevt/RHTree``): ready-made images, a list of floats each.

An image has all its pixels, most of them 0. It becomes the list of its pixels while it is read, a few baskets
at a time. Where the file says which pixel an object's image is cut round, that is taken.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from e2edist.imaging.event_batch import OBJECT_KINDS, TRACKER_LAYERS, layer_of
from e2edist.imaging.geometry import EB_FIRST_ROW
from e2edist.imaging.layers import GRIDS, HBHE_DEPTH1, LAYERS

from ._crop_images import crop_reader
from ._image_columns import fold_images
from ._seeded_objects import LABELS as OBJECT_LABELS
from ._seeded_objects import SEEDS, ObjectBranches, find_objects
from .api import (
    BranchMap,
    JaggedColumn,
    Request,
    TableReader,
    build_pixels,
    check_branch,
    pixel_table,
    plain_event_ids,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from e2edist.imaging.event_batch import Ragged

    from .api import Branch

TREES = ("fevt/RHTree", "RHTree")
#: Kind of objects -> how the names of their branches begin; tracks -> images, without the quantity.
LABELS: dict[str, tuple[str, ...]] = {
    **OBJECT_LABELS,
    "tracks": (
        "ECAL_tracks",
        "ECAL_tracks_atECALfixIP",
        "ECAL_tracks_atECAL",
        "ECAL_tracks_atECALfixIPfromPV",
        "ECAL_tracks_atECALtransientTrack",
        "ECAL_tracks_PV",
    ),
}
EVENT_IDS = {"run": "runId", "lumi": "lumiId", "event": "eventId"}


@dataclass(frozen=True, slots=True)
class Source:
    """A branch that a layer can be taken from: its image, and which row of the layer its first one is."""

    name: str
    rows: int
    columns: int
    first_row: int = 0


def _own(name: str, layer: str) -> Source:
    return Source(name, *GRIDS[LAYERS[layer].grid])


#: Layer -> where it can be taken from, best first; track layers: `track_branches`.
IMAGES: dict[str, tuple[Source, ...]] = {
    "EB_energy": (_own("EB_energy", "EB_energy"), Source("ECAL_energy", *GRIDS["ECAL"], -EB_FIRST_ROW)),
    "EB_time": (_own("EB_time", "EB_time"),),
    "EE_minus": (_own("EEm_energy", "EE_minus"),),
    "EE_plus": (_own("EEp_energy", "EE_plus"),),
    "ECAL_energy": (_own("ECAL_energy", "ECAL_energy"),),
    # HBHE_energy_EB has the towers in front of the barrel, |ieta| <= 17, of 28.
    "HBHE_energy": (_own("HBHE_energy", "HBHE_energy"), Source("HBHE_energy_EB", 2 * 17, 72, 28 - 17)),
    **{
        name: tuple(_own(f"{name[:-1]}_layer{name[-1]}_ECAL{at}", name) for at in ("_atPV", ""))
        for name in TRACKER_LAYERS
    },
}
#: Track layer -> what stands behind ``ECAL_tracks``.
QUANTITIES = {"ECAL_tracksPt": ("Pt",), "ECAL_tracksD0": ("D0", "d0"), "ECAL_tracksDz": ("Dz", "z0")}
_STEM = "ECAL_tracks"
#: Images that are not defined as the layers of hits are.
_MEANS = ("ECAL_tracksD0", "ECAL_tracksDz")
_CROPS = "SC_energy"
_NO_SEEDS = "its images have no depths of HCAL to look for them in"
_KINDS = "Ask for other kinds of objects in the tagger file"


def detect(names: Collection[str]) -> bool:
    """Return whether a tree with branches `names` has images of MLAnalyzer or SCRegressor."""
    known = {source.name for sources in IMAGES.values() for source in sources} | {_CROPS}
    return not known.isdisjoint(names) or any(name.startswith(f"{_STEM}Pt") for name in names)


def track_branches(layer: str, label: str) -> list[str]:
    """Return the names that the branch of a track layer may have: ``ECAL_tracksPt_atECAL`` and so on."""
    return [f"{_STEM}{what}{label.removeprefix(_STEM)}" for what in QUANTITIES[layer]]


def map_branches(request: Request) -> BranchMap:
    """Find the branches for the layers and objects of `request`; what is missing goes to its errors."""
    if not request.layers:
        for name in sorted(request.columns.keys() - set(OBJECT_KINDS)):
            request.errors.add_unusable(name, "ready-made images are there in place of hits and tracks")
    objects, notes = _objects(request)
    tables = [table for name in sorted(request.layers) if (table := _layer(request, name, objects))]
    event_ids, absent = plain_event_ids(request, EVENT_IDS)
    every = [*(one.reader(request.columns[kind]) for kind, one in objects.items()), *tables]
    return BranchMap(tuple(every), event_ids, (*absent, *notes, *_notes(tables)))


def _notes(tables: Sequence[TableReader]) -> tuple[str, ...]:
    """Return which branches stand for layers of other names, and what is defined otherwise."""
    layers = [(layer_of(table.table), [branch.name for branch in table.branches]) for table in tables]
    other = [(layer, names) for layer, names in layers if layer != HBHE_DEPTH1.name and layer not in names]
    notes = [f"{layer} is {', '.join(names)}" for layer, names in other]
    if any(name.startswith(_MEANS) for _, names in layers for name in names):
        notes.append("d0 and dz are means over the tracks of a pixel, d0 with the sign of -dxy")
    return tuple(notes)


def _objects(request: Request) -> tuple[dict[str, ObjectBranches], tuple[str, ...]]:
    """Return kind -> what is there of objects that are asked for, and notes on what is not."""
    kinds = [kind for kind in OBJECT_KINDS if kind in request.columns]
    found = {kind: find_objects(request, kind) for kind in kinds}
    there = {kind: one for kind, one in found.items() if one.branches}
    if not there and kinds:
        names = [f"{label}_pt" for kind in kinds for label in LABELS[kind]]
        names += SEEDS.get(kinds[0], ())
        request.errors.add_missing(", ".join(kinds), names, request.branches, _KINDS)
        return {}, ()
    some = next((one.branches[0] for one in there.values()), None)
    every = {kind: one if one.branches else replace(one, count=some) for kind, one in found.items()}
    notes = tuple(note for one in every.values() if (note := one.note()))
    return every, notes


def _layer(request: Request, name: str, objects: Mapping[str, ObjectBranches]) -> TableReader | None:
    """Return what reads the pixels of a layer."""
    branches = request.branches
    if name == HBHE_DEPTH1.name:
        return _no_towers(request, objects)
    sources = _track_sources(request, name) if name in QUANTITIES else IMAGES[name]
    source = next((one for one in sources if one.name in branches), None)
    if source is not None:
        branch = check_branch(branches[source.name], name, "number", request.errors)
        return _image(name, source, branch) if branch else None
    if name == "EB_energy" and _CROPS in branches:
        if others := [kind for kind, one in objects.items() if kind != "photon" and one.branches]:
            what = f"{_CROPS} has no images of {', '.join(others)}, and there is no branch EB_energy"
            request.errors.add_unusable(name, what, _KINDS)
        return crop_reader(request, _CROPS, SEEDS["photon"])
    names = [one.name for one in sources]
    request.errors.add_missing(name, [*names, _CROPS] if name == "EB_energy" else names, branches)
    return None


def _track_sources(request: Request, name: str) -> tuple[Source, ...]:
    """Return where a track layer is, under the first label that has all track layers which are asked for."""
    labels = request.collections.get("tracks", LABELS["tracks"])
    ours = [label for label in labels if label.startswith(_STEM)] or list(LABELS["tracks"])
    branches, wanted = request.branches, request.layers & QUANTITIES.keys()
    for label in ours:
        if all(any(one in branches for one in track_branches(layer, label)) for layer in wanted):
            return tuple(_own(one, name) for one in track_branches(name, label))
    return tuple(_own(one, name) for label in ours for one in track_branches(name, label))


def _image(layer: str, source: Source, branch: Branch) -> TableReader:
    """Return what reads the pixels of a layer from the branch with its image."""
    kept = fold_images(branch.name, source.rows * source.columns, signed=LAYERS[layer].signed)

    def build(lists: Mapping[str, JaggedColumn]) -> Ragged:
        offsets, pixels = lists[branch.name]
        row, col = np.divmod(pixels["at"], source.columns)
        row += source.first_row
        row[row >= GRIDS[LAYERS[layer].grid][0]] = -1  # of the stitched image, EE+
        return build_pixels(LAYERS[layer], offsets, row, col, pixels["value"])

    return TableReader(pixel_table(layer), (replace(branch, fold=kept),), build)


def _no_towers(request: Request, objects: Mapping[str, ObjectBranches]) -> TableReader | None:
    """Return an empty table of towers: nobody looks for seeds that the file gives."""
    lacking = [kind for kind, one in objects.items() if kind != "jet" or not one.seeds]
    if lacking or not objects:
        what = f"no {' and '.join(SEEDS['jet'])} with seeds of {', '.join(lacking) or 'jet'}, and {_NO_SEEDS}"
        request.errors.add_unusable(HBHE_DEPTH1.name, what)
        return None
    some = objects["jet"].branches[0]

    def build(lists: Mapping[str, JaggedColumn]) -> Ragged:
        nothing = np.zeros(0, np.int16)
        offsets = np.zeros(len(lists[some.name].offsets), np.int64)
        return build_pixels(HBHE_DEPTH1, offsets, nothing, nothing, nothing)

    return TableReader(pixel_table(HBHE_DEPTH1.name), (some,), build)
