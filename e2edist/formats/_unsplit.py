"""Products that are not split as far as what is wanted of them: records, decoded by the file's StreamerInfo.

A record is read as the bytes that ROOT streamed. What the classes in it look like is in the file; a program
is made of it once (`_record_program`) and run over the records of a chunk (`_record_kernel`). Byte counts
have to fit into each other exactly, and the last row has to end where its collection ends: a record of which
that is not true is refused, since what it would give are no numbers of the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from e2edist.errors import EntriesError

from . import _record_ops as ops
from ._branch_map import JaggedColumn
from ._record_program import Compiler, Program
from ._streamer_layout import Classes, Element, UnreadableError
from ._streamer_record import DamagedRecordError, read_infos

if TYPE_CHECKING:
    from collections.abc import Iterable

    from e2edist.imaging.event_batch import Array

_FAULTS = {
    ops.PAST_END: "something reaches beyond what it lies in",
    ops.NO_COUNT: "a byte count is missing",
    ops.UNKNOWN_VERSION: "the file has no StreamerInfo of this version of {}",
    ops.NOT_AT_END: "an object ends elsewhere than its byte count says",
    ops.ABSURD: "a collection has more rows than bytes",
    ops.TOO_DEEP: "too many objects lie in each other",
    ops.REFUSED: "{}",
}
#: Kinds of TBranchElement: one that is whole, and a member of the rows of a collection.
_OBJECT, _COLUMN = 0, 41
#: Files that are open -> their classes.
_classes: WeakKeyDictionary[Any, Classes] = WeakKeyDictionary()


class Records:
    """What the records of one branch hold.

    Parameters
    ----------
    source : object
        uproot's TBranch: a product, or a branch below it that is not split further.
    classes : Classes, optional
        Those of its file, if it is not to be asked.

    Attributes
    ----------
    paths : dict of str to dtype
        All numbers in it: names as split branches have them below the product, as ``obj.obj.id_.id_``.

    Raises
    ------
    UnreadableError
        The file does not describe what is in it, or not in a way that is known here.
    """

    def __init__(self, source: Any, classes: Classes | None = None) -> None:
        self._classes = classes or _classes_of(source.file)
        self._name, self._kind, self._prefix = source.name, int(source.member("fType")), ""
        info = self._classes.version(
            source.member("fClassName"),
            int(source.member("fClassVersion")),
            int(source.member("fCheckSum")) & 0xFFFFFFFF,
        )
        if not source.member("fEntryOffsetLen"):
            raise UnreadableError("it is not written entry by entry")
        number = int(source.member("fID"))
        self._root: Any = info
        if number >= 0:
            name = _below(source)
            element = info.elements[number] if number < len(info.elements) else None
            if element is None or self._kind not in (_OBJECT, _COLUMN) or name.split(".")[-1] != element.name:
                raise UnreadableError(f"{source.name} is no member of {info.name} as StreamerInfo has them")
            self._root, self._prefix = element, name.removesuffix(element.name)
            leaves = self._classes.leaves_of(element, rows=self._kind == _COLUMN)
        else:
            leaves = [leaf for element in info.elements for leaf in self._classes.leaves_of(element)]
        self.paths = {self._prefix + path: np.dtype(kind) for path, kind in reversed(leaves)}
        self._programs: dict[tuple[str, ...], tuple[Program, Array, Array]] = {}

    def check(self, paths: Iterable[str]) -> None:
        """Raise UnreadableError if something in the records stands in the way to one of `paths`."""
        self._program(tuple(paths))

    def decode(self, records: JaggedColumn, paths: Iterable[str]) -> dict[str, JaggedColumn]:
        """Return path -> numbers of each record.

        Parameters
        ----------
        records : JaggedColumn
            uint8; one record an entry.
        paths : iterable of str
            Some of `paths`.

        Raises
        ------
        EntriesError
            Records do not decode to their last byte; `ranges` are counted from the first that is given.
        """
        from ._record_kernel import read_records  # compiles; what only looks at files needs none

        wanted = tuple(paths)
        program, table, versions = self._program(wanted)
        offsets = records.offsets.astype(np.int64)
        size, count = int(offsets[-1] - offsets[0]), len(offsets) - 1
        out = np.empty((len(wanted), count + size // program.row_bytes), np.uint64)
        ends = np.zeros((len(wanted), count + 1), np.int64)
        data, bad = np.ascontiguousarray(records.data), np.zeros(count, np.bool_)
        code, record, at, which = read_records(data, offsets, (table, versions), (out, ends), bad)
        if code:
            named = program.reasons if code == ops.REFUSED else program.names
            what = _FAULTS[code].format(named[which] if which >= 0 else "what it holds")
            many = f"{bad.sum()} of {count} records are bad, the first is " if bad.sum() > 1 else ""
            what = f"{self._name}: {many}record {record} of the range: {what} (byte {at})"
            error = EntriesError("", what)
            edges = np.flatnonzero(np.diff(bad, prepend=False, append=False)).reshape(-1, 2)
            error.ranges = tuple((low, high) for low, high in edges.tolist())
            raise error
        return {
            path: JaggedColumn(ends[i], _numbers(out[i, : ends[i, -1]], self.paths[path]))
            for i, path in enumerate(wanted)
        }

    def _program(self, wanted: tuple[str, ...]) -> tuple[Program, Array, Array]:
        if wanted not in self._programs:
            columns = {path.removeprefix(self._prefix): i for i, path in enumerate(wanted)}
            compiler = Compiler(self._classes)
            if not isinstance(self._root, Element):
                program = compiler.object_of(self._root, columns)
            elif self._kind == _COLUMN:
                program = compiler.column(self._root, columns)
            else:
                program = compiler.element(self._root, columns)
            self._programs[wanted] = (program, *program.arrays())
        return self._programs[wanted]


@dataclass(frozen=True, slots=True)
class UnsplitLeaf:
    """A number in the records of an unsplit branch, which stands for the branch that it would be if split.

    Attributes
    ----------
    name : str
        Of that branch.
    source : object
        uproot's TBranch with the records.
    records : Records
        What decodes them.
    path : str
        In `records`.
    """

    name: str
    source: Any
    records: Records
    path: str

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the number on disk."""
        return self.records.paths[self.path]

    @property
    def num_entries(self) -> int:
        """Number of entries of the branch with the records."""
        return int(self.source.num_entries)

    @property
    def tree(self) -> Any:
        """The tree of uproot."""
        return self.source.tree

    @property
    def typename(self) -> str:
        """Type of the number, for messages."""
        return f"vector<{self.dtype}>"


def unsplit_leaves(product: Any, wanted: Iterable[str]) -> tuple[dict[str, UnsplitLeaf], str]:
    """Return what lies unsplit in a product.

    Parameters
    ----------
    product : object
        uproot's TBranch of the product.
    wanted : iterable of str
        Names of split branches; where one would lie below a branch that is not split, its records are looked
        into.

    Returns
    -------
    dict of str to UnsplitLeaf
        Name that each number would have as a branch -> the number.
    str
        Why something there can't be decoded; empty if nothing was in the way.
    """
    found: dict[str, UnsplitLeaf] = {}
    why = ""
    top = product.name.removesuffix(".")
    for source in (product, *product.itervalues(recursive=True)):
        begin = f"{source.name.removesuffix('.')}."
        inside = [name for name in wanted if name.startswith(begin)]
        if not inside or len(source.branches) > 0:
            continue
        try:
            records = Records(source)
            paths = [path for name in inside if (path := name.removeprefix(f"{top}.")) in records.paths]
            records.check(paths)
        except UnreadableError as error:
            why = str(error)
            continue
        found |= {
            f"{top}.{path}": UnsplitLeaf(f"{top}.{path}", source, records, path) for path in records.paths
        }
    return found, why


def _classes_of(file: Any) -> Classes:
    if file not in _classes:
        try:
            _classes[file] = Classes(read_infos(file))
        except DamagedRecordError as error:
            raise UnreadableError(f"the StreamerInfo of the file is damaged ({error})") from error
    return _classes[file]


def _below(source: Any) -> str:
    """Return the name of a branch below its product, whose own name ends with a point."""
    top = source
    while isinstance(top.parent, type(source)):
        top = top.parent
    return str(source.name).removeprefix(f"{top.name.removesuffix('.')}.")


def _numbers(values: Array, dtype: np.dtype[Any]) -> Array:
    """Return numbers, whose bits are those of `values`, in their own type."""
    return values.astype(f"u{dtype.itemsize}", copy=False).view(dtype)
