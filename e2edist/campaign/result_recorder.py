"""Recording what tasks came to: finished chunks in the ledger, failed ones as the retry policy decides."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from e2edist.accounting.progress import Progress
from e2edist.accounting.quality_monitor import QualityMonitor
from e2edist.pools import TaskOutcome
from e2edist.records.chunk import Chunk
from e2edist.records.failure import Failure
from e2edist.records.ledger import Ledger
from e2edist.records.receipt import Receipt
from e2edist.records.receipt_file import log_line

from .bundle_result import resolve
from .bundles import TaskBundle
from .circuit_breaker import is_systemic
from .cross_pool_check import CrossPoolCheck
from .log_once import OnceLog
from .pool_state import PoolState
from .retry_policy import Action, Decision, RetryPolicy, SlowError, fatal
from .work_queue import WorkQueue

log = logging.getLogger(__name__)


class ResultRecorder:
    """Records the results of all pools of a run.

    Attributes
    ----------
    longest_s : float
        Seconds of the longest chunk so far.
    """

    def __init__(
        self,
        pools: Sequence[PoolState],
        ledger: Ledger,
        work: WorkQueue,
        progress: Progress,
        check: CrossPoolCheck,
    ) -> None:
        self._pools, self._ledger, self._work = pools, ledger, work
        self._progress, self._check = progress, check
        self._policy = RetryPolicy(resumed=bool(ledger.done))
        self._lost: set[str] = set()  # chunks whose workers were lost, or seem to be
        self._monitor, self._once = QualityMonitor(), OnceLog()
        self.longest_s = 0.0

    def was_tried(self, chunk: Chunk) -> bool:
        """Return whether a chunk was tried before, so that it runs uncut and in a task of its own."""
        return self._policy.has_record(chunk) or chunk.id in self._lost

    def is_done_late(self, chunk: Chunk) -> bool:
        """Record a chunk whose part is there although its worker was given up; return whether it is."""
        if chunk.id not in self._lost:
            return False
        self._lost.discard(chunk.id)
        receipt = self._ledger.find(chunk)
        if receipt is not None:
            pools = [state for state in self._pools if state.pool.name == receipt.pool] or self._pools
            self._record_done(pools[0], chunk, receipt)
        return receipt is not None

    def record(self, state: PoolState, outcome: TaskOutcome, chunk_s: float) -> None:
        """Record what became of the chunks of a task that ended; each may have taken `chunk_s`."""
        bundle = state.pop(outcome.tag)
        # If workers don't see the folder, the parts of a lost task are lost with it.
        find = None if state.key in self._check.no_shared_disk else self._ledger.find
        result = resolve(bundle, outcome, find)
        if outcome.kind == "lost" and len(bundle.chunks) > 1:
            counts = len(bundle.chunks), len(result.done), len(result.not_started)
            log.warning(
                "pool %s: lost task: %d chunks, %d finished, %d not started", state.pool.name, *counts
            )
        if outcome.kind == "lost" and find is not None:
            self._lost.update(chunk.id for chunk in bundle.chunks)
        done_s = sum(self._record_done(state, chunk, receipt) for chunk, receipt in result.done)
        if outcome.kind == "done":
            state.throughput.grow(len(result.done) + len(result.failed))
        if result.failed or outcome.kind != "done":
            lost_s = time.monotonic() - bundle.started - done_s
            self._progress.add_lost_time(state.pool.name, lost_s)
        for chunk in reversed(result.not_started):
            if result.run_alone:
                self._policy.record(chunk)
            self._work.pending.put_back(chunk)
        for chunk, reason in result.failed:
            self._apply(state, bundle, chunk, _explain(bundle, reason, chunk_s))

    def _record_done(self, state: PoolState, chunk: Chunk, receipt: Receipt) -> float:
        """Record a chunk that is done; return the seconds that it took."""
        self._ledger.record_done(receipt)
        self._policy.any_success = state.breaker.any_success = True
        self._check.add_done(state.key, chunk, receipt)
        self.longest_s = max(self.longest_s, receipt.wall_s)
        state.throughput.add(chunk.events, receipt.work_s)
        progress = self._progress
        progress.add_done(state.pool.name, chunk.events)
        warned, progress.warnings = progress.warnings, self._monitor.add(receipt)
        for line in progress.warnings if not warned else ():
            log.warning("data quality: %s", line)
        self._once.log_notes(receipt)
        log.info("%s", log_line(receipt))
        return receipt.wall_s

    def _decide(self, state: PoolState, bundle: TaskBundle, chunk: Chunk, outcome: TaskOutcome) -> Decision:
        """Return what to do with a chunk; while nothing succeeded, let one of another file be the next."""
        error = outcome.error
        self._once.log_bug(error)
        if state.breaker.any_success or not is_systemic(error):
            return self._policy.decide(chunk, outcome, alone=bundle.alone)
        untried = self._work.pending.prefer(lambda other: not self._policy.has_record(other), chunk.uuid)
        return self._policy.decide_early(chunk, outcome, state.breaker, probe=bundle.probe, untried=untried)

    def _apply(self, state: PoolState, bundle: TaskBundle, chunk: Chunk, outcome: TaskOutcome) -> None:
        """Do with a failed chunk what the retry policy decides."""
        decision = self._decide(state, bundle, chunk, outcome)
        log.warning("%s %s: %s: %s", outcome.kind, chunk.id, decision.reason, decision.action.value)
        match decision.action:
            case Action.RETRY:
                self._work.retry_at(time.monotonic() + decision.pause_s, chunk)
            case Action.RETRY_FIRST:
                self._work.pending.put_back(chunk)
            case Action.RUN_ALONE:
                self._work.isolation_queue.append(chunk)
            case Action.SPLIT:
                self._work.pending.extend(self._policy.halve(chunk, alone=False))
                self._progress.chunks += 1
            case Action.CUT:
                self._cut(chunk, decision.reason)
            case Action.SPLIT_ALONE:
                self._work.isolation_queue.extend(self._policy.halve(chunk, alone=True))
                self._progress.chunks += 1
            case Action.FAIL:
                self._record_failed(chunk, decision.reason)
            case Action.STOP:
                raise fatal(outcome.error, decision.reason)

    def _cut(self, chunk: Chunk, reason: str) -> None:
        good, bad = self._policy.cut(chunk)
        self._work.pending.extend(good)
        self._progress.chunks += len(good) + len(bad) - 1
        for piece in bad:
            self._record_failed(piece, reason)

    def _record_failed(self, chunk: Chunk, reason: str) -> None:
        record = self._policy.record(chunk)
        attempts = record.attempts + record.deaths
        self._ledger.record_failed(Failure.of(chunk, reason, attempts, record.reasons))
        self._progress.failed += 1
        log.error("failed %s (%s entries %d-%d): %s", chunk.id, chunk.url, chunk.start, chunk.stop, reason)


def _explain(bundle: TaskBundle, outcome: TaskOutcome, chunk_s: float) -> TaskOutcome:
    """Return why a chunk was lost, where the driver itself stopped its worker."""
    if outcome.kind == "lost" and bundle.overdue:
        what = f"it ran for more than {chunk_s:.0f} s, so its worker was stopped"
        return TaskOutcome(outcome.tag, "error", error=SlowError(what))
    if outcome.kind == "lost" and bundle.collateral:
        what = "its worker was stopped because of another chunk"
        return TaskOutcome(outcome.tag, "lost", error=ConnectionError(what))
    return outcome
