"""Hit ntuples: one branch a column, ``EBRecHit_detid``, ``Track_pt``, ``PFJet_et`` and so on.

Several names are known for some things; each list below is tried in order. ``A+B`` means the rows of A
followed by the rows of B in each event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from e2edist.imaging.event_batch import OBJECT_COLUMNS, OBJECT_KINDS, TABLES, TRACKER_LAYERS

from .api import BranchMap, Request, TableReader, find_columns, plain_event_ids, table_reader

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

TREES = ("Events",)
LABELS: dict[str, tuple[str, ...]] = {
    "EB": ("EBRecHit",),
    "EE": ("EERecHit",),
    "HBHE": ("HBRecHit+HERecHit", "HBHERecHit"),
    "tracks": ("Track",),
    "photon": ("Photon",),
    "electron": ("GsfElectron", "Electron"),
    "jet": ("PFJet", "Jet"),
    **{name: (f"{name}Hit",) for name in TRACKER_LAYERS},
}
#: Column of a table without objects -> names it may have after the prefix, best first.
SYNONYMS = {"pt": ("pt", "et"), "d0": ("dxy", "d0")}
#: Number of an event -> its branch.
EVENT_IDS = {"run": "run", "lumi": "luminosityBlock", "event": "event"}
_NO_QUALITY = (
    "The tagger asks for high-purity tracks and this ntuple has no track quality; if it holds selected "
    "tracks only, track_quality = 0 in the tagger file accepts all of them"
)


def detect(names: Collection[str]) -> bool:
    """Return whether a tree with branches `names` is a hit ntuple: it has detector hits."""
    hits = {
        f"{part}_detid"
        for kind in ("EB", "EE", "HBHE")
        for label in LABELS[kind]
        for part in label.split("+")
    }
    hits.update(f"{name}Hit_eta" for name in TRACKER_LAYERS)
    return not hits.isdisjoint(names)


def map_branches(request: Request) -> BranchMap:
    """Find the branches for all columns of `request`; what is missing goes to ``request.errors``."""
    branches = request.branches
    found = [_table(request, branches, name, wanted) for name, wanted in request.columns.items()]
    event_ids, notes = plain_event_ids(request, EVENT_IDS)
    return BranchMap(tuple(table for table in found if table), event_ids, notes)


def names_of(table: str, column: str) -> tuple[str, ...]:
    """Return the names that a column may have after the prefix, best first."""
    if table in OBJECT_KINDS:
        return OBJECT_COLUMNS[column].branches.get("hits", (column,))
    return SYNONYMS.get(column, (column,))


def _table(
    request: Request, branches: Mapping[str, Any], table: str, wanted: frozenset[str]
) -> TableReader | None:
    labels = request.collections.get(table, LABELS[table])
    prefixes = {name.rpartition("_")[0] for name in branches}
    label = next((label for label in labels if not prefixes.isdisjoint(label.split("+"))), None)
    if label is None:
        column = min(wanted or TABLES[table])
        names = [f"{part}_{column}" for label in labels for part in label.split("+")]
        request.errors.add_missing(table, names, branches)
        return None
    parts = []
    for part in label.split("+"):
        names_by_column = {c: [f"{part}_{name}" for name in names_of(table, c)] for c in TABLES[table]}
        parts.append(find_columns(request, table, wanted, names_by_column, branches))
    if table == "tracks" and "quality" in wanted - parts[0].keys():
        request.errors.add_hint(_NO_QUALITY)
    return table_reader(table, wanted, *parts)
