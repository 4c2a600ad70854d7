"""What a running campaign shows of itself: of bounded size, fed by the driver, read by pages."""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from e2edist.records.receipt import Receipt

#: Seconds between two points of a curve, at first; twice as many whenever they get too many.
_STEP_S = 1.0
_POINTS = 600
#: Slowest chunks, and last failures, that are kept.
_SLOWEST, _FAILURES = 10, 10


@dataclass(frozen=True, slots=True)
class Point:
    """One moment.

    Attributes
    ----------
    t : float
        Seconds since 1970.
    events : dict of str to int
        Pool -> events done in this run.
    model_s : dict of str to float
        Pool -> thread seconds in the model.
    workers : dict of str to (int, int, int)
        Pool -> jobs queued, running, joined.
    threads : int
        Of all workers that are there.
    """

    t: float
    events: dict[str, int]
    model_s: dict[str, float]
    workers: dict[str, tuple[int, int, int]]
    threads: int


@dataclass(slots=True)
class PoolTotals:
    """Sums of one pool in this run."""

    chunks: int = 0
    events: int = 0
    objects: int = 0
    model_s: float = 0.0
    stage_s: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Telemetry:
    """Of one run of a campaign; for several threads.

    Attributes
    ----------
    name : str
        Of tagger and folder.
    module : str
        Stage that is the model.
    chunks, chunks_done, chunks_failed : int
        All, and those that ended, in earlier runs too.
    events, events_done : int
        The same of events.
    """

    name: str
    module: str
    chunks: int = 0
    events: int = 0
    chunks_done: int = 0
    chunks_failed: int = 0
    events_done: int = 0
    began: float = field(default_factory=time.time)
    pools: dict[str, PoolTotals] = field(default_factory=dict)
    points: deque[Point] = field(default_factory=deque)
    slowest: list[tuple[float, str, str]] = field(default_factory=list)
    failures: deque[str] = field(default_factory=lambda: deque(maxlen=_FAILURES))
    _step_s: float = _STEP_S
    _lock: Lock = field(default_factory=Lock)

    def done(self, receipt: Receipt) -> None:
        """Add a chunk that is done."""
        stages = {name: times[0] / 1e3 for name, times in receipt.stages.items()}
        chunk = receipt.chunk
        row = (receipt.wall_s, f"{chunk.url} {chunk.start}-{chunk.stop}", receipt.host)
        with self._lock:
            pool = self.pools.setdefault(receipt.pool, PoolTotals())
            pool.chunks += 1
            pool.events += receipt.events
            pool.objects += receipt.rows
            pool.model_s += stages.get(self.module, 0.0)
            for name, seconds in stages.items():
                pool.stage_s[name] = pool.stage_s.get(name, 0.0) + seconds
            (heapq.heappush if len(self.slowest) < _SLOWEST else heapq.heappushpop)(self.slowest, row)

    def failed(self, what: str) -> None:
        """Add entries that were given up."""
        with self._lock:
            self.failures.append(what)

    def sample(self, progress: Any, workers: Mapping[str, Mapping[str, Any]]) -> None:
        """Take the counts of this moment."""
        now = time.time()
        with self._lock:
            self.chunks, self.events = progress.chunks, progress.events
            self.chunks_done, self.chunks_failed = progress.done, progress.failed
            self.events_done = progress.events_done
            if self.points and now - self.points[-1].t < self._step_s:
                return
            counts = {name: (w["queued"], w["running"], w["joined"]) for name, w in workers.items()}
            done = {name: pool.events for name, pool in self.pools.items()}
            model = {name: pool.model_s for name, pool in self.pools.items()}
            self.points.append(Point(now, done, model, counts, progress.workers))
            if len(self.points) > _POINTS:
                self.points = deque(list(self.points)[::2])
                self._step_s *= 2

    def look(self) -> TelemetrySnapshot:
        """Return a copy that nobody changes."""
        with self._lock:
            pools = {
                name: PoolTotals(p.chunks, p.events, p.objects, p.model_s, dict(p.stage_s))
                for name, p in self.pools.items()
            }
            counts = (self.chunks, self.events, self.chunks_done, self.chunks_failed, self.events_done)
            slowest = sorted(self.slowest, reverse=True)
            return TelemetrySnapshot(
                self.name, *counts, pools, list(self.points), slowest, list(self.failures)
            )


@dataclass(frozen=True, slots=True)
class TelemetrySnapshot:
    """`Telemetry` at one moment."""

    name: str
    chunks: int
    events: int
    chunks_done: int
    chunks_failed: int
    events_done: int
    pools: dict[str, PoolTotals]
    points: list[Point]
    slowest: list[tuple[float, str, str]]
    failures: list[str]

    def rate(self, last: int = 30) -> float:
        """Return events per second over the last points."""
        if len(self.points) < 2:
            return 0.0
        first, now = self.points[max(0, len(self.points) - 1 - last)], self.points[-1]
        return (sum(now.events.values()) - sum(first.events.values())) / max(1e-9, now.t - first.t)

    def eta_s(self) -> float | None:
        """Return the seconds that are left at this rate; None while there is none."""
        rate = self.rate()
        return (self.events - self.events_done) / rate if rate > 0 else None


#: Of the campaigns that run in this process, for the dashboard of the scheduler in it.
running: list[Telemetry] = []
