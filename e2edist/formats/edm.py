"""CMS event data (AOD, MiniAOD, RECO written split): products by type and label, whatever process made them.

A label is written as in CMSSW, ``label``, ``label:instance`` or ``label:instance:PROCESS``. Lists of labels
are tried in order; the first that the file has wins.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np

from e2edist.imaging.event_batch import OBJECT_COLUMNS, OBJECT_KINDS, TRACKER_LAYERS

from ._event_ids import event_ids_of
from ._track_columns import TRACK_INPUTS, VERTEX_INPUTS, first_of_each, track_column
from .api import (
    Branch,
    BranchMap,
    EntriesError,
    EventIds,
    JaggedColumn,
    Request,
    TableReader,
    build_table,
    find_columns,
    raw_bytes,
    table_reader,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from e2edist.imaging.event_batch import Array, Ragged

TREES = ("Events",)
LABELS: dict[str, tuple[str, ...]] = {
    "EB": ("reducedEcalRecHitsEB", "reducedEgamma:reducedEBRecHits", "ecalRecHit:EcalRecHitsEB"),
    "EE": ("reducedEcalRecHitsEE", "reducedEgamma:reducedEERecHits", "ecalRecHit:EcalRecHitsEE"),
    "HBHE": ("reducedHcalRecHits:hbhereco", "reducedEgamma:reducedHBHEHits", "hbhereco"),
    "tracks": ("generalTracks",),
    "vertices": ("offlinePrimaryVertices", "offlineSlimmedPrimaryVertices"),
    "photon": ("gedPhotons", "photons", "slimmedPhotons"),
    "electron": ("gedGsfElectrons", "gsfElectrons", "slimmedElectrons"),
    "jet": ("ak4PFJetsCHS", "ak4PFJets", "ak5PFJets", "slimmedJets"),
}
#: Friendly type names that a table can be made from; keeps value maps and the like of the same label out.
TYPES: dict[str, tuple[str, ...]] = {
    "EB": ("EcalRecHitsSorted",),
    "EE": ("EcalRecHitsSorted",),
    "HBHE": ("HBHERecHitsSorted",),
    "tracks": ("recoTracks",),
    "vertices": ("recoVertexs",),
    "photon": ("recoPhotons", "patPhotons"),
    "electron": ("recoGsfElectrons", "patElectrons"),
    "jet": ("reco*Jets", "pat*Jets"),
}
_HIT: dict[str, tuple[str, ...]] = {
    "detid": ("obj.obj.id_.id_",),
    "energy": ("obj.obj.energy_",),
    "time": ("obj.obj.time_",),
}
_OBJECT = {
    name: column.branches["edm"] for name, column in OBJECT_COLUMNS.items() if "edm" in column.branches
}
#: Table -> input -> names below the product, best first.
SUBBRANCHES: dict[str, dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(("EB", "EE", "HBHE"), _HIT),
    **dict.fromkeys(OBJECT_KINDS, _OBJECT),
    "tracks": {
        **{f"p{x.lower()}": (f"obj.momentum_.fCoordinates.f{x}",) for x in "XYZ"},
        **{f"v{x.lower()}": (f"obj.vertex_.fCoordinates.f{x}",) for x in "XYZ"},
        "quality": ("obj.quality_",),
    },
    "vertices": {x.lower(): (f"obj.position_.fCoordinates.f{x}",) for x in "XYZ"},
}
#: What a tagger file can give other labels for.
_CHOSEN = (*OBJECT_KINDS, "tracks")
#: Products that are listed.
_SHOWN = 6
_OTHER_LABEL = "If the file has it under another label, write that under collections in the tagger file"


@dataclass(frozen=True, slots=True)
class Product:
    """A top-level branch: ``type_label_instance_process.``, none of which may hold an underscore."""

    type: str
    label: str
    instance: str
    process: str
    branch: Any

    @property
    def tag(self) -> str:
        """The product as an InputTag of CMSSW."""
        return f"{self.label}:{self.instance}:{self.process}"


def detect(names: Collection[str]) -> bool:
    """Return whether a tree with branches `names` is CMS event data: it has products or EventAuxiliary."""
    return "EventAuxiliary" in names or any(
        re.fullmatch(r"(EcalRecHitsSorted|HBHERecHitsSorted|reco\w+|pat\w+)_\w+_\w*_\w+\.", name)
        for name in names
    )


def map_branches(request: Request) -> BranchMap:
    """Find the branches for all columns of `request`; what is missing goes to ``request.errors``."""
    products = _products(request.tree)
    tables = []
    for name, wanted in request.columns.items():
        if name in TRACKER_LAYERS:
            problem = "CMS event data read here has no tracker hits"
            request.errors.add_unusable(name, problem, "Use hit ntuples for them")
            continue
        make = _tracks if name == "tracks" else _plain
        table = make(request, products, name, wanted)
        if table:
            tables.append(table)
    event_ids, notes = _event_ids(request.tree)
    return BranchMap(tuple(tables), event_ids, notes)


def _products(tree: Any) -> list[Product]:
    found = []
    for branch in tree.branches:
        parts = branch.name.removesuffix(".").split("_")
        if len(parts) == 4:
            kind, label, instance, process = parts
            found.append(Product(kind, label, instance, process, branch))
    return found


def _find(request: Request, products: list[Product], kind: str) -> Product | None:
    """Return the product of the first label that the file has, or note the fault."""
    errors = request.errors
    labels = request.collections.get(kind, LABELS[kind])
    typed = [p for p in products if any(fnmatchcase(p.type, t) for t in TYPES[kind])]
    for label in labels:
        name, instance, process = (*label.split(":"), "", "")[:3]
        same = [p for p in typed if (p.label, p.instance) == (name, instance) and process in ("", p.process)]
        if len(same) > 1:
            tags = ", ".join(p.tag for p in same)
            hint = f"Write the one that is meant under collections, {kind}"
            errors.add_unusable(kind, f"label {label!r} fits {tags}", hint)
            return None
        if same:
            return same[0]
    if typed:
        there = ", ".join(p.tag for p in typed[:_SHOWN]) + (", ..." if len(typed) > _SHOWN else "")
        errors.add_unusable(kind, f"none has a label of {', '.join(labels)} (there are {there})")
        if kind in _CHOSEN:
            errors.add_hint(_OTHER_LABEL)
    else:
        errors.add_unusable(kind, f"there is no product of type {' or '.join(TYPES[kind])}")
    return None


def _parts_of(request: Request, product: Product, kind: str, wanted: frozenset[str]) -> dict[str, Branch]:
    """Return column or input -> branch of a product; what is not there is a fault."""
    below = {branch.name: branch for branch in product.branch.itervalues(recursive=True)}
    prefix = product.branch.name.removesuffix(".")
    if not any(name.startswith(f"{prefix}.obj.") for name in below):
        request.errors.unsplit.append(product.branch.name)
        return {}
    names = {column: [f"{prefix}.{one}" for one in some] for column, some in SUBBRANCHES[kind].items()}
    return find_columns(request, kind, wanted, names, below)


def _plain(
    request: Request, products: list[Product], name: str, wanted: frozenset[str]
) -> TableReader | None:
    """Return what reads a table whose columns are branches."""
    product = _find(request, products, name)
    if product is None:
        return None
    return table_reader(name, wanted, _parts_of(request, product, name, wanted))


def _tracks(
    request: Request, products: list[Product], name: str, wanted: frozenset[str]
) -> TableReader | None:
    """Return what reads the tracks, whose columns are computed."""
    product = _find(request, products, name)
    position = frozenset(c for column in wanted for c in VERTEX_INPUTS.get(column, ()))
    vertices = _find(request, products, "vertices") if position else None
    if product is None or (position and vertices is None):
        return None
    inputs = frozenset(c for column in wanted or {"pt"} for c in TRACK_INPUTS[column])
    given = _parts_of(request, product, name, inputs)
    first = _parts_of(request, vertices, "vertices", position) if vertices else {}
    branches = (*given.values(), *first.values())
    return TableReader(name, branches, _track_builder(given, first, wanted))


def _track_builder(
    inputs: dict[str, Branch], first: dict[str, Branch], wanted: frozenset[str]
) -> Callable[[Mapping[str, JaggedColumn]], Ragged]:
    def build(lists: Mapping[str, JaggedColumn]) -> Ragged:
        given = {name: lists[found.name] for name, found in inputs.items()}
        rows = next(iter(given.values()))
        if any(not np.array_equal(one.offsets, rows.offsets) for one in given.values()):
            what = "the branches of a track product have different numbers of rows in an event"
            raise EntriesError("", what)
        values = {name: one.data for name, one in given.items()}
        for name, found in first.items():
            values[f"{name}0"] = np.repeat(first_of_each(lists[found.name]), np.diff(rows.offsets))
        with np.errstate(all="ignore"):
            made = {c: JaggedColumn(rows.offsets, track_column(c, values)) for c in wanted or {"pt"}}
        return build_table("tracks", made, wanted)

    return build


def _event_ids(tree: Any) -> tuple[EventIds | None, tuple[str, ...]]:
    """Return how to read run, lumi and event, or why they can't be read."""
    # uproot can't read EventAuxiliary; its bytes can be, entry by entry.
    source = {branch.name: branch for branch in tree.branches}.get("EventAuxiliary")
    if source is None:
        return None, ("run, lumi, event: the file has no EventAuxiliary",)
    if (
        len(source.branches) > 0
        or not source.member("fEntryOffsetLen")
        or source.num_entries != tree.num_entries
    ):
        return None, ("run, lumi, event: EventAuxiliary of this file is not written entry by entry",)
    as_bytes = Branch("EventAuxiliary", False, raw_bytes(), source, np.dtype("u1"))

    def decode(lists: Mapping[str, JaggedColumn]) -> dict[str, Array | None]:
        return event_ids_of(lists["EventAuxiliary"])

    return EventIds((as_bytes,), decode), ()
