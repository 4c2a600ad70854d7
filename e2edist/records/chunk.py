"""The unit of work, retry and commit: a range of entries of one file, and the name of its part."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache

from e2edist.redaction import public


@dataclass(frozen=True, slots=True)
class Chunk:
    """A half-open range of entries of one file.

    Attributes
    ----------
    url, format, tree, uuid, size, entries
        Of the file, as in the plan; `url` is kept and shown, so it never has secrets.
    start, stop : int
        Entries, half-open.
    """

    url: str
    format: str
    tree: str
    uuid: str
    size: int
    entries: int
    start: int
    stop: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", public(self.url))  # receipts of before may hold it in full

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

    def halves(self) -> tuple[Chunk, Chunk]:
        """Return the two halves of a chunk of at least two entries."""
        middle = (self.start + self.stop) // 2
        return self.part(self.start, middle), self.part(middle, self.stop)


def chunk_id(uuid: str, tree: str, start: int, stop: int) -> str:
    """Return the name of a part: safe in any file system, the same for the same entries of a file."""
    return piece_id(chunk_head(uuid, tree), start, stop)


def chunk_head(uuid: str, tree: str) -> str:
    """Return what the ids of all chunks of a file begin with."""
    return f"{uuid}-{_plain(tree)}"


def piece_id(head: str, start: int, stop: int) -> str:
    """Return the id of other entries of the file that `head` stands for."""
    return f"{head}-{start}-{stop}"


def chunk_place(name: str) -> tuple[str, int, int]:
    """Return what the ids of a file's chunks begin with, and the entries of this one, half-open.

    >>> chunk_place("0f-Events-10-20")
    ('0f-Events', 10, 20)
    """
    head, start, stop = name.rsplit("-", 2)
    return head, int(start), int(stop)


def has_place(name: str) -> bool:
    """Whether `chunk_place` can read a name, which may be anybody's file."""
    return re.fullmatch(r".+-\d+-\d+", name, re.DOTALL) is not None


@cache
def _plain(tree: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", tree)


def is_chunk_id(name: str) -> bool:
    """Whether a name looks like one of `chunk_id`."""
    return re.fullmatch(r"[0-9a-f]{32}-\w*-\d+-\d+", name) is not None
