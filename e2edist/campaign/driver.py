"""The driver: keeps every pool busy until all chunks have ended, and records what they came to.

Each pool has as many bundles in flight as its workers have threads. Of a bundle in flight one chunk runs, so
a worker that dies or hangs counts against no chunk that had not started (see `bundle_result`). Workers write
their parts before they take the next chunk, so a slow disk slows down the giving out by itself.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from threading import Event

from e2edist.accounting.progress import ProgressTracker
from e2edist.errors import CampaignError, ResourceError
from e2edist.pools import Pool, TaskOutcome
from e2edist.records.chunk import Chunk
from e2edist.records.ledger import Ledger

from .cross_pool_check import CrossPoolCheck
from .dispatch import Dispatcher
from .limits import Limits
from .pool_state import PoolState, count_in_flight
from .result_recorder import ResultRecorder
from .work_queue import WorkQueue

log = logging.getLogger(__name__)

#: Seconds to wait for results: of the only pool, and of one of several, whose results none should hold up.
_POLL_S, _POLL_EACH_S = 0.5, 0.05
_RESUME = "What is done is kept; the same command does the rest."


class Driver:
    """Runs the pending chunks of one campaign over its pools."""

    def __init__(
        self,
        pools: dict[str, Pool],
        ledger: Ledger,
        tracker: ProgressTracker,
        stop: Event,
        limits: Limits,
        check: CrossPoolCheck,
    ) -> None:
        self._pools = [PoolState(pool, key) for key, pool in pools.items()]
        self._tracker, self._stop, self._limits = tracker, stop, limits
        self._check, self._work, self._progress = check, WorkQueue(), tracker.counts
        self._results = ResultRecorder(self._pools, ledger, self._work, self._progress, check)
        self._dispatcher = Dispatcher(self._pools, self._work, self._results, self._progress, check, limits)
        self._workers_seen = time.monotonic()

    def run(self, chunks: Iterable[Chunk]) -> bool:
        """Run `chunks` until all ended or `stop` is set; return whether all ended.

        Raises
        ------
        ModelError, OutputError
            No chunk could succeed: the model is unusable, or the output can't be written.
        CampaignError
            There has been no worker for longer than the limit.
        """
        self._work.pending.extend(chunks)
        self._workers_seen = time.monotonic()
        while not self._stop.is_set() and self._remaining():
            self._update_pools()
            self._work.end_backoff(time.monotonic())
            self._dispatcher.fill()
            self._collect()
        if self._remaining():
            self._finish_running()
        return not self._remaining()

    def _collect(self) -> None:
        wait_s = _POLL_S if len(self._pools) == 1 else _POLL_EACH_S
        for state in self._pools:
            for outcome in state.pool.wait(wait_s):
                self._record(state, outcome)
        self._tracker.publish()

    def _record(self, state: PoolState, outcome: TaskOutcome) -> None:
        if self._check.owns(outcome.tag):
            state.comparing = False
            self._check.resolve(state.key, state.pool, outcome)
        else:
            self._results.record(state, outcome, self._limits.chunk_s)

    def _remaining(self) -> int:
        """Return how many chunks, and comparisons of pools, have not ended."""
        # A pool whose first chunk ends last is compared all the same, if it still has a worker.
        comparisons = sum(
            state.comparing or self._check.is_due(state.key, state.slots) for state in self._pools
        )
        return len(self._work) + count_in_flight(self._pools) + comparisons

    def _update_pools(self) -> None:
        """Count the workers, stop those that are overdue, and give up if there will be none."""
        for state in self._pools:
            state.slots = state.pool.slots()
            state.pool.update_demand(self._results.longest_s, self._remaining())
            state.stop_overdue(self._limits.chunk_s)
        had_threads, threads = self._progress.threads, sum(state.slots for state in self._pools)
        self._progress.threads, self._progress.in_flight = threads, count_in_flight(self._pools)
        if threads and not had_threads:
            self._tracker.publish()  # rates count from here
        self._check_stall()

    def _check_stall(self) -> None:
        now = time.monotonic()
        # Waiting in a batch system's queue is no stall, however long it takes.
        queued = any(state.pool.counts()["queued"] for state in self._pools if not state.slots)
        if self._progress.threads or queued:
            self._workers_seen = now
        elif all(state.pool.failure_reason for state in self._pools):
            reasons = [f"pool {state.pool.name}: {state.pool.failure_reason}" for state in self._pools]
            raise ResourceError("", "; ".join(reasons), _RESUME)
        elif now - self._workers_seen > self._limits.stall_s:
            raise CampaignError("", f"no worker for {self._limits.stall_s:.0f} s", _RESUME)

    def _finish_running(self) -> None:
        """Let running chunks finish, for a limited time, and record them; nothing more is given out."""
        progress, before = self._progress, self._progress.done
        tasks = sum(len(state.in_flight) for state in self._pools)  # one chunk of each runs
        least, most = self._limits.finish_s
        wait_s = min(max(least, self._results.longest_s), most)
        log.info("stopping: letting running chunks finish, for %.0f s at most", wait_s)
        progress.stopping = True
        for state in self._pools:
            state.pool.stop_accepting()
        deadline = time.monotonic() + wait_s
        while any(state.has_running() for state in self._pools) and time.monotonic() < deadline:
            progress.in_flight = count_in_flight(self._pools)
            self._collect()
        progress.finished_late = progress.done - before
        progress.cut_off = max(0, tasks - progress.finished_late)
        log.info("stopped: %d chunks finished, %d were cut off", progress.finished_late, progress.cut_off)
