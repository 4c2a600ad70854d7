"""The driver: keeps every pool busy with a few chunks and records what ends.

Each pool has a window of its own, a little more than its threads, so a worker that dies takes few
chunks with it. What a chunk that did not end well deserves is decided in `blame`. Workers write
their parts before they take the next chunk, so a slow disk slows the giving out by itself.
"""

from __future__ import annotations

import heapq
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from threading import Event

from e2edist.errors import CampaignError, E2EError
from e2edist.pools import Outcome, Pool

from .blame import Action, Blame
from .chunk import Chunk, run_chunk
from .ledger import Failure, Ledger

log = logging.getLogger(__name__)

#: Chunks in flight per worker thread: the next one is there when a thread gets free.
_WINDOW = 1.25
_POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class Limits:
    """When to lose patience.

    Attributes
    ----------
    chunk_s : float
        A chunk in flight for longer is stopped with its worker and counts as tried.
    stall_s : float
        Without any worker for longer, the campaign stops; it can go on later.
    """

    chunk_s: float = 3600.0
    stall_s: float = 600.0


@dataclass(slots=True)
class Progress:
    """Counts for people; valid inside the callback."""

    chunks: int
    events: int
    done: int = 0
    failed: int = 0
    events_done: int = 0
    in_flight: int = 0
    workers: int = 0


@dataclass(slots=True)
class _Lane:
    """A pool and its chunks in flight since when; `key` names its job on the workers."""

    pool: Pool
    key: str
    flying: dict[str, tuple[Chunk, float]] = field(default_factory=dict)
    slots: int = 0

    def room(self) -> int:
        return max(self.slots, int(self.slots * _WINDOW)) - len(self.flying)


class Driver:
    """Runs the pending chunks of one campaign over its pools."""

    def __init__(
        self,
        pools: dict[str, Pool],
        ledger: Ledger,
        watch: Callable[[Progress], None],
        stop: Event,
        limits: Limits,
    ) -> None:
        self._lanes = [_Lane(pool, key) for key, pool in pools.items()]
        self._ledger, self._watch, self._stop, self._limits = ledger, watch, stop, limits
        self._blame = Blame()
        self._waiting: deque[Chunk] = deque()
        self._resting: list[tuple[float, str, Chunk]] = []
        self._suspects: deque[Chunk] = deque()
        self._late: set[str] = set()
        self._progress = Progress(0, 0)
        self._seen = time.monotonic()

    def run(self, chunks: Iterable[Chunk], progress: Progress) -> bool:
        """Run `chunks` until all ended or `stop` is set; return whether all ended.

        Raises
        ------
        ModelError, OutputError
            No chunk could succeed: the model is unusable, or the output can't be written.
        CampaignError
            There has been no worker for longer than the limit.
        """
        self._waiting, self._progress = deque(chunks), progress
        self._seen = time.monotonic()
        while not self._stop.is_set() and self._left():
            self._look_round()
            self._fill()
            for lane in self._lanes:
                for outcome in lane.pool.wait(_POLL_S / len(self._lanes)):
                    self._settle(lane, outcome)
            self._watch(progress)
        return not self._left()

    def _left(self) -> bool:
        return bool(self._waiting or self._resting or self._suspects or self._flying())

    def _flying(self) -> int:
        return sum(len(lane.flying) for lane in self._lanes)

    def _look_round(self) -> None:
        """Count the workers, lose patience where it is due, wake what has rested."""
        now = time.monotonic()
        for lane in self._lanes:
            lane.slots = lane.pool.slots()
            for tag in [tag for tag, (_, since) in lane.flying.items() if now - since > self._limits.chunk_s]:
                lane.flying[tag] = (lane.flying[tag][0], now)
                self._late.add(tag)
                lane.pool.stop_task(tag)
        self._progress.workers = sum(lane.slots for lane in self._lanes)
        self._progress.in_flight = self._flying()
        if self._progress.workers:
            self._seen = now
        elif now - self._seen > self._limits.stall_s:
            what = f"no worker for {self._limits.stall_s:.0f} s"
            raise CampaignError("", what, "What is done is kept; the same command does the rest.")
        while self._resting and self._resting[0][0] <= now:
            self._waiting.append(heapq.heappop(self._resting)[2])

    def _fill(self) -> None:
        """Give out chunks; suspects fly alone, once everything else has landed."""
        for lane in self._lanes:
            while self._waiting and lane.room() > 0:
                self._give(lane, self._waiting.popleft())
        others = self._waiting or self._resting or self._flying()
        if self._suspects and not others:
            for lane in self._lanes:
                if lane.slots and not self._flying():
                    self._give(lane, self._suspects.popleft())

    def _give(self, lane: _Lane, chunk: Chunk) -> None:
        lane.flying[chunk.id] = (chunk, time.monotonic())
        lane.pool.submit(chunk.id, run_chunk, lane.key, chunk)

    def _settle(self, lane: _Lane, outcome: Outcome) -> None:
        alone = self._flying() == 1
        chunk, _ = lane.flying.pop(outcome.tag)
        late = outcome.tag in self._late
        self._late.discard(outcome.tag)
        if outcome.kind == "lost" and late:
            slow = TimeoutError(
                f"it ran for more than {self._limits.chunk_s:.0f} s, so its worker was stopped"
            )
            outcome = Outcome(outcome.tag, "error", error=slow)
        if outcome.kind != "done":
            self._punish(chunk, outcome, alone=alone)
            return
        self._ledger.record_done(outcome.value)
        self._progress.done += 1
        self._progress.events_done += chunk.events
        log.info("done %s: %s rows on %s", chunk.id, outcome.value["rows"], outcome.value["host"])

    def _punish(self, chunk: Chunk, outcome: Outcome, *, alone: bool) -> None:
        verdict = self._blame.judge(chunk, outcome, alone=alone)
        log.warning("%s %s: %s: %s", outcome.kind, chunk.id, verdict.reason, verdict.action.value)
        match verdict.action:
            case Action.AGAIN:
                heapq.heappush(self._resting, (time.monotonic() + verdict.pause_s, chunk.id, chunk))
            case Action.ALONE:
                self._suspects.append(chunk)
            case Action.SPLIT:
                self._waiting.extend(self._blame.halve(chunk, alone=False))
                self._progress.chunks += 1
            case Action.SPLIT_ALONE:
                self._suspects.extend(self._blame.halve(chunk, alone=True))
                self._progress.chunks += 1
            case Action.FAIL:
                self._fail(chunk, verdict.reason)
            case Action.STOP:
                # Errors of ours carry what to do; they are the only ones that stop a campaign.
                raise outcome.error if isinstance(outcome.error, E2EError) else RuntimeError(verdict.reason)

    def _fail(self, chunk: Chunk, reason: str) -> None:
        case = self._blame.case(chunk)
        self._ledger.record_failed(Failure.of(chunk, reason, case.attempts + case.deaths, case.tried))
        self._progress.failed += 1
        log.error("failed %s (%s entries %d-%d): %s", chunk.id, chunk.url, chunk.start, chunk.stop, reason)
