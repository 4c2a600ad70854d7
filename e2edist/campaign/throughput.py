"""How much of a chunk a pool gets: as much as keeps it busy for a while, less towards the end.

A plan's chunks are cut for a typical pool. A slower pool gets the first part of one, and the rest stays
pending; when little is left, chunks shrink so that all workers end at about the same time. Pieces are
chunks like others: their parts tile the planned one.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

#: Portions that a thread still gets when portions begin to shrink. With one, a chunk that takes longer than
#: foreseen, given out last, keeps all other threads waiting for an eighth of a short campaign.
_SHARES = 3
#: Seconds of work after which the speed of a pool counts as measured; before, it gets whole chunks.
_MEASURED_S = 2.0


@dataclass(slots=True)
class ThroughputModel:
    """Measured speed of the threads of a pool.

    Attributes
    ----------
    events : int
        Done.
    seconds : float
        Wall seconds of their chunks, summed over threads, without setup.
    shortest_s : float
        Of the shortest chunk: what a file costs however few events it has.
    max_bundle : int
        Chunks that may be bundled into the next task.
    """

    events: int = 0
    seconds: float = 0.0
    shortest_s: float = inf
    max_bundle: int = 1

    def add(self, events: int, seconds: float) -> None:
        """Add a finished chunk."""
        self.events += events
        self.seconds += seconds
        self.shortest_s = min(self.shortest_s, seconds)

    def grow(self, chunks: int) -> None:
        """Allow twice as many chunks in the next task as in one that has just finished."""
        self.max_bundle = max(self.max_bundle, 2 * chunks)

    def estimate_s(self, events: int) -> float:
        """Return the seconds that a chunk of so many events takes; infinite until one is done."""
        return max(self.shortest_s, events * self.seconds / self.events if self.events else 0.0)

    @property
    def rate(self) -> float:
        """Events per second of one thread; 0 until measured."""
        return self.events / self.seconds if self.seconds >= _MEASURED_S else 0.0


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
