"""What the dashboard shows of a running campaign: curves, stage times, slowest chunks; of bounded size."""

from __future__ import annotations

import heapq
import time
from collections import deque
from dataclasses import dataclass, field, replace
from threading import Lock

from e2edist.records.receipt import Receipt

from .progress import Progress, ProgressTracker

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
    """Sums of one pool in this run, from receipts."""

    events: int = 0
    objects: int = 0
    model_s: float = 0.0
    stage_s: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TelemetrySnapshot:
    """`Telemetry` at one moment."""

    name: str
    progress: Progress
    pools: dict[str, PoolTotals]
    points: list[Point]
    slowest: list[tuple[float, str, str]]
    failures: list[str]


@dataclass(slots=True)
class Telemetry:
    """What pages and metrics show of one run of a campaign; for several threads.

    Attributes
    ----------
    name : str
        Of tagger and folder.
    module : str
        Stage that is the model.
    tracker : ProgressTracker
        Has the counts and the rates.
    """

    name: str
    module: str
    tracker: ProgressTracker
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

    def sample(self) -> None:
        """Add a point to the curves, if the last one is old enough."""
        now, progress = time.time(), self.tracker.snapshot()
        with self._lock:
            if self.points and now - self.points[-1].t < self._step_s:
                return
            events = {name: pool.events for name, pool in self.pools.items()}
            model = {name: pool.model_s for name, pool in self.pools.items()}
            workers = {name: counts[1:] for name, counts in progress.pools.items()}
            self.points.append(Point(now, events, model, workers, progress.threads))
            if len(self.points) > _POINTS:
                self.points = deque(list(self.points)[::2])
                self._step_s *= 2

    def snapshot(self) -> TelemetrySnapshot:
        """Return a copy that nobody changes."""
        progress = self.tracker.snapshot()
        with self._lock:
            pools = {name: replace(one, stage_s=dict(one.stage_s)) for name, one in self.pools.items()}
            slowest, failures = sorted(self.slowest, reverse=True), list(self.failures)
            return TelemetrySnapshot(self.name, progress, pools, list(self.points), slowest, failures)


#: Of the campaigns that run in this process, for the dashboard of the scheduler in it.
running: list[Telemetry] = []
