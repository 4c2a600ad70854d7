"""How far a run is: its counts, its rates and its remaining time, for everybody who shows them.

The driver counts in a `Progress` of its own and publishes it through a `ProgressTracker`, the only place
where counts become rates. The terminal, ``--json`` lines, ``progress.json``, the dashboard's page and
metrics, and the estimate all show snapshots that the tracker makes.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from e2edist.records.ledger import Ledger

#: A rate means nothing before.
_FIRST_S = 0.05
#: The current rate is that of so many seconds.
_RECENT_S = 60.0
#: Fields that are not written to ``progress.json`` and ``--json`` lines.
_INTERNAL = ("start_s", "elapsed_s", "waits_for")


@dataclass(slots=True)
class Progress:
    """Counts of a campaign, of earlier runs too, and what follows from them.

    Attributes
    ----------
    chunks, events : int
        All.
    done, failed : int
        Chunks that are done, and that were given up.
    events_done, in_flight : int
    threads : int
        Of the workers that are there: so many chunks can run at a time.
    lost_s : dict of str to float
        Pool -> seconds of threads in attempts that failed.
    done_by : dict of str to int
        Pool -> chunks done in this run.
    rate, rate_now : float or None
        Events per second since the first worker joined, and in the last minute; None while not known.
    eta_s : float or None
        Seconds to go, at the mean rate.
    pools : dict of str to (int, int, int, int)
        Pool -> workers, or their jobs, that are wanted, queued, running and joined.
    stopping : bool
        Nothing more is given out, and running chunks are waited for.
    finished_late, cut_off : int
        Chunks that ended since then, and those that were not waited for.
    warnings : tuple of str
        What looks wrong with the scores of this run.
    start_s, elapsed_s : float or None
        Seconds until the first worker joined, and since then.
    waits_for : dict of str to str
        Pool -> why its queued workers do not run yet, where somebody says it.
    """

    chunks: int
    events: int
    done: int = 0
    failed: int = 0
    events_done: int = 0
    in_flight: int = 0
    threads: int = 0
    lost_s: dict[str, float] = field(default_factory=dict)
    done_by: dict[str, int] = field(default_factory=dict)
    rate: float | None = None
    rate_now: float | None = None
    eta_s: float | None = None
    pools: dict[str, tuple[int, int, int, int]] = field(default_factory=dict)
    stopping: bool = False
    finished_late: int = 0
    cut_off: int = 0
    warnings: tuple[str, ...] = ()
    start_s: float | None = None
    elapsed_s: float | None = None
    waits_for: dict[str, str] = field(default_factory=dict)

    @property
    def ended(self) -> int:
        """Chunks that are done or were given up."""
        return self.done + self.failed

    @property
    def waiting(self) -> str:
        """What there is no rate without, and why, for people; empty once a chunk of this run has ended."""
        if not self.threads and self.rate is None:
            one = len(self.pools) == 1
            why = ", ".join(text if one else f"{name} {text}" for name, text in self.waits_for.items())
            return f"waiting for workers ({why})" if why else "waiting for workers"
        starting = self.threads and not self.done_by and not self.failed and self.done < self.chunks
        return "first chunks: workers load code and model" if starting else ""

    def count(self, ledger: Ledger) -> None:
        """Take the counts of a ledger."""
        self.done, self.failed, self.events_done = len(ledger.done), len(ledger.failed), ledger.events_done

    def add_done(self, pool: str, events: int) -> None:
        """Count a chunk that is done."""
        self.done += 1
        self.events_done += events
        self.done_by[pool] = self.done_by.get(pool, 0) + 1

    def add_lost_time(self, pool: str, seconds: float) -> None:
        """Count seconds of a thread that came to nothing."""
        self.lost_s[pool] = self.lost_s.get(pool, 0.0) + max(0.0, seconds)

    def facts(self) -> dict[str, Any]:
        """Return what ``progress.json`` and ``--json`` lines hold."""
        own = {name: value for name, value in asdict(self).items() if name not in _INTERNAL}
        return own | {"workers": sum(joined for *_, joined in self.pools.values())}


class ProgressTracker:
    """The progress of one run: the driver's counts, and snapshots of them with rates; for several threads.

    Parameters
    ----------
    counts : Progress
        Changed by the driver's thread alone, which calls `publish` afterwards.
    on_progress : callable, optional
        Called with each snapshot that is published.
    """

    def __init__(self, counts: Progress, on_progress: Callable[[Progress], None] | None = None) -> None:
        self.counts = counts
        self._on_progress, self._lock = on_progress, Lock()
        self._published = replace(counts)
        self._pools: dict[str, tuple[int, int, int, int]] = {}
        self._waits_for: dict[str, str] = {}
        self._recent: deque[tuple[float, int]] = deque()
        self._first: tuple[float, int] | None = None
        self._created, self._stopped = time.monotonic(), False
        self._last = self._created

    def publish(self) -> None:
        """Show the counts as they are now."""
        counts = self.counts
        with self._lock:
            now = self._now()
            if self._first is None and counts.threads:
                self._first = (now, counts.events_done)
                self._recent.clear()
            self._recent.append((now, counts.events_done))
            while len(self._recent) > 1 and now - self._recent[1][0] >= _RECENT_S:
                self._recent.popleft()
            self._published = replace(counts, lost_s=dict(counts.lost_s), done_by=dict(counts.done_by))
        if self._on_progress is not None:
            self._on_progress(self.snapshot())

    def stop_clock(self) -> None:
        """Take the time from now on out of the rates: no chunk can end any more."""
        with self._lock:
            self._last, self._stopped = self._now(), True

    def set_pools(
        self, workers: Mapping[str, tuple[int, int, int, int]], waits_for: Mapping[str, str] | None = None
    ) -> None:
        """Take what is wanted, queued, running and joined of each pool, and what queued workers wait for.

        Not once the clock has stopped: they leave then, and people want to know who did the work.
        """
        with self._lock:
            if not self._stopped:
                self._pools, self._waits_for = dict(workers), dict(waits_for or {})

    def snapshot(self) -> Progress:
        """Return the published counts, with rates and remaining time as of now."""
        with self._lock:
            now, counts = self._now(), self._published
            mean = _rate(self._first, now, counts.events_done)
            left = counts.events - counts.events_done
            return replace(
                counts,
                lost_s=dict(counts.lost_s),
                done_by=dict(counts.done_by),
                rate=mean,
                rate_now=_rate(self._recent[0] if self._recent else None, now, counts.events_done),
                eta_s=round(left / mean) if mean else None,
                pools=dict(self._pools),
                waits_for=dict(self._waits_for),
                start_s=self._first[0] - self._created if self._first else None,
                elapsed_s=now - self._first[0] if self._first else None,
            )

    def _now(self) -> float:
        return self._last if self._stopped else time.monotonic()


def _rate(start: tuple[float, int] | None, now: float, events: int) -> float | None:
    """Return events per second since a moment and its number of events; None if that is too short ago."""
    if start is None or now - start[0] < _FIRST_S:
        return None
    return round((events - start[1]) / (now - start[0]), 3)
