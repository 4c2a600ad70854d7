"""The unit of work, retry and commit: a range of entries of one file, and the name of its part."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache

from e2edist.input_file import InputFile
from e2edist.redaction import public

from .intervals import Range


@dataclass(frozen=True, slots=True)
class Chunk(InputFile):
    """A half-open range of entries of one file, whose `url` is kept and shown: it never has secrets.

    Attributes
    ----------
    start, stop : int
        Entries, half-open.
    """

    start: int
    stop: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", public(self.url))  # receipts of before may hold it in full

    @classmethod
    def of(cls, file: InputFile, start: int, stop: int) -> Chunk:
        """Return the chunk of some entries of a file."""
        return cls(file.url, file.format, file.tree, file.uuid, file.size, file.entries, start, stop)

    @property
    def id(self) -> str:
        """Name of the part: safe in any file system, the same for the same entries of the same file."""
        return chunk_id(self.uuid, self.tree, self.start, self.stop)

    @property
    def events(self) -> int:
        """Number of entries."""
        return self.stop - self.start

    def part(self, start: int, stop: int) -> Chunk:
        """Return the chunk of other entries of the same file."""
        return replace(self, start=start, stop=stop)

    @property
    def range(self) -> Range:
        """Its entries."""
        return Range(self.start, self.stop)

    def halves(self) -> tuple[Chunk, Chunk]:
        """Return the two halves of a chunk of at least two entries."""
        first, second = self.range.halves()
        return self.part(*first), self.part(*second)


def chunk_id(uuid: str, tree: str, start: int, stop: int) -> str:
    """Return the name of a part: safe in any file system, the same for the same entries of a file."""
    return range_id(file_key(uuid, tree), (start, stop))


def file_key(uuid: str, tree: str) -> str:
    """Return what the ids of all chunks of a file begin with."""
    return f"{uuid}-{_plain(tree)}"


def range_id(key: str, entries: tuple[int, int]) -> str:
    """Return the id of some entries, half-open, of the file that `key` stands for."""
    return f"{key}-{entries[0]}-{entries[1]}"


def parse_id(name: str) -> tuple[str, Range]:
    """Return the key of a chunk's file, and its entries.

    >>> parse_id("0f-Events-10-20")
    ('0f-Events', Range(start=10, stop=20))
    """
    key, start, stop = name.rsplit("-", 2)
    return key, Range(int(start), int(stop))


def ranges_by_file(names: Iterable[str]) -> dict[str, list[Range]]:
    """Return the entries of some chunks, in order, by the key of their file."""
    found: dict[str, list[Range]] = {}
    for name in names:
        key, entries = parse_id(name)
        found.setdefault(key, []).append(entries)
    for ranges in found.values():
        ranges.sort()
    return found


def has_entries(name: str) -> bool:
    """Return whether `parse_id` can read a name, which may be anybody's file."""
    return re.fullmatch(r".+-\d+-\d+", name, re.DOTALL) is not None


@cache
def _plain(tree: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", tree)


def is_chunk_id(name: str) -> bool:
    """Whether a name looks like one of `chunk_id`."""
    return re.fullmatch(r"[0-9a-f]{32}-\w*-\d+-\d+", name) is not None
