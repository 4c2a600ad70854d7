"""Loads: what one task carries, one chunk or as many small ones as are worth a task.

A task costs driver and scheduler some milliseconds, and its thread a way there and back; a file of a
hundred events takes no longer. So small chunks ride together. Each stays a chunk of its own: it has its
part, its receipt and its error, and when a worker dies the parts tell which of them was running.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from e2edist.plugins import as_bug, is_bug
from e2edist.pools import Pool, TaskOutcome
from e2edist.records.chunk import Chunk
from e2edist.records.receipt import Receipt
from e2edist.worker.run_bundle import run_chunks

from .circuit_breaker import CircuitBreaker
from .throughput import PendingQueue, ThroughputModel

#: Chunks of a load: their receipts come home in one message.
_MOST = 256
#: A load is made for so many seconds, and goes home with what it has after twice as many.
_OVERTIME = 2.0
#: Shares that a thread gets of what is left: small ones, so that all threads end at about the same time.
_SHARES = 2
#: A worker that was told to stop and is still there after so long is stopped once more, harder.
_STOP_S = 30.0
#: Loads are looked through for late ones so often.
_LOOK_S = 1.0


@dataclass(slots=True)
class TaskBundle:
    """Chunks in flight together.

    Attributes
    ----------
    until : float
        When patience ends.
    began : float
        When it was given out.
    alone : bool
        Whether nothing else flies meanwhile, so that a death is its one chunk's.
    probe : bool
        Given out while nothing had succeeded and something had failed (see `breaker`).
    late, bystander : bool
        Its worker was stopped by us, because of this load, or of another one.
    """

    chunks: tuple[Chunk, ...]
    until: float
    began: float
    alone: bool = False
    probe: bool = False
    late: bool = False
    collateral: bool = False


@dataclass(slots=True)
class PoolState:
    """A pool and its loads in flight.

    Attributes
    ----------
    key : str
        Names its job on the workers.
    flying : dict of str to Load
        By their tags.
    aloft : int
        Chunks in them.
    """

    pool: Pool
    key: str
    in_flight: dict[str, TaskBundle] = field(default_factory=dict)
    chunks_in_flight: int = 0
    slots: int = 0
    pace: ThroughputModel = field(default_factory=ThroughputModel)
    comparing: bool = False
    breaker: CircuitBreaker = field(default_factory=CircuitBreaker)
    _next_look: float = 0.0

    def room(self) -> int:
        """Return how many more loads it takes: one at a time while its breaker is probing."""
        free = self.slots - len(self.in_flight) - self.comparing
        if self.breaker.waiting:
            return 0
        if self.breaker.probing:
            return min(free, 1 - any(load.probe for load in self.in_flight.values()))
        return free

    def give(self, chunks: list[Chunk], seconds: float, patience_s: float, *, alone: bool = False) -> None:
        """Give out a load that is made for so many seconds; each chunk may take `patience_s`."""
        now, tag, budget_s = time.monotonic(), chunks[0].id, _OVERTIME * seconds
        until = now + patience_s + (budget_s if len(chunks) > 1 else 0.0)
        self.in_flight[tag] = TaskBundle(tuple(chunks), until, now, alone, probe=self.breaker.probing)
        self.chunks_in_flight += len(chunks)
        self.pool.submit(tag, run_chunks, self.key, tuple(chunks), budget_s)

    def take(self, tag: str) -> TaskBundle:
        """Return a load that has landed."""
        load = self.in_flight.pop(tag)
        self.chunks_in_flight -= len(load.chunks)
        return load

    def has_running(self) -> bool:
        """Return whether tasks run on workers that are there."""
        if not self.in_flight:
            return False
        try:
            return self.pool.counts()["joined"] > 0
        except (OSError, TimeoutError):  # its scheduler is gone
            return False

    def stop_late(self, patience_s: float) -> None:
        """Stop the workers of loads that fly for too long; what else they ran is no one's fault."""
        now = time.monotonic()
        if now < self._next_look:  # there may be thousands
            return
        self._next_look = now + min(patience_s / 10, _LOOK_S)
        for tag in [tag for tag, load in self.in_flight.items() if now > load.until]:
            load = self.in_flight[tag]
            load.late, load.until = True, now + min(patience_s, _STOP_S)
            for other in self.pool.stop_task(tag):
                if other != tag and other in self.in_flight:
                    self.in_flight[other].collateral = True


def bundle_chunks(
    waiting: PendingQueue,
    pace: ThroughputModel,
    seconds: float,
    threads: int,
    run_alone: Callable[[Chunk], bool],
) -> list[Chunk]:
    """Return the first chunk in line and those that ride with it: together they take about `seconds`.

    One chunk while nothing is measured, and towards the end, when each thread gets its share of the rest.
    Nobody can tell from their events how long files of another kind take, so loads grow by doubling.

    Parameters
    ----------
    apart : callable
        Whether a chunk must ride alone.
    """
    most = min(pace.load, _MOST, len(waiting) // (_SHARES * max(1, threads)))
    load = [waiting.pop()]
    took_s = inf if run_alone(load[0]) else pace.takes_s(load[0].events)
    while len(load) < most:
        took_s += pace.takes_s(waiting.next.events)
        if took_s > seconds or run_alone(waiting.next):
            break
        load.append(waiting.pop())
    return load


@dataclass(frozen=True, slots=True)
class BundleResult:
    """What became of the chunks of a load.

    Attributes
    ----------
    done : list of (Chunk, dict)
        With their receipts.
    failed : list of (Chunk, TaskOutcome)
        Those that raised, or were running when the task was lost.
    back : list of Chunk
        Those that merely waited.
    apart : bool
        Whether those that go back must ride alone, as nobody knows which of them was running.
    """

    done: list[tuple[Chunk, Receipt]] = field(default_factory=list)
    failed: list[tuple[Chunk, TaskOutcome]] = field(default_factory=list)
    back: list[Chunk] = field(default_factory=list)
    run_alone: bool = False


def resolve(
    load: TaskBundle, outcome: TaskOutcome, find: Callable[[Chunk], Receipt | None] | None
) -> BundleResult:
    """Return what became of the chunks of a load whose task ended.

    Parameters
    ----------
    find : callable, optional
        Returns the receipt of a chunk whose part is there; None where the driver does not see what the
        workers publish.
    """
    if outcome.kind == "done":
        return _home(load, outcome)
    if outcome.kind == "error":  # the task itself: no chunk was begun
        error = outcome.error
        told = replace(outcome, error=as_bug(error)) if error is not None and is_bug(error) else outcome
        return BundleResult(failed=[(chunk, told) for chunk in load.chunks])
    if find is None and len(load.chunks) > 1:
        return BundleResult(back=list(load.chunks), run_alone=True)
    return _lost(load, outcome, find or (lambda _: None))


def _home(load: TaskBundle, outcome: TaskOutcome) -> BundleResult:
    landing, fates = BundleResult(), outcome.value
    for chunk, fate in zip(load.chunks, fates, strict=False):
        if isinstance(fate, Exception):
            landing.failed.append((chunk, TaskOutcome(chunk.id, "error", error=fate)))
        else:
            landing.done.append((chunk, fate))
    landing.back.extend(load.chunks[len(fates) :])
    return landing


def _lost(load: TaskBundle, outcome: TaskOutcome, find: Callable[[Chunk], Any]) -> BundleResult:
    """Blame the chunk after the last part: it was running, earlier ones without a part had raised.

    A part that this host does not see yet, as network disks have it, makes its chunk a suspect too early;
    it is only done again.
    """
    landing = BundleResult()
    found = [find(chunk) for chunk in load.chunks]
    running = max((i + 1 for i, receipt in enumerate(found) if receipt is not None), default=0)
    for i, (chunk, receipt) in enumerate(zip(load.chunks, found, strict=True)):
        if receipt is not None:
            landing.done.append((chunk, receipt))
        elif i == running:
            landing.failed.append((chunk, outcome))
        else:
            landing.back.append(chunk)
    return landing
