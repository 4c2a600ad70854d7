"""What lies in an object on disk: the classes of a file, as its own StreamerInfo describes them.

ROOT writes into each file a description of every class that it holds, one for each version of the class: its
elements in the order in which they are written. Layouts are made from these descriptions alone, whatever
release of CMSSW wrote the file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._streamer_record import DamagedRecordError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._streamer_record import RawElement, RawInfo

#: ``TVirtualStreamerInfo::EReadWrite``: numbers, all big-endian on disk; a long takes 8 bytes. Float16_t and
#: bits are not among them: how many bytes they take depends on more than their type.
_NUMBERS = dict(
    zip(
        (1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 16, 17, 18),
        ["i1", "i2", "i4", "i8", "f4", "i4", "f8", "f4", "i1", "u1", "u2", "u4", "u8", "i8", "u8", "u1"],
        strict=True,
    )
)
#: The same for what a collection holds.
_NUMBER_NAMES = {
    "char": "i1",
    "short": "i2",
    "int": "i4",
    "long": "i8",
    "long long": "i8",
    "Long64_t": "i8",
    "unsigned char": "u1",
    "unsigned short": "u2",
    "unsigned int": "u4",
    "unsigned long": "u8",
    "unsigned long long": "u8",
    "ULong64_t": "u8",
    "float": "f4",
    "double": "f8",
    "bool": "u1",
}
_ARRAY = 20  # added to the type of a fixed array
_BASE, _DOUBLE32, _OBJECT, _ANY, _TSTRING, _TNAMED = 0, 9, 61, 62, 65, 67
_POINTERS = (64, 69, 70)
_STL = (300, 365, 500)
#: Classes that CMSSW streams by hand: a version without a byte count, and numbers. ROOT takes either form.
BARE = frozenset({"edm::RefCore", "edm::RefCoreWithIndex"})


class UnreadableError(ValueError):
    """A product whose bytes can't be understood, and why."""


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a class, a base class or a member.

    Attributes
    ----------
    name : str
        Of the member.
    type : str
        Its class, spelled as `plain_name` does.
    form : str
        How it is written: "number", "base", "object", "collection", "counted" (anything with a byte count),
        "string", "pointer", or "other", which can't be passed over.
    length : int
        Of a fixed array, else 0.
    dtype : str
        Of a number.
    base : tuple of int
        Version and checksum of a base class.
    """

    name: str
    type: str
    form: str
    length: int = 0
    dtype: str = ""
    base: tuple[int, int] = (-1, 0)


@dataclass(frozen=True, slots=True)
class ClassInfo:
    """One version of a class."""

    name: str
    version: int
    checksum: int
    elements: tuple[Element, ...]


class Classes:
    """All classes of a file.

    Parameters
    ----------
    infos : iterable of ClassInfo or RawInfo
        All versions of all classes; of those that are needed the elements are looked at.
    """

    def __init__(self, infos: Iterable[ClassInfo | RawInfo]) -> None:
        self._infos: dict[str, list[ClassInfo | RawInfo]] = {}
        for info in infos:
            self._infos.setdefault(plain_name(info.name), []).append(info)
        self._known: dict[str, tuple[ClassInfo, ...]] = {}
        self._leaves: dict[tuple[str, bool], tuple[tuple[str, str], ...] | None] = {}

    def versions(self, name: str) -> tuple[ClassInfo, ...]:
        """Return all versions of a class, the newest first.

        Raises
        ------
        UnreadableError
            The file describes no such class, or in a way that is not ROOT's.
        """
        name = plain_name(name)
        if name not in self._known:
            try:
                made = [
                    one if isinstance(one, ClassInfo) else _class_info(one)
                    for one in self._infos.get(name, ())
                ]
            except DamagedRecordError as error:
                raise UnreadableError(f"the StreamerInfo of {name} is damaged ({error})") from error
            self._known[name] = tuple(sorted(made, key=lambda info: -info.version))
        if not self._known[name]:
            raise UnreadableError(f"the file has no StreamerInfo of {name}")
        return self._known[name]

    def version(self, name: str, version: int, checksum: int) -> ClassInfo:
        """Return the version of a class that has this checksum or, where none has it, this number.

        Raises
        ------
        UnreadableError
            The file describes no such class, or no such version of it.
        """
        known = self.versions(name)

        def fit(info: ClassInfo) -> int:
            return 2 * (checksum != 0 and info.checksum == checksum) + (info.version == version)

        best = max(known, key=fit)
        if fit(best) or (version <= 0 and not checksum and len(known) == 1):
            return best
        raise UnreadableError(f"the file has no StreamerInfo of version {version} of {name}")

    def leaves(self, name: str, *, rows: bool = False) -> tuple[tuple[str, str], ...]:
        """Return path and dtype of all numbers in a class, those of a collection among them, best first.

        With `rows` the class is that of the rows of a collection, whose own collections have no place in a
        table and are left out.

        Raises
        ------
        UnreadableError
            The file describes no such class, or one that holds itself.
        """
        key = (plain_name(name), rows)
        if key not in self._leaves:
            self._leaves[key] = None
            elements = [element for info in self.versions(name) for element in info.elements]
            found = [leaf for element in elements for leaf in self.leaves_of(element, rows=rows)]
            self._leaves[key] = tuple(dict(reversed(found)).items())[::-1]
        known = self._leaves[key]
        if known is None:
            raise UnreadableError(f"StreamerInfo of {name} describes a class that holds itself")
        return known

    def leaves_of(self, element: Element, *, rows: bool = False) -> list[tuple[str, str]]:
        """Return path, which begins with the name of the element, and dtype of all numbers in it."""
        if element.length or element.form not in ("number", "base", "object", "collection"):
            return []
        is_list = element.form == "collection"
        inner = value_type(element.type) if is_list else element.type
        dtype = number_dtype(inner) if is_list else element.dtype
        if is_list and rows:
            return []
        if dtype:
            return [(element.name, dtype)]
        try:
            below = self.leaves(inner, rows=rows or is_list)
        except UnreadableError:  # of other members that nobody asks for
            return []
        return [
            (path if element.form == "base" else f"{element.name}.{path}", dtype) for path, dtype in below
        ]


def plain_name(name: str) -> str:
    """Return the name of a class without what is spelled in several ways: spaces, std::, what is default."""
    name = re.sub(r"\s*([<>,*&])\s*", r"\1", name.strip()).replace("std::", "")
    return name.replace(",ROOT::Math::DefaultCoordinateSystemTag", "")


def value_type(collection: str) -> str:
    """Return what a vector holds, empty for any other collection, or where it holds pointers."""
    found = re.fullmatch(r"vector<(.*)>", collection)
    if found is None or found[1].endswith("*"):
        return ""
    return re.sub(r",allocator<.*>$", "", found[1])


def number_dtype(name: str) -> str:
    """Return the dtype of a number by its name in C++, empty if it is none."""
    return _NUMBER_NAMES.get(name, "")


def _class_info(info: RawInfo) -> ClassInfo:
    elements = tuple(map(_element, info.elements()))
    return ClassInfo(plain_name(info.name), info.version, info.checksum, elements)


def _element(found: RawElement) -> Element:
    type_name, kind, length = plain_name(found.type_name), found.type, max(found.length, 0)
    if found.kind.startswith("TStreamerSTL"):  # one header, also for an array of collections
        form = "collection" if value_type(type_name) and not length else "counted"
        return Element(found.name, type_name, form if kind in _STL else "other")
    if _ARRAY < kind < 2 * _ARRAY or _OBJECT + _ARRAY <= kind < _POINTERS[-1] + 2 * _ARRAY:
        kind, length = kind - _ARRAY, max(length, 1)
    packed = kind == _DOUBLE32 and re.match(r"[^\[]*\[[^\]]*,", found.title) is not None
    if kind in _NUMBERS and not packed:
        return Element(found.name, type_name, "number", length, _NUMBERS[kind])
    if kind == _BASE and found.kind == "TStreamerBase":
        return Element(found.name, plain_name(found.name), "base", 0, "", found.base)
    forms = {_OBJECT: "object", _ANY: "object", _TNAMED: "counted", _TSTRING: "string"}
    form = forms.get(kind, "pointer" if kind in _POINTERS else "other")
    return Element(found.name, type_name, form, length)
