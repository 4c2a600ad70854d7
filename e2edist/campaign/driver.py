"""The driver: keeps every pool busy with a few loads of chunks and records what ends.

Each pool has a window of its own, as wide as its threads: of a load in flight one chunk runs, so a
worker that dies or hangs puts no chunk under suspicion that merely waited there (see `load`). What a
chunk that did not end well deserves is decided in `blame`. Workers write their parts before they take
the next chunk, so a slow disk slows the giving out by itself.
"""

from __future__ import annotations

import heapq
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from threading import Event

from e2edist.accounting.progress import Progress
from e2edist.accounting.quality_monitor import QualityMonitor
from e2edist.errors import CampaignError, ResourceError
from e2edist.pools import Pool, TaskOutcome
from e2edist.records.chunk import Chunk
from e2edist.records.failure import Failure
from e2edist.records.ledger import Ledger
from e2edist.records.receipt import Receipt
from e2edist.records.receipt_file import log_line

from .bundles import PoolState, TaskBundle, bundle_chunks, resolve
from .circuit_breaker import is_systemic
from .cross_pool_check import CrossPoolCheck
from .limits import Limits
from .log_once import OnceLog
from .retry_policy import Action, Decision, RetryPolicy, SlowError, fatal
from .throughput import PendingQueue, portion

log = logging.getLogger(__name__)

_POLL_S = 0.5
_GLANCE_S = 0.05
#: Tasks that driver and scheduler are given together: with many threads, loads are larger.
_TASKS_PER_S = 250.0


class Driver:
    """Runs the pending chunks of one campaign over its pools."""

    def __init__(
        self,
        pools: dict[str, Pool],
        ledger: Ledger,
        watch: Callable[[Progress], None],
        stop: Event,
        limits: Limits,
        overlap: CrossPoolCheck | None = None,
    ) -> None:
        self._lanes = [PoolState(pool, key) for key, pool in pools.items()]
        self._ledger, self._watch, self._stop, self._limits = ledger, watch, stop, limits
        self._blame, self._overlap = (
            RetryPolicy(resumed=bool(ledger.done)),
            overlap or CrossPoolCheck(0.0, dict.fromkeys(pools, "")),
        )
        self._waiting = PendingQueue()
        self._resting: list[tuple[float, str, Chunk]] = []
        self._suspects: deque[Chunk] = deque()
        #: chunks whose workers were lost, or are taken for it
        self._lost: set[str] = set()
        self._progress = Progress(0, 0)
        self._seen = time.monotonic()
        self._longest_s = 0.0
        self._alarm, self._once = QualityMonitor(), OnceLog()

    def run(self, chunks: Iterable[Chunk], progress: Progress) -> bool:
        """Run `chunks` until all ended or `stop` is set; return whether all ended.

        Raises
        ------
        ModelError, OutputError
            No chunk could succeed: the model is unusable, or the output can't be written.
        CampaignError
            There has been no worker for longer than the limit.
        """
        self._waiting, self._progress = PendingQueue(chunks), progress
        self._seen = time.monotonic()
        while not self._stop.is_set() and self._left():
            self._look_round()
            self._fill()
            self._collect()
        if self._left():
            self._finish_running()
        return not self._left()

    def _collect(self) -> None:
        # With several pools, none waits long for the results of another.
        wait_s = _POLL_S if len(self._lanes) == 1 else _GLANCE_S
        for lane in self._lanes:
            for outcome in lane.pool.wait(wait_s):
                self._settle(lane, outcome)
        self._watch(self._progress)

    def _finish_running(self) -> None:
        """Let the chunks that run end, for a while, and record them; nothing more is given out."""
        progress, before = self._progress, self._progress.done
        tasks = sum(len(lane.in_flight) for lane in self._lanes)  # of each, one chunk runs
        wait_s = min(max(self._limits.finish_s[0], self._longest_s), self._limits.finish_s[1])
        log.info("stopping: letting running chunks finish, for %.0f s at most", wait_s)
        progress.stopping = True
        for lane in self._lanes:
            lane.pool.stop_accepting()
        until = time.monotonic() + wait_s
        while any(lane.has_running() for lane in self._lanes) and time.monotonic() < until:
            progress.in_flight = self._flying()
            self._collect()
        progress.finished_late = progress.done - before
        progress.cut_off = max(0, tasks - progress.finished_late)
        log.info(
            "stopped: %d chunks finished meanwhile, %d still ran", progress.finished_late, progress.cut_off
        )

    def _left(self) -> bool:
        return bool(self._pending())

    def _pending(self) -> int:
        # A pool whose first chunk ends last is compared all the same, if it has a worker still.
        comparing = sum(lane.comparing or self._overlap.owes(lane.key, lane.slots) for lane in self._lanes)
        return len(self._waiting) + len(self._resting) + len(self._suspects) + self._flying() + comparing

    def _flying(self) -> int:
        return sum(lane.chunks_in_flight for lane in self._lanes)

    def _look_round(self) -> None:
        """Count the workers, lose patience where it is due, wake what has rested."""
        now = time.monotonic()
        for lane in self._lanes:
            lane.slots = lane.pool.slots()
            lane.pool.update_demand(self._longest_s, self._pending())
            lane.stop_late(self._limits.chunk_s)
        self._progress.workers = sum(lane.slots for lane in self._lanes)
        self._progress.in_flight = self._flying()
        # Waiting in a batch system's queue is no stall, however long it takes.
        queued = any(lane.pool.counts()["queued"] for lane in self._lanes if not lane.slots)
        if self._progress.workers or queued:
            self._seen = now
        elif all(lane.pool.failure_reason for lane in self._lanes):
            pools = "; ".join(f"pool {lane.pool.name}: {lane.pool.failure_reason}" for lane in self._lanes)
            raise ResourceError("", pools, "What is done is kept; the same command does the rest.")
        elif now - self._seen > self._limits.stall_s:
            what = f"no worker for {self._limits.stall_s:.0f} s"
            raise CampaignError("", what, "What is done is kept; the same command does the rest.")
        while self._resting and self._resting[0][0] <= now:
            self._waiting.extend([heapq.heappop(self._resting)[2]])

    def _fill(self) -> None:
        """Give out chunks; suspects fly alone, once everything else has landed."""
        for lane in self._lanes:
            if lane.room() > 0 and self._overlap.ask(lane.key, lane.pool):
                lane.comparing = True
            while self._waiting and lane.room() > 0:
                if self._written_late(self._waiting.next):
                    self._waiting.pop()
                    continue
                self._trim(lane)
                load_s = self._load_s()
                load = bundle_chunks(self._waiting, lane.pace, load_s, self._progress.workers, self._knows)
                lane.give(load, load_s, self._limits.chunk_s)
        others = self._waiting or self._resting or self._flying()
        if self._suspects and not others:
            for lane in self._lanes:
                if lane.slots and not self._flying() and self._suspects:
                    suspect = self._suspects.popleft()
                    if not self._written_late(suspect):
                        lane.give([suspect], self._load_s(), self._limits.chunk_s, alone=True)

    def _knows(self, chunk: Chunk) -> bool:
        """Return whether a chunk was tried before, so that it is given out as it is, and for itself."""
        return self._blame.knows(chunk) or chunk.id in self._lost

    def _written_late(self, chunk: Chunk) -> bool:
        """Record a chunk that is there by now: its worker, given up, has finished it all the same."""
        if chunk.id not in self._lost:
            return False
        self._lost.discard(chunk.id)
        receipt = self._ledger.find(chunk)
        if receipt is not None:
            lanes = [lane for lane in self._lanes if lane.pool.name == receipt.pool] or self._lanes
            self._record(lanes[0], chunk, receipt)
        return receipt is not None

    def _load_s(self) -> float:
        return max(self._limits.load_s, self._progress.workers / _TASKS_PER_S)

    def _trim(self, lane: PoolState) -> None:
        """Leave of the first chunk in line as much as this pool should get now; the rest is next."""
        chunk = self._waiting.next
        share = self._waiting.events / max(1, self._progress.workers)
        limits = (max(self._limits.portion_s[0], self._load_s()), self._limits.portion_s[1])
        events = portion(chunk.events, lane.pace.rate, share, limits) if chunk.events else 0
        if events == chunk.events or self._knows(chunk):
            return
        chunk = self._waiting.pop()
        self._waiting.put_back(chunk.part(chunk.start + events, chunk.stop))
        self._waiting.put_back(chunk.part(chunk.start, chunk.start + events))
        self._progress.chunks += 1

    def _settle(self, lane: PoolState, outcome: TaskOutcome) -> None:
        if self._overlap.owns(outcome.tag):
            lane.comparing = False
            self._overlap.settle(lane.key, lane.pool, outcome)
            return
        load = lane.take(outcome.tag)
        # Where workers don't see the folder, what they have done went with them.
        find = None if lane.key in self._overlap.far else self._ledger.find
        landing = resolve(load, outcome, find)
        if outcome.kind == "lost" and len(load.chunks) > 1:
            counts = lane.pool.name, len(load.chunks), len(landing.done), len(landing.back)
            log.warning("pool %s: of a lost load of %d chunks %d are done, %d only waited", *counts)
        if outcome.kind == "lost" and find is not None:
            self._lost.update(chunk.id for chunk in load.chunks)
        took_s = sum(self._record(lane, chunk, receipt) for chunk, receipt in landing.done)
        if outcome.kind == "done":
            lane.pace.grow(len(landing.done) + len(landing.failed))
        if landing.failed or outcome.kind != "done":
            lost, name = self._progress.lost_s, lane.pool.name
            lost[name] = lost.get(name, 0.0) + max(0.0, time.monotonic() - load.began - took_s)
        for chunk in reversed(landing.back):
            if landing.run_alone:
                self._blame.case(chunk)
            self._waiting.put_back(chunk)
        for chunk, why in landing.failed:
            self._punish(lane, load, chunk, self._explain(load, why))

    def _explain(self, load: TaskBundle, outcome: TaskOutcome) -> TaskOutcome:
        """Return why a chunk was lost, where it was our doing."""
        if outcome.kind == "lost" and load.late:
            what = f"it ran for more than {self._limits.chunk_s:.0f} s, so its worker was stopped"
            return TaskOutcome(outcome.tag, "error", error=SlowError(what))
        if outcome.kind == "lost" and load.collateral:
            what = "its worker was stopped because of another chunk"
            return TaskOutcome(outcome.tag, "lost", error=ConnectionError(what))
        return outcome

    def _record(self, lane: PoolState, chunk: Chunk, receipt: Receipt) -> float:
        """Note a chunk that is done; return the seconds that it took."""
        self._ledger.record_done(receipt)
        self._blame.any_success = lane.breaker.any_success = True
        self._overlap.note(lane.key, chunk, receipt)
        took_s = receipt.wall_s
        self._longest_s = max(self._longest_s, took_s)
        lane.pace.add(chunk.events, took_s - receipt.setup_s)
        self._progress.done += 1
        name = lane.pool.name
        self._progress.done_by[name] = self._progress.done_by.get(name, 0) + 1
        self._progress.events_done += chunk.events
        said, self._progress.warnings = self._progress.warnings, self._alarm.note(receipt)
        for line in (line for line in self._progress.warnings if not said):
            log.warning("data quality: %s", line)
        self._once.notes(receipt)
        log.info("%s", log_line(receipt))
        return took_s

    def _decide(self, lane: PoolState, load: TaskBundle, chunk: Chunk, outcome: TaskOutcome) -> Decision:
        """Return what to do with a chunk; while nothing succeeded, let one of another file be the next."""
        error = outcome.error
        self._once.bug(error)
        if lane.breaker.any_success or not is_systemic(error):
            return self._blame.decide(chunk, outcome, alone=load.alone)
        untried = self._waiting.prefer(lambda other: not self._blame.knows(other), chunk.uuid)
        return self._blame.decide_early(chunk, outcome, lane.breaker, probe=load.probe, untried=untried)

    def _punish(self, lane: PoolState, load: TaskBundle, chunk: Chunk, outcome: TaskOutcome) -> None:
        verdict = self._decide(lane, load, chunk, outcome)
        log.warning("%s %s: %s: %s", outcome.kind, chunk.id, verdict.reason, verdict.action.value)
        match verdict.action:
            case Action.AGAIN:
                heapq.heappush(self._resting, (time.monotonic() + verdict.pause_s, chunk.id, chunk))
            case Action.AT_ONCE:
                self._waiting.put_back(chunk)
            case Action.ALONE:
                self._suspects.append(chunk)
            case Action.SPLIT:
                self._waiting.extend(self._blame.halve(chunk, alone=False))
                self._progress.chunks += 1
            case Action.CUT:
                good, bad = self._blame.cut(chunk)
                self._waiting.extend(good)
                self._progress.chunks += len(good) + len(bad) - 1
                for piece in bad:
                    self._fail(piece, verdict.reason)
            case Action.SPLIT_ALONE:
                self._suspects.extend(self._blame.halve(chunk, alone=True))
                self._progress.chunks += 1
            case Action.FAIL:
                self._fail(chunk, verdict.reason)
            case Action.STOP:
                raise fatal(outcome.error, verdict.reason)

    def _fail(self, chunk: Chunk, reason: str) -> None:
        case = self._blame.case(chunk)
        self._ledger.record_failed(Failure.of(chunk, reason, case.attempts + case.deaths, case.tried))
        self._progress.failed += 1
        log.error("failed %s (%s entries %d-%d): %s", chunk.id, chunk.url, chunk.start, chunk.stop, reason)
