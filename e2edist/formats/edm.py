"""CMS event data (AOD, MiniAOD, RECO): products by type and label, whatever process made them.

A label is written as in CMSSW, ``label``, ``label:instance`` or ``label:instance:PROCESS``. Lists of labels
are tried in order; the first that the file has wins. ``A+B`` is the rows of A, then those of B, in each
event.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import numpy as np

from e2edist.imaging.event_batch import OBJECT_COLUMNS, OBJECT_KINDS, TRACKER_LAYERS

from ._event_ids import find_event_ids
from ._packed_tracks import OPTIONAL, PACKED_NAMES, packed_inputs, packed_reader
from ._products import Product, products_of
from ._tables import columns_of, offsets_of
from ._track_columns import TRACK_INPUTS, VERTEX_INPUTS, first_of_each, track_column
from ._unsplit import unsplit_leaves
from .api import (
    Branch,
    BranchMap,
    JaggedColumn,
    Request,
    TableReader,
    build_table,
    find_columns,
    join_rows,
    table_reader,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from e2edist.imaging.event_batch import Ragged

TREES = ("Events",)
LABELS: dict[str, tuple[str, ...]] = {
    "EB": ("reducedEcalRecHitsEB", "reducedEgamma:reducedEBRecHits", "ecalRecHit:EcalRecHitsEB"),
    "EE": ("reducedEcalRecHitsEE", "reducedEgamma:reducedEERecHits", "ecalRecHit:EcalRecHitsEE"),
    "HBHE": ("reducedHcalRecHits:hbhereco", "reducedEgamma:reducedHBHEHits", "hbhereco", "hbheprereco"),
    # Packed candidates only approximate tracks: a tagger file must name them.
    "tracks": ("generalTracks",),
    "vertices": (
        "offlinePrimaryVertices",
        "offlinePrimaryVerticesWithBS",
        "offlineSlimmedPrimaryVertices",
        "offlineSlimmedPrimaryVerticesWithBS",
    ),
    "photon": ("gedPhotons", "photons", "slimmedPhotons"),
    "electron": ("gedGsfElectrons", "gsfElectrons", "slimmedElectrons"),
    "jet": ("ak4PFJetsCHS", "ak4PFJets", "ak5PFJets", "slimmedJets", "slimmedJetsPuppi"),
}
#: The type of packed candidates, and the vertices that they refer to.
_PACKED, _PACKED_VERTICES = "patPackedCandidates", ("offlineSlimmedPrimaryVertices",)
#: Friendly type names that a table can be made from; keeps value maps and the like of the same label out.
TYPES: dict[str, tuple[str, ...]] = {
    "EB": ("EcalRecHitsSorted",),
    "EE": ("EcalRecHitsSorted",),
    "HBHE": ("HBHERecHitsSorted",),
    "tracks": ("recoTracks", _PACKED),
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
    "packed": PACKED_NAMES,
}
#: The producer of MiniAOD's hits.
_MINI = "reducedEgamma"
#: Products that are listed.
_SHOWN = 6
_OTHER_LABEL = "If one of them is meant, write its label under collections in a copy of the tagger file"
_TAKE_PACKED = (
    'MiniAOD has tracks of its candidates only: tracks = ["packedPFCandidates+lostTracks"] under '
    "collections in a copy of the tagger file takes them, with less precision"
)
_NO_HCAL = "MiniAOD holds HCAL hits since CMSSW 10_2 only, round photons and electrons: take AOD for jets"


def detect(names: Collection[str]) -> bool:
    """Return whether a tree with branches `names` is CMS event data: it has products or EventAuxiliary."""
    return "EventAuxiliary" in names or any(
        re.fullmatch(r"(EcalRecHitsSorted|HBHERecHitsSorted|reco\w+|pat\w+)_\w+_\w*_\w+\.", name)
        for name in names
    )


def map_branches(request: Request) -> BranchMap:
    """Find the branches for all columns of `request`; what is missing goes to ``request.errors``."""
    products = products_of(request.tree)
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
    event_ids, notes = find_event_ids(request.tree)
    return BranchMap(tuple(tables), event_ids, (*notes, *_approximations(tables)))


def _approximations(tables: list[TableReader]) -> Iterator[str]:
    """Yield what is not there of the events, as the names of products tell."""

    def of(begin: str) -> str:
        return ", ".join(t.table for t in tables if any(re.match(begin, b.name) for b in t.branches))

    if names := of(rf"\w+_{_MINI}_"):
        yield f"{names}: MiniAOD has hits round photons and electrons only"
    if names := of(r"HBHERecHitsSorted_reducedHcalRecHits_"):
        yield f"{names}: AOD has HCAL hits that are flagged, or round photons and electrons, only"
    if of(_PACKED):
        yield "tracks: made of packed candidates, with 16 bits a number"


def _find(
    request: Request, products: list[Product], kind: str, only: Sequence[str] = ()
) -> tuple[Product, ...]:
    """Return the products of the first label that the file has, which is more than one for A+B; else none.

    With `only` nobody chooses labels. What is wrong is noted as a fault.
    """
    labels = only or request.collections.get(kind, LABELS[kind])
    typed = [p for p in products if any(fnmatchcase(p.type, t) for t in TYPES[kind])]
    for label in labels:
        fitting = {part: [p for p in typed if p.fits(part)] for part in label.split("+")}
        if any(fitting.values()):
            return _each_once(request, kind, fitting)
    errors = request.errors
    if not typed:
        mini = any(p.label == _MINI for p in products)
        hint = _NO_HCAL if kind == "HBHE" and mini else ""
        errors.add_unusable(kind, f"there is no product of type {' or '.join(TYPES[kind])}", hint)
        return ()
    there = ", ".join(p.tag for p in typed[:_SHOWN]) + (", ..." if len(typed) > _SHOWN else "")
    errors.add_unusable(kind, f"none has a label of {', '.join(labels)} (there are {there})")
    if all(p.type == _PACKED for p in typed):
        errors.add_hint(_TAKE_PACKED)
    elif not only:
        errors.add_hint(_OTHER_LABEL)
    return ()


def _each_once(request: Request, kind: str, fitting: Mapping[str, list[Product]]) -> tuple[Product, ...]:
    """Return the one product of each label, none if a label has none or several, which is noted."""
    bad = {label: some for label, some in fitting.items() if len(some) != 1}
    for label, some in bad.items():
        if some:
            hint = f"Write the one that is meant under collections, {kind}, as label:instance:PROCESS"
            what = f"label {label!r} fits {', '.join(p.tag for p in some)}"
            request.errors.add_unusable(kind, what, hint)
        else:
            request.errors.add_unusable(kind, f"there is no {label}, which {'+'.join(fitting)} asks for")
    return () if bad else tuple(some[0] for some in fitting.values())


def _parts_of(request: Request, product: Product, kind: str, wanted: frozenset[str]) -> dict[str, Branch]:
    """Return column or input -> branch of a product; what is not there is a fault."""
    below = {branch.name: branch for branch in product.branch.itervalues(recursive=True)}
    prefix = product.branch.name.removesuffix(".")
    names = {column: [f"{prefix}.{one}" for one in some] for column, some in SUBBRANCHES[kind].items()}
    asked = wanted or names.keys()  # what nobody asks for may be as it is
    inside, why = unsplit_leaves(product.branch, [one for c in asked for one in names.get(c, ())])
    if why:
        request.errors.unsplit[product.branch.name] = why
        return {}
    below = inside | below
    wanted = frozenset(c for c in wanted if c not in OPTIONAL or not below.keys().isdisjoint(names[c]))
    return find_columns(request, kind, wanted, names, below)


def _plain(
    request: Request, products: list[Product], name: str, wanted: frozenset[str]
) -> TableReader | None:
    """Return what reads a table whose columns are branches."""
    parts = [_parts_of(request, p, name, wanted) for p in _find(request, products, name)]
    return table_reader(name, wanted, *parts) if parts else None


def _tracks(
    request: Request, products: list[Product], name: str, wanted: frozenset[str]
) -> TableReader | None:
    """Return what reads the tracks, whose columns are computed."""
    found = _find(request, products, name)
    kinds = [_packed if product.type == _PACKED else _general for product in found]
    readers = [make(request, products, p, wanted) for make, p in zip(kinds, found, strict=True)]
    parts = [reader for reader in readers if reader is not None]
    if len(parts) < 2:
        return parts[0] if parts else None
    branches = tuple(dict.fromkeys(branch for part in parts for branch in part.branches))
    return TableReader(name, branches, lambda lists: join_rows([part.build(lists) for part in parts]))


def _general(
    request: Request, products: list[Product], product: Product, wanted: frozenset[str]
) -> TableReader | None:
    """Return what reads tracks of AOD and RECO."""
    position = frozenset(c for column in wanted for c in VERTEX_INPUTS.get(column, ()))
    vertices = _find(request, products, "vertices") if position else ()
    if position and not vertices:
        return None
    inputs = frozenset(c for column in wanted or {"pt"} for c in TRACK_INPUTS[column])
    given = _parts_of(request, product, "tracks", inputs)
    first = _parts_of(request, vertices[0], "vertices", position) if vertices else {}
    branches = tuple(dict.fromkeys((*given.values(), *first.values())))
    return TableReader("tracks", branches, _track_builder(given, first, wanted))


def _packed(
    request: Request, products: list[Product], product: Product, wanted: frozenset[str]
) -> TableReader | None:
    """Return what reads packed candidates of MiniAOD as tracks."""
    inputs = packed_inputs(wanted)
    position = frozenset("xyz" if "key" in inputs else "")
    vertices = _find(request, products, "vertices", _PACKED_VERTICES) if position else ()
    if position and not vertices:
        return None
    given = _parts_of(request, product, "packed", inputs)
    places = _parts_of(request, vertices[0], "vertices", position) if vertices else {}
    return packed_reader(wanted, given, places)


def _track_builder(
    inputs: dict[str, Branch], first: dict[str, Branch], wanted: frozenset[str]
) -> Callable[[Mapping[str, JaggedColumn]], Ragged]:
    def build(lists: Mapping[str, JaggedColumn]) -> Ragged:
        given = columns_of(inputs, lists)
        offsets = offsets_of("tracks", given)
        values = {name: one.data for name, one in given.items()}
        for name, found in columns_of(first, lists).items():
            values[f"{name}0"] = np.repeat(first_of_each(found), np.diff(offsets))
        with np.errstate(all="ignore"):
            made = {c: JaggedColumn(offsets, track_column(c, values)) for c in wanted or {"pt"}}
        return build_table("tracks", made, wanted)

    return build
