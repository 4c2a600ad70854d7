"""The chunks of a run that no pool has: pending, in backoff after a failure, or to be run alone."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from e2edist.records.chunk import Chunk


class PendingQueue:
    """Chunks in the order in which they are given out, and how many events they have together."""

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


@dataclass(slots=True)
class WorkQueue:
    """All chunks that are not in flight.

    Attributes
    ----------
    pending : PendingQueue
        Given out next.
    isolation_queue : deque of Chunk
        Each of them runs while nothing else does.
    backoff : list of (float, str, Chunk)
        Heap of chunks that wait before they are tried again: until when, id, chunk.
    """

    pending: PendingQueue = field(default_factory=PendingQueue)
    isolation_queue: deque[Chunk] = field(default_factory=deque)
    backoff: list[tuple[float, str, Chunk]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.pending) + len(self.isolation_queue) + len(self.backoff)

    def retry_at(self, moment: float, chunk: Chunk) -> None:
        """Keep a chunk until a moment of the monotonic clock."""
        heapq.heappush(self.backoff, (moment, chunk.id, chunk))

    def end_backoff(self, now: float) -> None:
        """Make chunks pending whose moment has come."""
        while self.backoff and self.backoff[0][0] <= now:
            self.pending.extend([heapq.heappop(self.backoff)[2]])
