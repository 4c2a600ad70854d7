"""Objects of MLAnalyzer and SCRegressor ntuples: momenta under many names, and the pixels of their images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from e2edist.errors import EntriesError
from e2edist.imaging.event_batch import SEED_COLUMNS, Ragged
from e2edist.imaging.layers import GRIDS

from ._branch_map import JaggedColumn, TableReader
from ._check_branch import check_branch
from ._tables import build_table, columns_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from e2edist.imaging.event_batch import Array

    from ._branch_map import Branch, Request

#: Kind -> how the names of its branches may begin, best first.
LABELS = {"photon": ("pho", "SC"), "electron": ("ele",), "jet": ("jet",)}
#: Kind -> row and column of the pixel that images are cut round: crystals 0-169 and 0-359, towers 0-55, 0-71.
SEEDS = {"photon": ("SC_ieta", "SC_iphi"), "jet": ("jetSeed_ieta", "jetSeed_iphi")}
_GRID = {"photon": GRIDS["EB"], "jet": GRIDS["towers"]}
#: Column -> what its branch may have behind the label, as in jetPt, jet_Pt, jetpT and pho_pT.
SUFFIXES = {
    "pt": ("_pT", "_pt", "_Pt", "Pt", "pT"),
    "eta": ("_eta", "_Eta", "Eta"),
    "phi": ("_phi", "_Phi", "Phi"),
}
#: Where SCRegressor puts momenta of the generator.
_GENERATED = "SC"


@dataclass(frozen=True, slots=True)
class ObjectBranches:
    """What a file has of one kind of objects.

    Attributes
    ----------
    kind, label : str
        The label is how the names of its branches begin.
    columns : mapping of str to Branch
        Column of the table of objects -> its branch.
    seeds : tuple of Branch
        Row and column of the pixels, where the file has them.
    count : Branch, optional
        Tells the number of entries where the file has no such objects.
    """

    kind: str
    label: str = ""
    columns: Mapping[str, Branch] = field(default_factory=dict)
    seeds: tuple[Branch, ...] = ()
    count: Branch | None = None

    @property
    def branches(self) -> tuple[Branch, ...]:
        """All that is read."""
        return (*self.columns.values(), *self.seeds)

    def note(self) -> str:
        """Return what is to be said of them; empty if nothing is."""
        if not self.branches:
            return f"{self.kind}: the file has none"
        said = []
        if lacking := [name for name in SUFFIXES if name not in self.columns]:
            said.append(f"no {', '.join(lacking)} in the file, and no cut on that")
        if self.columns and self.label == _GENERATED:
            said.append("momenta are those of the generator")
        if self.seeds:
            said.append(f"seeds are {' and '.join(one.name for one in self.seeds)}")
        return f"{self.kind}: {'; '.join(said)}" if said else ""

    def reader(self, wanted: frozenset[str]) -> TableReader:
        """Return what reads the table with the columns `wanted`, and `SEED_COLUMNS` where they are."""
        if self.branches or self.count is None:
            return TableReader(self.kind, self.branches, lambda lists: self._build(lists, wanted))
        count = self.count.name
        return TableReader(self.kind, (self.count,), lambda lists: self._nothing(lists[count], wanted))

    def _nothing(self, count: JaggedColumn, wanted: frozenset[str]) -> Ragged:
        events = len(count.offsets)
        none = JaggedColumn(np.zeros(events, np.int64), np.zeros(0, np.float32))
        return build_table(self.kind, {"pt": none}, wanted)

    def _build(self, lists: Mapping[str, JaggedColumn], wanted: frozenset[str]) -> Ragged:
        columns = columns_of(self.columns, lists)
        if not columns:
            rows = lists[self.seeds[0].name]
            columns["pt"] = JaggedColumn(rows.offsets, np.full(len(rows.data), np.nan, np.float32))
        table = build_table(self.kind, columns, wanted)
        if not self.seeds:
            return table
        for branch in self.seeds:
            if not np.array_equal(lists[branch.name].offsets, table.offsets):
                names = f"{branch.name} and {self.branches[0].name}"
                todo = f"If the file has its {self.kind}s under another label, write that under collections"
                raise EntriesError("", f"{names} have different numbers of {self.kind}s in an event", todo)
        places = seed_places(self.kind, *(lists[branch.name].data for branch in self.seeds))
        return Ragged(table.offsets, {**table.columns, **dict(zip(SEED_COLUMNS, places, strict=True))})


def _note_other_label(request: Request, kind: str, labels: Sequence[str]) -> None:
    """Note that the file has objects of a kind, and under none of the labels that the tagger file names."""
    branches = request.branches
    other = [label for label in LABELS[kind] if any(label + one in branches for one in SUFFIXES["pt"])]
    if other:
        what = f"no branch of momenta begins with {' or '.join(labels)}; the file has {', '.join(other)}"
        request.errors.add_unusable(
            kind, what, f"Write {other[0]} under collections, {kind}, in the tagger file"
        )


def find_objects(request: Request, kind: str) -> ObjectBranches:
    """Return what the file has of a kind of objects, under the first label that it has anything of."""
    branches, labels = request.branches, request.collections.get(kind, LABELS[kind])
    found: dict[str, str] = {}
    for label in labels:
        named = {
            column: next((label + one for one in suffixes if label + one in branches), "")
            for column, suffixes in SUFFIXES.items()
        }
        if found := {column: name for column, name in named.items() if name}:
            break
    else:
        label = ""
        _note_other_label(request, kind, labels)
    columns = {
        column: branch
        for column, name in found.items()
        if (branch := check_branch(branches[name], f"{kind}.{column}", "number", request.errors))
    }
    seeds = [name for name in SEEDS.get(kind, ()) if name in branches]
    if len(seeds) != 2:
        if found and (lacking := [column for column in SUFFIXES if column not in found]):
            wanted = {f"{kind}.{column}": [label + one for one in SUFFIXES[column]] for column in lacking}
            request.errors.add_all_missing(wanted, branches)
        return ObjectBranches(kind, label, columns)
    read = [check_branch(branches[name], f"{kind} seeds", "number", request.errors) for name in seeds]
    return ObjectBranches(kind, label, columns, tuple(branch for branch in read if branch))


def seed_places(kind: str, row: Array, col: Array) -> tuple[Array, Array]:
    """Return the pixels (int16) that seeds are, on the grid of their crops, -1 where there is none.

    Raises
    ------
    EntriesError
        A seed is not a place on its grid.
    """
    rows, columns = _GRID[kind]
    none = (row == -1) & (col == -1)
    inside = (row >= 0) & (row < rows) & (col >= 0) & (col < columns)
    if not np.all(none | inside) or np.any(row % 1) or np.any(col % 1):
        what = f"{' and '.join(SEEDS[kind])} are not all on the grid of {rows}x{columns}"
        raise EntriesError("", what)
    row, col = row.astype(np.int16), col.astype(np.int16)
    if kind == "jet":  # the middle of the 5x5 pixels of a tower
        row, col = (np.where(none, np.int16(-1), 5 * place + np.int16(2)) for place in (row, col))
    return row, col
