"""RNTuples behind the interface of a TTree: as much of it as reading flat ntuples needs."""

from __future__ import annotations

import re
from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ._check_branch import uproot
from ._only_root_reads import OLD_CLASS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CLASSES = ("ROOT::RNTuple", OLD_CLASS)
_VECTOR = re.compile(r"(?:std::vector|ROOT::VecOps::RVec)<(.+)>")
_DTYPES = {"float": "f4", "double": "f8", "char": "i1", "std::byte": "u1"} | {
    f"std::{sign}int{bits}_t": f"{kind}{bits // 8}"
    for sign, kind in (("", "i"), ("u", "u"))
    for bits in (8, 16, 32, 64)
}


class Field:
    """A top-level field, as a branch with a basket per cluster; `number` is its place among all fields."""

    def __init__(self, tree: Ntuple, number: int, name: str, typename: str) -> None:
        self.tree, self.number, self.name, self.typename = tree, number, name, typename
        self.num_entries: int = tree.num_entries

    @property
    def num_baskets(self) -> int:
        """Number of clusters."""
        return len(self.entry_offsets) - 1

    @property
    def entry_offsets(self) -> Sequence[int]:
        """Entries at which clusters begin, and the number of entries."""
        return self.tree.edges

    @property
    def interpretation(self) -> Any:
        """What uproot would read such a branch as; None for what is neither number nor list of numbers."""
        vector = _VECTOR.fullmatch(self.typename)
        dtype = _DTYPES.get(vector[1] if vector else self.typename)
        if dtype is None:
            return None
        plain = uproot.AsDtype(np.dtype(dtype))
        return uproot.AsJagged(plain) if vector else plain

    def member(self, name: str) -> int:
        """Return the bytes of the field: ``fZipBytes`` on disk, ``fTotBytes`` in memory."""
        return self.tree.sizes[self.name][name == "fTotBytes"]


class Ntuple:
    """An RNTuple that was opened."""

    def __init__(self, opened: Any) -> None:
        self._opened = opened
        self.num_entries = int(opened.num_entries)
        self._fields = {field.name: field for field in self._top_level()}

    def _top_level(self) -> Iterator[Field]:
        for number, record in enumerate(self._opened.field_records):
            if record.parent_field_id == number:  # so the format marks fields of the top level
                yield Field(self, number, str(record.field_name), str(record.type_name))

    @property
    def branches(self) -> list[Field]:
        """All top-level fields."""
        return list(self._fields.values())

    def itervalues(self, *, recursive: bool = True) -> Iterator[Field]:  # noqa: ARG002 - as of a TTree
        """Yield all top-level fields."""
        yield from self._fields.values()

    def __getitem__(self, name: str) -> Field:
        return self._fields[name]

    @cached_property
    def edges(self) -> tuple[int, ...]:
        """Entries at which clusters begin, and the number of entries."""
        starts = (int(cluster.num_first_entry) for cluster in self._opened.cluster_summaries)
        return (*starts, self.num_entries)

    @cached_property
    def sizes(self) -> dict[str, tuple[int, int]]:
        """Top-level field -> its bytes on disk and in memory."""
        records, columns = self._opened.field_records, self._opened.column_records
        disk: dict[str, int] = defaultdict(int)
        memory: dict[str, int] = defaultdict(int)
        for cluster in self._opened.page_link_list:
            for column, found in zip(columns, cluster, strict=False):
                number = column.field_id
                while records[number].parent_field_id != number:
                    number = records[number].parent_field_id
                name = str(records[number].field_name)
                disk[name] += sum(int(page.locator.num_bytes) for page in found.pages)
                memory[name] += (
                    sum(abs(int(page.num_elements)) for page in found.pages) * int(column.nbits) // 8
                )
        return {name: (disk[name], memory[name]) for name in self._fields}

    def arrays(self, names: list[str], *, entry_start: int, entry_stop: int, **_: Any) -> dict[str, Any]:
        """Return name -> awkward array of the half-open range of entries."""
        # Field by field: for several at once uproot compares each field of the file with every other.
        fields = self._opened.all_fields
        return {
            name: fields[self._fields[name].number].array(entry_start, entry_stop, array_cache=None)
            for name in names
        }
