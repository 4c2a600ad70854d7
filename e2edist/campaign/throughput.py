"""How much of a chunk a pool gets: as much as keeps it busy for a while, less towards the end.

A plan's chunks are cut for a typical pool. A slower pool gets the first part of one, the rest waits for
whoever is free; and when little is left, chunks shrink so that all workers end at about the same time.
Pieces are chunks like others: their parts tile the planned one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf

from e2edist.records.chunk import Chunk

#: Portions that a thread still gets when portions begin to shrink. With one, a chunk that takes longer than
#: foreseen, given out last, keeps all other threads waiting for an eighth of a short campaign.
_SHARES = 3
#: A pool measures up after so many seconds of work; before, it gets whole chunks.
_MEASURED_S = 2.0


@dataclass(slots=True)
class ThroughputModel:
    """Measured speed of the threads of a pool.

    Attributes
    ----------
    events : int
        Done.
    seconds : float
        Wall seconds of their chunks, summed over threads, setting up left out.
    least_s : float
        The shortest chunk: what a file costs whatever it holds.
    load : int
        Chunks that may ride together next.
    """

    events: int = 0
    seconds: float = 0.0
    least_s: float = inf
    load: int = 1

    def add(self, events: int, seconds: float) -> None:
        """Note a finished chunk."""
        self.events += events
        self.seconds += seconds
        self.least_s = min(self.least_s, seconds)

    def grow(self, chunks: int) -> None:
        """Note a load of so many chunks that came home: twice as many may ride next."""
        self.load = max(self.load, 2 * chunks)

    def takes_s(self, events: int) -> float:
        """Return the seconds that a chunk of so many events takes; infinite until one is done."""
        return max(self.least_s, events * self.seconds / self.events if self.events else 0.0)

    @property
    def rate(self) -> float:
        """Events per second of one thread; 0 until measured."""
        return self.events / self.seconds if self.seconds >= _MEASURED_S else 0.0


class PendingQueue:
    """Chunks that wait to be given out, in order, and how many events they have together."""

    def __init__(self, chunks: Iterable[Chunk] = ()) -> None:
        self._chunks: deque[Chunk] = deque()
        self.events = 0
        self.extend(chunks)

    def __len__(self) -> int:
        return len(self._chunks)

    def extend(self, chunks: Iterable[Chunk]) -> None:
        """Put chunks at the end."""
        for chunk in chunks:
            self._chunks.append(chunk)
            self.events += chunk.events

    def put_back(self, chunk: Chunk) -> None:
        """Put a chunk at the beginning."""
        self._chunks.appendleft(chunk)
        self.events += chunk.events

    def prefer(self, wanted: Callable[[Chunk], bool], uuid: str) -> bool:
        """Bring a `wanted` chunk to the front, of another file if possible; return whether there is any."""
        found = [chunk for chunk in self._chunks if wanted(chunk)]
        if not found:
            return False
        best = next((chunk for chunk in found if chunk.uuid != uuid), found[0])
        self._chunks.remove(best)
        self._chunks.appendleft(best)
        return True

    @property
    def next(self) -> Chunk:
        """The first chunk."""
        return self._chunks[0]

    def pop(self) -> Chunk:
        """Take the first chunk."""
        chunk = self._chunks.popleft()
        self.events -= chunk.events
        return chunk


def portion(have: int, rate: float, share: float, limits: tuple[float, float]) -> int:
    """Return how many events of a chunk to give out.

    Parameters
    ----------
    have : int
        Events of the chunk, at least 1.
    rate : float
        Events per second of the thread that is to get it; 0 if unknown: it gets all.
    share : float
        Events that are left of the campaign, per thread of all pools; a third of them is a portion.
    limits : (float, float)
        Seconds of work that a chunk should at least and at most be.

    Returns
    -------
    int
        Between 1 and `have`; all of it rather than leaving a rest of less than half a portion.
    """
    if rate <= 0:
        return have
    least, most = (max(1, int(rate * seconds)) for seconds in limits)
    wanted = max(least, int(min(most, share / _SHARES)))
    return have if have <= wanted * 1.5 else wanted
