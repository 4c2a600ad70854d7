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

from e2edist.errors import EntriesError
from e2edist.imaging.event_batch import OBJECT_COLUMNS, OBJECT_KINDS, TABLES, TRACKER_LAYERS

from ._branch_map import BranchMap, EventIds, JaggedColumn, Leaf, Request, TableReader, leaf, raw_bytes
from ._event_ids import event_numbers
from ._table_builders import may_be_missing, missing_value, table
from ._track_columns import first_of_each, track_column

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from e2edist.imaging.event_batch import Array, Ragged

    from ._branch_map import Kind

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
LEAVES: dict[str, dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(("EB", "EE", "HBHE"), _HIT),
    **dict.fromkeys(OBJECT_KINDS, _OBJECT),
    "tracks": {
        **{f"p{x.lower()}": (f"obj.momentum_.fCoordinates.f{x}",) for x in "XYZ"},
        **{f"v{x.lower()}": (f"obj.vertex_.fCoordinates.f{x}",) for x in "XYZ"},
        "quality": ("obj.quality_",),
    },
    "vertices": {x.lower(): (f"obj.position_.fCoordinates.f{x}",) for x in "XYZ"},
}
#: Track column -> what it is computed from; `d0` and `dz` also need the vertices' x, y (and z).
TRACK_INPUTS: dict[str, tuple[str, ...]] = {
    "pt": ("px", "py"),
    "eta": ("px", "py", "pz"),
    "phi": ("px", "py"),
    "d0": ("px", "py", "vx", "vy"),
    "dz": ("px", "py", "pz", "vx", "vy", "vz"),
    "quality": ("quality",),
}
VERTEX_INPUTS: dict[str, tuple[str, ...]] = {"d0": ("x", "y"), "dz": ("x", "y", "z")}
#: What a tagger file can give other labels for.
CHOSEN = (*OBJECT_KINDS, "tracks")
OTHER_LABEL = "If the file has it under another label, write that under collections in the tagger file"


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


def bind(request: Request) -> BranchMap:
    """Find the leaves for all columns of `request`; faults go to ``request.faults``."""
    products = _products(request.tree)
    sources = []
    for name, wanted in request.columns.items():
        if name in TRACKER_LAYERS:
            request.faults.wrong(
                name, "CMS event data read here has no tracker hits", "Use hit ntuples for them"
            )
            continue
        make = _tracks if name == "tracks" else _simple
        source = make(request, products, name, wanted)
        if source:
            sources.append(source)
    numbers, note = _numbers(request.tree)
    return BranchMap(tuple(sources), numbers, note)


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
    faults = request.faults
    labels = request.collections.get(kind, LABELS[kind])
    typed = [p for p in products if any(fnmatchcase(p.type, t) for t in TYPES[kind])]
    for label in labels:
        name, instance, process = (*label.split(":"), "", "")[:3]
        same = [p for p in typed if (p.label, p.instance) == (name, instance) and process in ("", p.process)]
        if len(same) > 1:
            tags = ", ".join(p.tag for p in same)
            faults.wrong(
                kind, f"label {label!r} fits {tags}", f"Write the one that is meant under collections, {kind}"
            )
            return None
        if same:
            return same[0]
    known = {p.branch.name for p in typed or products if p.branch.name.endswith(".")}
    faults.absent(
        kind, [_pattern(kind, label) for label in labels], known, OTHER_LABEL if kind in CHOSEN else ""
    )
    return None


def _pattern(kind: str, label: str) -> str:
    name, instance, process = (*label.split(":"), "", "")[:3]
    return f"{'|'.join(TYPES[kind])}_{name}_{instance}_{process or '*'}."


def _leaves(request: Request, product: Product, kind: str, inputs: set[str]) -> dict[str, Leaf]:
    """Return input -> leaf of a product; what is not there is a fault."""
    branch, faults = product.branch, request.faults
    below = {b.name: b for b in branch.itervalues(recursive=True)}
    prefix = branch.name.removesuffix(".")
    if not any(name.startswith(f"{prefix}.obj.") for name in below):
        faults.unsplit.append(branch.name)
        return {}
    found = {}
    for name in sorted(inputs):
        wanted = [f"{prefix}.{one}" for one in LEAVES[kind].get(name, (name,))]
        there = [one for one in wanted if one in below]
        if not there:
            if not may_be_missing(kind, name):
                faults.absent(f"{kind}.{name}", wanted, below)
            continue
        integer: Kind = "integer" if name in ("detid", "quality") else "number"
        one = leaf(below[there[0]], f"{kind}.{name}", integer, faults)
        if one:
            found[name] = one
    return found


def _simple(
    request: Request, products: list[Product], name: str, wanted: frozenset[str]
) -> TableReader | None:
    """Bind a table whose columns are leaves."""
    product = _find(request, products, name)
    if product is None:
        return None
    # Without any other column, one is read for the number of rows.
    inputs = {c for c in wanted if c in LEAVES[name] or not may_be_missing(name, c)}
    inputs = inputs or {next(iter(TABLES[name]))}
    leaves = _leaves(request, product, name, inputs)

    def build(lists: Mapping[str, JaggedColumn]) -> Ragged:
        return table(name, {c: lists[found.name] for c, found in leaves.items()}, wanted)

    matched = {c: leaves[c].name if c in leaves else missing_value(c) for c in sorted(wanted)}
    return TableReader(name, tuple(leaves.values()), build, matched)


def _tracks(
    request: Request, products: list[Product], name: str, wanted: frozenset[str]
) -> TableReader | None:
    """Bind the tracks, whose columns are computed."""
    product = _find(request, products, name)
    position = {c for column in wanted for c in VERTEX_INPUTS.get(column, ())}
    vertices = _find(request, products, "vertices") if position else None
    if product is None or (position and vertices is None):
        return None
    inputs = {c for column in wanted or {"pt"} for c in TRACK_INPUTS[column]}
    leaves = _leaves(request, product, name, inputs)
    first = _leaves(request, vertices, "vertices", position) if vertices else {}
    matched = dict.fromkeys(sorted(wanted), str(product.branch.name))
    for column in sorted(wanted & VERTEX_INPUTS.keys()):
        matched[column] += f" - {vertices.branch.name}" if vertices else ""
    return TableReader(
        name, (*leaves.values(), *first.values()), _track_builder(leaves, first, wanted), matched
    )


def _track_builder(
    leaves: dict[str, Leaf], first: dict[str, Leaf], wanted: frozenset[str]
) -> Callable[[Mapping[str, JaggedColumn]], Ragged]:
    def build(lists: Mapping[str, JaggedColumn]) -> Ragged:
        given = {name: lists[found.name] for name, found in leaves.items()}
        rows = next(iter(given.values()))
        if any(not np.array_equal(one.offsets, rows.offsets) for one in given.values()):
            what = "the leaves of a track product have different numbers of rows in an event"
            raise EntriesError("", what)
        values = {name: one.data for name, one in given.items()}
        for name, found in first.items():
            values[f"{name}0"] = np.repeat(first_of_each(lists[found.name]), np.diff(rows.offsets))
        with np.errstate(all="ignore"):
            made = {c: JaggedColumn(rows.offsets, track_column(c, values)) for c in wanted or {"pt"}}
        return table("tracks", made, wanted)

    return build


def _numbers(tree: Any) -> tuple[EventIds | None, tuple[str, ...]]:
    """Return how to read run, lumi and event, or why they can't be read."""
    # uproot can't read EventAuxiliary; its bytes can be, entry by entry.
    raw = {branch.name: branch for branch in tree.branches}.get("EventAuxiliary")
    if raw is None:
        return None, ("run, lumi, event: the file has no EventAuxiliary",)
    if len(raw.branches) > 0 or not raw.member("fEntryOffsetLen") or raw.num_entries != tree.num_entries:
        return None, ("run, lumi, event: EventAuxiliary of this file is not written entry by entry",)
    as_bytes = Leaf("EventAuxiliary", False, raw_bytes(), raw, np.dtype("u1"))

    def decode(lists: Mapping[str, JaggedColumn]) -> dict[str, Array | None]:
        return event_numbers(lists["EventAuxiliary"])

    return EventIds((as_bytes,), decode), ()
