"""What is known of an input file without reading its events. Imports nothing, so that plans open fast."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file and the tree in it.

    Attributes
    ----------
    url : str
        As given; of a file that was opened without its secrets.
    format, tree : str
        Plug-in that reads it, and the tree's path in the file, without cycle.
    uuid : str
        The file's own uuid, 32 hex digits.
    size : int
        Bytes.
    entries : int
        Events.
    """

    url: str
    format: str
    tree: str
    uuid: str
    size: int
    entries: int

    def at(self, url: str) -> InputFile:
        """Return the same file at another address, which may hold secrets."""
        return InputFile(url, self.format, self.tree, self.uuid, self.size, self.entries)


@dataclass(frozen=True, slots=True)
class FileInfo(InputFile):
    """A file with the places where it may be cut.

    Attributes
    ----------
    edges : tuple of int
        Cluster boundaries: ascending, from 0 to `entries`; ``(0,)`` without events. Ranges that begin
        and end on edges decompress nothing twice. In a plan: where chunks begin and end.
    """

    edges: tuple[int, ...]

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Yield the ranges between neighbouring edges; of a file without entries an empty one."""
        stops = self.edges[1:] or (0,)
        yield from zip((0, *stops[:-1]), stops, strict=True)
