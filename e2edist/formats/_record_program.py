"""From the layout of a class to a small program that reads wanted numbers from its records.

A program is a list of operations for `_record_kernel`. Each version of a class is a subroutine of it, which
the header of an object in the record chooses; what nobody wants is passed over by its byte count.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from . import _record_ops as ops
from ._streamer_layout import BARE, UnreadableError, number_dtype, value_type

if TYPE_CHECKING:
    from e2edist.imaging.event_batch import Array

    from ._streamer_layout import Classes, ClassInfo, Element

#: Fewest bytes that may stand for what is passed over, or for the header of an object.
_COUNT_BYTES, _VERSION_BYTES, _HEADER_BYTES = 4, 2, 6
#: Path of a number -> number of its column in the output.
Wanted = dict[str, int]


@dataclass(slots=True)
class Program:
    """Operations, and the tables by which headers choose a version.

    Attributes
    ----------
    ops : list of tuple of int
        Operation and its three numbers.
    versions : list of tuple of int
        Version, checksum and first operation of each version of a class.
    names : list of str
        Class of each of `versions`, for messages.
    reasons : list of str
        Why versions of classes can't be read.
    row_bytes : int
        No row of a collection takes fewer.
    """

    ops: list[tuple[int, int, int, int]] = field(default_factory=list)
    versions: list[tuple[int, int, int]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    row_bytes: int = 1 << 30

    def add(self, op: int, a: int = 0, b: int = 0, c: int = 0) -> int:
        """Add an operation and return its place."""
        self.ops.append((op, a, b, c))
        return len(self.ops) - 1

    def arrays(self) -> tuple[Array, Array]:
        """Return operations, int64 (n, 4), and versions, int64 (n, 3)."""
        return (
            np.array(self.ops, np.int64).reshape(-1, 4),
            np.array(self.versions, np.int64).reshape(-1, 3),
        )


class Compiler:
    """Makes the program that reads some numbers of records.

    Parameters
    ----------
    classes : Classes
        Of the file.
    """

    def __init__(self, classes: Classes) -> None:
        self._classes = classes
        self.program = Program()
        self._waiting: list[tuple[int, ClassInfo, Wanted, bool]] = []
        self._calls: list[tuple[int, int]] = []

    def object_of(self, info: ClassInfo, wanted: Wanted) -> Program:
        """Return the program for records that are an object without a header."""
        self._elements(info, wanted)
        self.program.add(ops.STOP)
        return self._finished()

    def element(self, element: Element, wanted: Wanted) -> Program:
        """Return the program for records that are one element of a class."""
        self._one(element, wanted)
        self.program.add(ops.STOP)
        return self._finished()

    def column(self, element: Element, wanted: Wanted) -> Program:
        """Return the program for records that are one member of all rows, one after the other."""
        begin = self.program.add(ops.IF_END)
        self.program.row_bytes = self._one(element, wanted)
        self.program.add(ops.JUMP, begin)
        self.program.ops[begin] = (ops.IF_END, self.program.add(ops.STOP), 0, 0)
        return self._finished()

    def _finished(self) -> Program:
        """Add the subroutines that are called, and those that they call, and return all of it."""
        while self._waiting:
            number, info, wanted, columns = self._waiting.pop()
            begin = len(self.program.ops)
            self.program.versions[number] = (info.version, info.checksum, begin)
            try:
                exact = self._columns(info, wanted) if columns else self._elements(info, wanted)
                self.program.add(ops.LEAVE, int(exact))
            except UnreadableError as error:  # the file may have a version in no record
                del self.program.ops[begin:]
                self.program.add(ops.REFUSE, len(self.program.reasons))
                self.program.reasons.append(str(error))
        for first, last in self._calls:
            begins = [self.program.ops[pc] for _, _, pc in self.program.versions[first:last]]
            if all(op == ops.REFUSE for op, *_ in begins):
                raise UnreadableError(self.program.reasons[begins[0][1]])
        return self.program

    def _call(self, name: str, wanted: Wanted, *, columns: bool = False) -> tuple[int, int]:
        """Return the range of `versions` for a class; each is a subroutine that is made later."""
        first = len(self.program.versions)
        for info in self._classes.versions(name):
            self._waiting.append((len(self.program.versions), info, wanted, columns))
            self.program.versions.append((info.version, info.checksum, 0))
            self.program.names.append(info.name)
        self._calls.append((first, len(self.program.versions)))
        return self._calls[-1]

    def _elements(self, info: ClassInfo, wanted: Wanted) -> bool:
        """Add what reads an object behind its header; return whether all of its bytes are accounted for."""
        left = dict(wanted)
        for element in info.elements:
            if not left and not _is_passable(element):
                return False
            self._one(element, self._taken(element, left))
        _check_all_found(info, left)
        return True

    def _columns(self, info: ClassInfo, wanted: Wanted) -> bool:
        """Add what reads the rows of a collection written member by member, as `_elements`."""
        left = dict(wanted)
        exact = self._columns_of(info, left)
        _check_all_found(info, left)
        return exact

    def _columns_of(self, info: ClassInfo, left: Wanted) -> bool:
        for element in info.elements:
            if element.form == "base":  # its members are written as if they were those of the class
                if not self._columns_of(self._classes.version(element.type, *element.base), left):
                    return False
                continue
            if not left and not _is_passable(element):
                return False
            self._column(element, self._taken(element, left))
        return True

    def _column(self, element: Element, wanted: Wanted) -> None:
        """Add what reads one member of all rows."""
        if element.form == "number":
            size = np.dtype(element.dtype).itemsize
            if wanted:
                self.program.add(ops.COLUMN_VALUE, wanted[element.name], size)
            else:
                self.program.add(ops.COLUMN_SKIP, size * (element.length or 1))
        elif element.form in ("collection", "counted"):  # those of all rows behind one header
            self._one(element, wanted)
        else:
            self._repeated(element, wanted)

    def _repeated(self, element: Element, wanted: Wanted) -> None:
        begin = self.program.add(ops.REPEAT)
        self._one(element, wanted)
        self.program.add(ops.NEXT, begin + 1)
        self.program.ops[begin] = (ops.REPEAT, len(self.program.ops), 0, 0)

    def _one(self, element: Element, wanted: Wanted) -> int:
        """Add what reads one element, and return the fewest bytes that it takes."""
        if not _is_passable(element):
            what = f"{element.name} of type {element.type}, which comes before what is wanted"
            raise UnreadableError(f"no way is known past {what}")
        if element.form == "number":
            return self._number(element, wanted)
        if element.form == "collection" and wanted:
            self._collection(value_type(element.type), element.name, wanted)
            return _HEADER_BYTES + _COUNT_BYTES
        if element.form in ("object", "base") and wanted:
            inner = wanted if element.form == "base" else _below(element.name, wanted)
            return self._enter(element.type, inner)
        if element.type in BARE:
            return sum(self._enter(element.type, {}) for _ in range(element.length or 1))
        kinds = {"string": ops.SKIP_STRING, "pointer": ops.SKIP_POINTER}
        times = 1 if element.form == "collection" else element.length or 1
        for _ in range(times):
            self.program.add(kinds.get(element.form, ops.SKIP_COUNTED))
        return times * (1 if element.form == "string" else _COUNT_BYTES)

    def _enter(self, name: str, wanted: Wanted) -> int:
        """Add what reads an object with its header, and return the fewest bytes that it takes."""
        bare = self._bare_bytes(name)
        self.program.add(ops.ENTER, *self._call(name, wanted), bare)
        return (_VERSION_BYTES if bare else _HEADER_BYTES) + self._least(name, wanted)

    def _bare_bytes(self, name: str) -> int:
        """Return the bytes behind the version of an object that may lack a byte count, else 0."""
        infos = self._classes.versions(name) if name in BARE else ()
        sizes = {sum(int(e.dtype[1:] or 0) for e in info.elements) for info in infos}
        return sizes.pop() if len(sizes) == 1 else 0

    def _number(self, element: Element, wanted: Wanted) -> int:
        size = np.dtype(element.dtype).itemsize
        made = self.program.ops
        if wanted:
            self.program.add(ops.VALUE, wanted[element.name], size)
            return size
        size *= element.length or 1
        if made and made[-1][0] == ops.SKIP:
            made[-1] = (ops.SKIP, made[-1][1] + size, 0, 0)
        else:
            self.program.add(ops.SKIP, size)
        return size

    def _collection(self, inner: str, name: str, wanted: Wanted) -> None:
        """Add what reads a collection in either form: object by object, or member by member."""
        dtype = number_dtype(inner)
        below = {} if dtype else _below(name, wanted)
        rows = (0, 0) if dtype else self._call(inner, below, columns=True)
        at = self.program.add(ops.COLLECTION)
        behind = self.program.add(ops.JUMP)
        if dtype:
            least = np.dtype(dtype).itemsize
            self.program.add(ops.COLUMN_VALUE, wanted[name], least)
        else:
            least = self._least(inner, below)
            again = self.program.add(ops.REPEAT)
            self._enter(inner, below)
            self.program.add(ops.NEXT, again + 1)
            self.program.ops[again] = (ops.REPEAT, len(self.program.ops), 0, 0)
        self.program.add(ops.LEAVE, 1)
        self.program.ops[behind] = (ops.JUMP, len(self.program.ops), 0, 0)
        self.program.ops[at] = (ops.COLLECTION, rows[0], rows[1], least)
        self.program.row_bytes = min(self.program.row_bytes, least)

    def _least(self, name: str, wanted: Wanted) -> int:
        """Return the fewest bytes that the wanted numbers of an object take."""
        kinds = dict(self._classes.leaves(name, rows=True))
        return max(1, sum(np.dtype(kinds[path]).itemsize for path in wanted if path in kinds))

    def _taken(self, element: Element, left: Wanted) -> Wanted:
        """Return which of the numbers that are left lie in an element, and take them off."""
        if not left:
            return {}
        found = dict(self._classes.leaves_of(element))
        return {path: left.pop(path) for path in sorted(found.keys() & left.keys())}


def _below(name: str, wanted: Wanted) -> Wanted:
    return {path.removeprefix(f"{name}."): number for path, number in wanted.items()}


def _is_passable(element: Element) -> bool:
    return element.form != "other"


def _check_all_found(info: ClassInfo, left: Wanted) -> None:
    """Refuse a version of a class that lacks a number which another version has."""
    if left:
        raise UnreadableError(f"version {info.version} of {info.name} has no {', '.join(left)}")
