"""The real driver on workers that are numbers: a clock that jumps, and durations that are drawn."""

from __future__ import annotations

import heapq
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any
from unittest.mock import patch

import numpy as np
from simulated import make_receipt

from e2edist.accounting import progress
from e2edist.accounting.progress import Progress, ProgressTracker
from e2edist.campaign import driver, pool_state, result_recorder
from e2edist.campaign.cross_pool_check import CrossPoolCheck
from e2edist.pools import TaskOutcome
from e2edist.records.chunk import Chunk
from e2edist.records.ledger import open_ledger
from e2edist.records.plan import Plan
from e2edist.records.receipt import EVENTSETUP, Receipt


@dataclass(frozen=True, slots=True)
class Work:
    """How long things take, in seconds.

    Attributes
    ----------
    fixed, per_event : float
        Of a chunk, without setting up.
    ratios : sequence of float
        What chunks took over what that line says; one is drawn for each chunk.
    starts, setups : sequence of float
        From the beginning of the campaign until a worker is there, and of its first chunk before it reads.
    gap : float
        Between two chunks of a thread: the way of a result to the driver and of the next chunk back.
    dispatch : float
        Of driver and scheduler, one chunk after the other.
    slow : (float, float)
        Fraction of the workers that are slower, and so many times.
    """

    fixed: float
    per_event: float
    ratios: Sequence[float] = (1.0,)
    starts: Sequence[float] = (0.0,)
    setups: Sequence[float] = (0.0,)
    gap: float = 0.0
    dispatch: float = 0.0
    slow: tuple[float, float] = (0.0, 1.0)


@dataclass(slots=True)
class _Worker:
    joins: float
    setup: float
    factor: float
    begun: float | None = None
    ended: float = 0.0


class VirtualClock:
    """Stands in for the module `time` in the driver."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


class VirtualPool:
    """Workers of one thread; `wait` jumps to the next moment at which anything changes."""

    failure_reason, dashboard, name = "", "", "simulated"

    def __init__(self, clock: VirtualClock, workers: int, work: Work, fingerprint: str, seed: int) -> None:
        self._clock, self._work, self._fingerprint = clock, work, fingerprint
        self._random = np.random.default_rng(seed)
        draw = self._random.choice
        slow = np.where(self._random.random(workers) < work.slow[0], work.slow[1], 1.0)
        facts = zip(draw(work.starts, workers), draw(work.setups, workers), slow, strict=True)
        self.workers = sorted((_Worker(*map(float, one)) for one in facts), key=lambda one: one.joins)
        self._joined = 0
        self._free: deque[_Worker] = deque()
        self._running: list[tuple[float, int, str, list[dict[str, Any]], _Worker]] = []
        self.useful, self.chunks = 0.0, 0

    def update_demand(self, longest_s: float, left: int) -> None:
        pass

    def counts(self) -> dict[str, int]:
        return {"queued": len(self.workers) - self._joined, "running": self._joined, "joined": self._joined}

    def slots(self) -> int:
        while self._joined < len(self.workers) and self.workers[self._joined].joins <= self._clock.now:
            self._free.append(self.workers[self._joined])
            self._joined += 1
        return self._joined

    def submit(self, tag: str, function: Any, key: str, chunks: tuple[Chunk, ...], budget_s: float) -> None:
        self._clock.now += self._work.dispatch
        worker = self._free.popleft()
        end, receipts = self._clock.now + self._work.gap, list[Receipt]()
        if worker.begun is None:
            worker.begun = end
        for chunk in chunks:
            setup = worker.setup if worker.begun == end else 0.0
            factor = float(self._random.choice(self._work.ratios)) * worker.factor
            self.useful += self._work.per_event * chunk.events * factor
            took = (self._work.fixed + self._work.per_event * chunk.events) * factor
            end += setup + took
            stages = {EVENTSETUP: (setup * 1e3, 0.0, 0), "work": (took * 1e3, 0.0, chunk.events)}
            receipts.append(replace(make_receipt(chunk, self._fingerprint), stages=stages))
        self.chunks += len(chunks)
        heapq.heappush(self._running, (end, self.chunks, tag, receipts, worker))

    def stop_accepting(self) -> None:
        """Nothing is ever stopped here."""

    def stop_task(self, tag: str) -> list[str]:
        raise AssertionError(f"{tag} was stopped: chunks are longer than the driver allows")

    def wait(self, timeout: float) -> list[TaskOutcome]:
        moments = [self._running[0][0]] if self._running else []
        moments += [self.workers[self._joined].joins] if self._joined < len(self.workers) else []
        # In between the driver would only look round, and see what it saw before.
        self._clock.now = max(self._clock.now, min(moments, default=self._clock.now + timeout))
        found = []
        while self._running and self._running[0][0] <= self._clock.now:
            end, _, tag, receipts, worker = heapq.heappop(self._running)
            worker.ended = end
            self._free.append(worker)
            found.append(TaskOutcome(tag, "done", receipts))
        return found

    def close(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Run:
    """What a simulated campaign took; losses are fractions of all worker time, from its beginning to its end.

    Attributes
    ----------
    efficiency : float
        Worker time spent on events.
    start_loss, tail_loss : float
        Until workers are there and set up; idle at the end because nothing is left to give out.
    """

    workers: int
    events: int
    chunks: int
    wall_s: float
    efficiency: float
    start_loss: float
    tail_loss: float


@contextmanager
def _virtual_time() -> Iterator[VirtualClock]:
    """Give the driver another clock, in place of the module `time` as its modules know it."""
    clock = VirtualClock()
    with ExitStack() as stack:
        for module in (driver, pool_state, result_recorder, progress):
            stack.enter_context(patch.object(module, "time", clock))
        yield clock


def simulate(plan: Plan, workers: int, work: Work, seed: int = 1) -> Run:
    """Drive a plan with the real driver, its real portions and a real ledger, on workers that are numbers."""
    chunks = plan.chunks()
    with tempfile.TemporaryDirectory(prefix="e2edist-scaling-") as folder, _virtual_time() as clock:
        pool = VirtualPool(clock, workers, work, plan.fingerprint, seed)
        ledger = open_ledger(Path(folder), plan.fingerprint, chunks)
        tracker = ProgressTracker(Progress(len(chunks), plan.events))
        limits = driver.Limits(chunk_s=float("inf"), stall_s=float("inf"))
        drive = driver.Driver(
            {"simulated": pool}, ledger, tracker, Event(), limits, CrossPoolCheck(0.0, {"simulated": ""})
        )
        assert drive.run(ledger.pending)
        assert tracker.counts.events_done == plan.events
        ledger.done.close()
    wall = max(worker.ended for worker in pool.workers)
    total = wall * workers
    start = sum(wall if w.begun is None else w.begun + w.setup for w in pool.workers)
    tail = sum(wall - w.ended for w in pool.workers if w.begun is not None)
    shares = (pool.useful / total, start / total, tail / total)
    return Run(workers, plan.events, pool.chunks, wall, *shares)
