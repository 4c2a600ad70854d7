"""What the driver knows of one pool: its bundles in flight, its threads and its measured speed."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from e2edist.pools import Pool
from e2edist.records.chunk import Chunk
from e2edist.worker.run_bundle import run_chunks

from .bundles import TaskBundle
from .circuit_breaker import CircuitBreaker
from .throughput import ThroughputModel

#: A bundle made for so many seconds starts no further chunk after twice as many.
_OVERTIME = 2.0
#: A worker that still runs so many seconds after it was stopped is stopped again, harder.
_STOP_S = 30.0
#: Seconds between two searches for overdue bundles.
_CHECK_S = 1.0


@dataclass(slots=True)
class PoolState:
    """A pool and its bundles in flight.

    Attributes
    ----------
    key : str
        Of its task context on the workers.
    in_flight : dict of str to TaskBundle
        By their tags.
    chunks_in_flight : int
        Chunks in them.
    slots : int
        Threads of the workers that are there.
    comparing : bool
        Whether a comparison with another pool runs on one of them.
    """

    pool: Pool
    key: str
    in_flight: dict[str, TaskBundle] = field(default_factory=dict)
    chunks_in_flight: int = 0
    slots: int = 0
    throughput: ThroughputModel = field(default_factory=ThroughputModel)
    comparing: bool = False
    breaker: CircuitBreaker = field(default_factory=CircuitBreaker)
    _next_check: float = 0.0

    def free_slots(self) -> int:
        """Return how many more bundles it takes: one at a time while its breaker is probing."""
        free = self.slots - len(self.in_flight) - self.comparing
        if self.breaker.waiting:
            return 0
        if self.breaker.probing:
            return min(free, 1 - any(bundle.probe for bundle in self.in_flight.values()))
        return free

    def submit(self, chunks: list[Chunk], seconds: float, chunk_s: float, *, alone: bool = False) -> None:
        """Submit a bundle that is made for so many seconds; each chunk may take `chunk_s`."""
        now, tag, budget_s = time.monotonic(), chunks[0].id, _OVERTIME * seconds
        deadline = now + chunk_s + (budget_s if len(chunks) > 1 else 0.0)
        self.in_flight[tag] = TaskBundle(tuple(chunks), deadline, now, alone, probe=self.breaker.probing)
        self.chunks_in_flight += len(chunks)
        self.pool.submit(tag, run_chunks, self.key, tuple(chunks), budget_s)

    def pop(self, tag: str) -> TaskBundle:
        """Take a bundle whose task has ended."""
        bundle = self.in_flight.pop(tag)
        self.chunks_in_flight -= len(bundle.chunks)
        return bundle

    def has_running(self) -> bool:
        """Return whether tasks run on workers that are there."""
        if not self.in_flight:
            return False
        try:
            return self.pool.counts()["joined"] > 0
        except (OSError, TimeoutError):  # its scheduler is gone
            return False

    def stop_overdue(self, chunk_s: float) -> None:
        """Stop the workers of bundles past their deadlines; their other bundles are marked as collateral."""
        now = time.monotonic()
        if now < self._next_check:  # there may be thousands
            return
        self._next_check = now + min(chunk_s / 10, _CHECK_S)
        for tag in [tag for tag, bundle in self.in_flight.items() if now > bundle.deadline]:
            bundle = self.in_flight[tag]
            bundle.overdue, bundle.deadline = True, now + min(chunk_s, _STOP_S)
            for other in self.pool.stop_task(tag):
                if other != tag and other in self.in_flight:
                    self.in_flight[other].collateral = True


def count_in_flight(pools: Iterable[PoolState]) -> int:
    """Return the chunks in flight in all pools together."""
    return sum(state.chunks_in_flight for state in pools)
