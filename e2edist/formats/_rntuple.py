"""RNTuples behind the interface of a TTree: as much of it as reading flat ntuples needs."""

from __future__ import annotations

import re
from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ._compressed import CHECKSUM, DamagedBytesError, decompressed, without_checksum
from ._only_root_reads import OLD_CLASS
from ._uproot import uproot

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: In place of the parent of fields of the top level.
_TOP = -1
CLASSES = ("ROOT::RNTuple", OLD_CLASS)
_VECTOR = re.compile(r"(?:std::vector|ROOT::VecOps::RVec)<(.+)>")
_DTYPES = {"float": "f4", "double": "f8", "char": "i1", "std::byte": "u1"} | {
    f"std::{sign}int{bits}_t": f"{kind}{bits // 8}"
    for sign, kind in (("", "i"), ("u", "u"))
    for bits in (8, 16, 32, 64)
}


class Field:
    """A field, as a branch with a basket per cluster; `number` is its place among all fields."""

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
        return self.tree.size_of(self.number)[name == "fTotBytes"]


class Ntuple:
    """An RNTuple that was opened."""

    def __init__(self, opened: Any) -> None:
        self._opened = opened
        _verify(opened)
        self.num_entries = int(opened.num_entries)
        self._children: dict[int, list[int]] = defaultdict(list)
        for number, record in enumerate(opened.field_records):
            # A field of the top level is its own parent.
            self._children[_TOP if record.parent_field_id == number else record.parent_field_id].append(
                number
            )
        # What is projected to the top level has the name of a member of a collection too.
        top = [Field(self, *self._named(number)) for number in self._children[_TOP]]
        self._fields = {field.name: field for field in (*self._members(), *top)}

    def _named(self, number: int) -> tuple[int, str, str]:
        record = self._opened.field_records[number]
        return number, str(record.field_name), str(record.type_name)

    def _members(self) -> Iterator[Field]:
        """Yield the members of collections without a type, ``pt`` of ``Jet`` as the list ``Jet_pt``.

        Those of a collection without a name, as ROOT's importer of trees makes them, are projected.
        """
        for top in self._children[_TOP]:
            _, name, typename = self._named(top)
            record = self._children.get(top, [])
            untyped = not typename and len(record) == 1 and self._named(record[0])[1:] == ("_0", "")
            if not untyped or name.startswith("_"):
                continue
            yield Field(self, top, f"n{name}", "collection")  # where a tree has its counter
            for member in self._children.get(record[0], []):
                _, column, kind = self._named(member)
                yield Field(self, member, f"{name}_{column}", f"std::vector<{kind}>")

    @property
    def branches(self) -> list[Field]:
        """All fields."""
        return list(self._fields.values())

    def itervalues(self, *, recursive: bool = True) -> Iterator[Field]:  # noqa: ARG002 - as of a TTree
        """Yield all fields."""
        yield from self._fields.values()

    def __getitem__(self, name: str) -> Field:
        return self._fields[name]

    @cached_property
    def edges(self) -> tuple[int, ...]:
        """Entries at which clusters begin, and the number of entries."""
        starts = (int(cluster.num_first_entry) for cluster in self._opened.cluster_summaries)
        return (*starts, self.num_entries)

    def size_of(self, number: int) -> tuple[int, int]:
        """Return the bytes of a field and of what is in it, on disk and in memory."""
        source = self._opened.field_records[number].source_field_id  # of what is projected
        sizes = [self._sizes[number if source is None else source]]
        sizes += [self.size_of(child) for child in self._children.get(number, [])]
        return sum(disk for disk, _ in sizes), sum(memory for _, memory in sizes)

    @cached_property
    def _sizes(self) -> dict[int, tuple[int, int]]:
        """Field -> bytes of its own columns, on disk and in memory."""
        found: dict[int, tuple[int, int]] = defaultdict(lambda: (0, 0))
        for cluster in self._opened.page_link_list:
            for column, pages in zip(self._opened.column_records, cluster, strict=False):
                disk, memory = found[column.field_id]
                disk += sum(int(page.locator.num_bytes) for page in pages.pages)
                memory += sum(abs(int(page.num_elements)) for page in pages.pages) * int(column.nbits) // 8
                found[column.field_id] = disk, memory
        return found

    def arrays(self, names: list[str], *, entry_start: int, entry_stop: int, **_: Any) -> dict[str, Any]:
        """Return name -> awkward array of the half-open range of entries."""
        # Field by field: for several at once uproot compares each field of the file with every other.
        fields = self._opened.all_fields
        return {
            name: fields[self._fields[name].number].array(entry_start, entry_stop, array_cache=None)
            for name in names
        }


def _verify(opened: Any) -> None:
    """Have an RNTuple of uproot compare the checksums of its lists of pages and of its pages.

    uproot itself compares those of the anchor, the header and the footer.
    """
    read_page = opened.read_page

    def read_marked(destination: Any, cluster: int, column: int, page: int, metadata: Any) -> None:
        described = opened.page_link_list[cluster][column].pages[page]
        described.locator.page_checksum = bool(described.has_checksum)  # for the next function to find
        try:
            read_page(destination, cluster, column, page, metadata)
        except DamagedBytesError as error:
            name = _path(opened.field_records, int(opened.column_records[column].field_id))
            raise DamagedBytesError(f"{name}: {error}") from None

    def read_locator(locator: Any, size: int) -> tuple[Any, Any]:
        is_page = "page_checksum" in locator._fields
        behind = CHECKSUM if is_page and locator.page_checksum else 0
        first, last = locator.offset, locator.offset + locator.num_bytes
        raw = opened.file.source.chunk(first, last + behind).raw_data
        content = decompressed(without_checksum(raw) if behind else raw, size)
        if not is_page:
            without_checksum(content)  # a list of pages, which has it inside
        return uproot.source.chunk.Chunk.wrap(opened.file.source, content), uproot.source.cursor.Cursor(0)

    opened.read_page, opened.read_locator = read_marked, read_locator


def _path(records: Sequence[Any], number: int) -> str:
    """Return the names of a field and of those that it is in, but for ROOT's own of items."""
    record = records[number]
    name = str(record.field_name)
    if record.parent_field_id == number:
        return name
    outer = _path(records, int(record.parent_field_id))
    return outer if name == "_0" else f"{outer}.{name}"
