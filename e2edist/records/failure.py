"""Failures: entries that a run gave up, and why."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from e2edist.redaction import public, redact

from .chunk import Chunk

#: The class of an error, as it stands before a file's name, and what stands behind that: tree and entries.
_CLASS, _ENTRIES = re.compile(r"(\w+: )?"), re.compile(r"(:[^\s:]+)?( entries \d+-\d+)?: ")
#: Attempts that a failure names.
_MOST_NAMED = 8


@dataclass(frozen=True, slots=True)
class Failure:
    """Entries that were given up.

    Attributes
    ----------
    id, url, uuid, tree
        As in `Chunk`.
    start, stop : int
        Entries, half-open.
    reason : str
        The last error.
    attempts : int
        Tries and deaths of workers.
    tried : tuple of str
        What each of them ended with, the last few.
    """

    id: str
    url: str
    uuid: str
    tree: str
    start: int
    stop: int
    reason: str
    attempts: int
    tried: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # Older ones may hold addresses in full; the message of a bug may quote one.
        object.__setattr__(self, "url", public(self.url))
        object.__setattr__(self, "reason", without_place(redact(self.reason), self.url))
        object.__setattr__(self, "tried", tuple(map(redact, self.tried)))

    @classmethod
    def of(cls, chunk: Chunk, reason: str, attempts: int, tried: Iterable[str]) -> Failure:
        """Return the failure of a chunk."""
        place = (chunk.id, chunk.url, chunk.uuid, chunk.tree, chunk.start, chunk.stop)
        return cls(*place, reason, attempts, tuple(tried)[-_MOST_NAMED:])

    @property
    def events(self) -> int:
        """Number of entries."""
        return self.stop - self.start


def without_place(reason: str, url: str) -> str:
    """Return an error's text without the file, tree and entries before it: those stand beside it.

    The entries of a chunk are more than those of it that are given up, too.

    >>> without_place("EntriesError: /a.root:Events entries 0-220: is damaged", "/a.root")
    'EntriesError: is damaged'
    >>> without_place("/a.root: is cut short", "/a.root")
    'is cut short'
    """
    # No pattern of the url: `status` reads all failures, and compiling one for each takes seconds.
    head, _, rest = reason.partition(url)
    place = _ENTRIES.match(rest)
    return head + rest[place.end() :] if place and _CLASS.fullmatch(head) else reason
