"""Hit ntuples: one branch a column, ``EBRecHit_detid``, ``Track_pt``, ``PFJet_et`` and so on.

Several names are known for some things; each list below is tried in order. ``A+B`` means the rows of A
followed by the rows of B in each event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from e2edist.errors import EntriesError
from e2edist.imaging.event_batch import OBJECT_COLUMNS, OBJECT_KINDS, TABLES, TRACKER_LAYERS

from ._branch_map import BranchMap, EventIds, Leaf, Request, TableReader, leaf
from ._table_builders import cast, glue, may_be_missing, missing_value, table

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from e2edist.imaging.event_batch import Array, Ragged

    from ._branch_map import JaggedColumn, Kind

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
NUMBERS = {"run": ("run", "u4"), "lumi": ("luminosityBlock", "u4"), "event": ("event", "u8")}
NO_QUALITY = (
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


def bind(request: Request) -> BranchMap:
    """Find the branches for all columns of `request`; faults go to ``request.faults``."""
    # Of two branches with one name ROOT reads the first.
    branches = {branch.name: branch for branch in reversed(list(request.tree.branches))}
    found = [_source(request, branches, name, wanted) for name, wanted in request.columns.items()]
    numbers, notes = _numbers(branches, request)
    return BranchMap(tuple(source for source in found if source), numbers, notes)


def _source(
    request: Request, branches: Mapping[str, Any], name: str, wanted: frozenset[str]
) -> TableReader | None:
    labels = request.collections.get(name, LABELS[name])
    parts = _parts(labels, branches)
    if parts is None:
        wanted_names = [
            f"{part}_{min(wanted or TABLES[name])}" for label in labels for part in label.split("+")
        ]
        request.faults.absent(name, wanted_names, branches)
        return None
    needed = {c for c in wanted if not _is_left_out(branches, name, parts, c)}
    # Without any other column, one is read for the number of rows.
    needed = needed or {next(iter(TABLES[name]))}
    leaves = [{c: _leaf(request, branches, name, part, c) for c in sorted(needed)} for part in parts]
    complete = [{c: found for c, found in part.items() if found} for part in leaves]
    matched = {
        c: " + ".join(part[c].name for part in complete if c in part) or missing_value(c)
        for c in sorted(wanted)
    }
    flat = tuple(found for part in complete for found in part.values())
    return TableReader(name, flat, _builder(name, complete, wanted), matched)


def _parts(labels: tuple[str, ...], branches: Mapping[str, Any]) -> list[str] | None:
    """Return the prefixes of the first label of which the tree has any branch."""
    prefixes = {name.rpartition("_")[0] for name in branches}
    for label in labels:
        parts = label.split("+")
        if not prefixes.isdisjoint(parts):
            return parts
    return None


def names_of(table: str, column: str) -> tuple[str, ...]:
    """Return the names that a column may have after the prefix, best first."""
    if table in OBJECT_KINDS:
        return OBJECT_COLUMNS[column].branches.get("hits", (column,))
    return SYNONYMS.get(column, (column,))


def _is_left_out(branches: Mapping[str, Any], name: str, parts: list[str], column: str) -> bool:
    """Return whether the ntuple lacks a column that may be missing."""
    if not may_be_missing(name, column):
        return False
    names = names_of(name, column)
    return not all(any(f"{part}_{one}" in branches for one in names) for part in parts)


def _leaf(request: Request, branches: Mapping[str, Any], name: str, part: str, column: str) -> Leaf | None:
    faults = request.faults
    candidates = [f"{part}_{one}" for one in names_of(name, column)]
    for candidate in candidates:
        if candidate in branches:
            kind: Kind = "integer" if TABLES[name][column][0] in "iu" else "number"
            return leaf(branches[candidate], f"{name}.{column}", kind, faults)
    todo = NO_QUALITY if (name, column) == ("tracks", "quality") else ""
    faults.absent(f"{name}.{column}", candidates, branches, todo)
    return None


def _builder(
    name: str, parts: list[dict[str, Leaf]], wanted: frozenset[str]
) -> Callable[[Mapping[str, JaggedColumn]], Ragged]:
    def build(lists: Mapping[str, JaggedColumn]) -> Ragged:
        made = [table(name, {c: lists[found.name] for c, found in part.items()}, wanted) for part in parts]
        out = made[0]
        for more in made[1:]:
            out = glue(out, more)
        return out

    return build


def _numbers(branches: Mapping[str, Any], request: Request) -> tuple[EventIds | None, tuple[str, ...]]:
    """Return how to read run, lumi and event, and which of them can't be read, and why."""
    # A list of faults of its own: event numbers are optional.
    faults = type(request.faults)(request.faults.where)
    found = {
        key: leaf(branches[name], key, "integer", faults, scalar=True)
        for key, (name, _) in NUMBERS.items()
        if name in branches
    }
    absent = [f"{key}: no branch {name}" for key, (name, _) in NUMBERS.items() if name not in branches]
    leaves = {key: number for key, number in found.items() if number}

    def decode(lists: Mapping[str, JaggedColumn]) -> dict[str, Array | None]:
        return {key: _number(lists[n.name].data, NUMBERS[key][1], n.name) for key, n in leaves.items()}

    return EventIds(tuple(leaves.values()), decode) if leaves else None, (*absent, *faults.missing)


def _number(values: Array, dtype: str, what: str) -> Array | None:
    """Return event numbers, nothing where one of them does not fit: a run of -1 says that there is none."""
    try:
        return cast(values, dtype, what)
    except EntriesError:
        return None
