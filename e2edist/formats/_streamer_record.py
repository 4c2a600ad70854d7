"""The StreamerInfo record of a file, from its bytes: where each class is, and the elements of those needed.

A file of CMSSW describes some hundred classes, of which few are needed. To read all of them, as uproot does,
costs a tenth of a second and more at each opening; byte counts lead past those that nobody asks for.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from e2edist.errors import guarded
from e2edist.urls import public

from ._compressed import decompressed

if TYPE_CHECKING:
    from collections.abc import Iterator

_BYTE, _VERSION, _INT, _UINT = map(struct.Struct, ("B", ">h", ">i", ">I"))
#: TKey: bytes, version, uncompressed bytes of what follows it, date, length of the key.
_KEY = struct.Struct(">ihiIh")
_ELEMENT = struct.Struct(">4i")  # type, size, length of an array, its dimensions
_COUNT_FLAG, _NEW_CLASS, _CLASS_FLAG = 0x40000000, 0xFFFFFFFF, 0x80000000
#: ROOT counts places of classes from here, behind the key.
_FIRST_PLACE = 2
#: TObject: version, id, bits; with the last of these set, two bytes follow.
_OBJECT = struct.Struct(">hII")
_IS_REFERENCED = 0x10
#: From these versions on, a list has a name, and an element 5 maximal indices.
_LIST_WITH_NAME, _FIXED_INDICES = 4, 2
#: A record may hold so many bytes; those of CMSSW hold some 200,000.
_MOST_BYTES = 64 << 20


class DamagedRecordError(ValueError):
    """The bytes are no StreamerInfo as ROOT writes it."""


@dataclass(frozen=True, slots=True)
class RawElement:
    """One element of a class, as TStreamerElement and the classes derived from it have it.

    Attributes
    ----------
    kind : str
        Name of the derived class, as "TStreamerBase".
    name, title, type_name : str
    type : int
        ``TVirtualStreamerInfo::EReadWrite``.
    length : int
        Of an array.
    base : tuple of int
        Version and checksum of a base class.
    """

    kind: str
    name: str
    title: str
    type_name: str
    type: int
    length: int
    base: tuple[int, int]


@dataclass(frozen=True, slots=True)
class RawInfo:
    """One version of a class; its elements are read when they are asked for."""

    name: str
    version: int
    checksum: int
    _record: StreamerRecord
    _at: int

    def elements(self) -> list[RawElement]:
        """Return its elements.

        Raises
        ------
        DamagedRecordError
            They do not end where their byte counts say.
        """
        return self._record.elements(self._at)


def read_infos(file: Any) -> list[RawInfo]:
    """Return all versions of all classes that an open file of uproot describes; none if it has no record.

    Raises
    ------
    DamagedRecordError
        The record is not as ROOT writes it.
    InputError
        The disk or the network fails; it may be tried again.
    """
    begin, size = int(file.fSeekInfo), int(file.fNbytesInfo)
    if begin <= 0 or size <= 0:
        return []
    if begin + size > file.fEND or size > _MOST_BYTES:
        raise DamagedRecordError("it is larger than such a record, or lies beyond the end of the file")
    with guarded(public(file.file_path), "its StreamerInfo can't be read", "Check the disk or the network"):
        raw = file.chunk(begin, begin + size).raw_data
    if len(raw) < _KEY.size:
        raise DamagedRecordError("it ends too early")
    stored, _, whole, _, key_bytes = _KEY.unpack_from(raw)
    if stored != size or not _KEY.size <= key_bytes < size or not 0 <= whole <= _MOST_BYTES:
        raise DamagedRecordError("its key has absurd sizes")
    try:
        data = bytes(decompressed(raw[key_bytes:], whole))
    except ImportError:
        raise
    except Exception as error:  # the errors of five libraries, which have no common class
        raise DamagedRecordError("it can't be decompressed") from error
    return list(StreamerRecord(data, key_bytes).infos())


class StreamerRecord:
    """What is in the record.

    Parameters
    ----------
    data : bytes
        Of the list, uncompressed.
    key_bytes : int
        Length of the key before it, from which ROOT counts places.
    """

    def __init__(self, data: bytes, key_bytes: int) -> None:
        self._data, self._key_bytes = data, key_bytes

    def infos(self) -> Iterator[RawInfo]:
        """Yield all versions of all classes.

        Raises
        ------
        DamagedRecordError
            It is no such list.
        """
        cursor = _Cursor(self._data)
        version, end = cursor.header()
        cursor.skip_object()
        if version >= _LIST_WITH_NAME:
            cursor.string()
        for _ in range(cursor.number(_INT)):
            kind, begin, stop = self._object(cursor)
            if kind == "TStreamerInfo":  # the other one is a list of rules, which are C++
                yield self._info(begin, stop)
            cursor.at = stop
            cursor.string()
        cursor.expect(end)

    def elements(self, at: int) -> list[RawElement]:
        """Return the elements of a class, whose list begins at `at`."""
        cursor = _Cursor(self._data, at)
        kind, cursor.at, end = self._object(cursor)
        _, stop = cursor.header()
        if kind != "TObjArray" or stop != end:
            raise DamagedRecordError(f"a {kind} in place of elements")
        cursor.skip_object()
        cursor.string()
        count, _ = cursor.number(_INT), cursor.number(_INT)
        found = []
        for _ in range(count):
            kind, begin, stop = self._object(cursor)
            found.append(self._element(kind, begin))
            cursor.at = stop
        cursor.expect(end)
        return found

    def _info(self, begin: int, end: int) -> RawInfo:
        cursor = _Cursor(self._data, begin)
        _, stop = cursor.header()
        name, _ = cursor.named()
        checksum, version = cursor.number(_UINT), cursor.number(_INT)
        if stop != end:
            raise DamagedRecordError(f"{name} does not end where its byte count says")
        return RawInfo(name, version, checksum, self, cursor.at)

    def _element(self, kind: str, begin: int) -> RawElement:
        cursor = _Cursor(self._data, begin)
        # A header for each class between this one and TStreamerElement.
        depth = {"TStreamerElement": 1, "TStreamerSTLstring": 3}.get(kind, 2)
        version, stop = [cursor.header() for _ in range(depth)][-1]
        name, title = cursor.named()
        type_, _, length, _ = cursor.numbers(_ELEMENT)
        count = 5 if version >= _FIXED_INDICES else cursor.number(_INT)
        indices = [cursor.number(_UINT) for _ in range(count)]
        type_name = cursor.string()
        if cursor.at > stop:
            raise DamagedRecordError(f"{name} does not end where its byte count says")
        base = (-1, 0)
        if kind == "TStreamerBase":
            cursor.at = stop
            base = (cursor.number(_INT), indices[1] if count > 1 else 0)
        return RawElement(kind, name, title, type_name, type_, length, base)

    def _object(self, cursor: _Cursor) -> tuple[str, int, int]:
        """Return class, begin and end of an object with a class, behind whose head the cursor then is."""
        end = cursor.count()
        place = cursor.at
        tag = cursor.number(_UINT)
        if tag != _NEW_CLASS:  # it was named before, there
            place = (tag & ~_CLASS_FLAG) - _FIRST_PLACE - self._key_bytes
        named = _Cursor(self._data, place)
        if place < 0 or named.number(_UINT) != _NEW_CLASS:
            raise DamagedRecordError("a class is not named where it should be")
        stop = self._data.find(b"\0", named.at)
        kind = self._data[named.at : stop].decode("ascii", "replace")
        if tag == _NEW_CLASS:
            cursor.at = stop + 1
        if cursor.at > end or stop < 0:
            raise DamagedRecordError("a class is not named where it should be")
        return kind, cursor.at, end


class _Cursor:
    """A place in the record; what reaches beyond its end raises DamagedRecordError."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self._data, self.at = data, at

    def numbers(self, form: struct.Struct) -> tuple[Any, ...]:
        if not 0 <= self.at <= len(self._data) - form.size:
            raise DamagedRecordError("it ends too early")
        self.at += form.size
        return form.unpack_from(self._data, self.at - form.size)

    def number(self, form: struct.Struct) -> int:
        return int(self.numbers(form)[0])

    def count(self) -> int:
        """Return the end that a byte count gives."""
        count = self.number(_UINT)
        end = self.at + (count & ~_COUNT_FLAG)
        if count >> 30 != 1 or end > len(self._data):
            raise DamagedRecordError("a byte count is missing or too large")
        return end

    def header(self) -> tuple[int, int]:
        """Return version and end of an object."""
        end = self.count()
        return self.number(_VERSION), end

    def string(self) -> str:
        length = self.number(_BYTE)
        if length == 255:
            length = self.number(_UINT)
        if length > len(self._data) - self.at:
            raise DamagedRecordError("a name is too long")
        self.at += length
        return self._data[self.at - length : self.at].decode("utf-8", "replace")

    def skip_object(self) -> None:
        """Pass over a TObject."""
        _, _, bits = self.numbers(_OBJECT)
        if bits & _IS_REFERENCED:
            self.number(_VERSION)

    def named(self) -> tuple[str, str]:
        """Return name and title of a TNamed."""
        _, end = self.header()
        self.skip_object()
        found = self.string(), self.string()
        self.expect(end)
        return found

    def expect(self, end: int) -> None:
        if self.at != end:
            raise DamagedRecordError("an object ends elsewhere than its byte count says")
