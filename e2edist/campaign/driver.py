"""The driver: keeps every pool busy with a few chunks, records what ends, and gives nothing up too early.

Each pool has a window of its own, a little more than its threads. So a worker that dies takes few
chunks with it, and who is to blame stays visible. A chunk that raises is tried again, a chunk whose
worker died is given out again without blame; one that was there each time a worker died runs alone,
and only if that kills a worker too it has failed. One bad chunk stops nothing.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from threading import Event

from e2edist.errors import (
    BranchError,
    ChangedFileError,
    ModelError,
    OutputError,
    ResourceError,
    SpecError,
    UnsplitError,
)
from e2edist.pools import Outcome, Pool

from .chunk import Chunk, run_chunk
from .ledger import Ledger

log = logging.getLogger(__name__)

#: Chunks in flight per worker thread: the next one is there when a thread gets free.
_WINDOW = 1.25
#: How often a chunk that raises is tried.
ATTEMPTS = 3
#: A chunk that was in flight so often when a worker died runs alone from then on.
DEATHS = 3
#: Deaths of a worker with only this chunk in flight that convict it; one may be bad luck.
LONE_DEATHS = 2
_POLL_S = 0.5
#: What the user must fix does not get better by trying again.
_FINAL = (BranchError, UnsplitError, ChangedFileError, SpecError, ResourceError)


@dataclass(slots=True)
class Progress:
    """Counts for people; a snapshot is valid inside the callback."""

    chunks: int
    events: int
    done: int = 0
    failed: int = 0
    events_done: int = 0
    rows_done: int = 0
    in_flight: int = 0
    lost: int = 0


@dataclass(slots=True)
class _Case:
    """What is known against one chunk."""

    attempts: int = 0
    deaths: int = 0
    lone_deaths: int = 0


@dataclass(slots=True)
class _Lane:
    """A pool and its chunks in flight; `key` names its job on the workers."""

    pool: Pool
    key: str
    flying: dict[str, Chunk] = field(default_factory=dict)

    def room(self) -> int:
        slots = self.pool.slots()
        return max(slots, int(slots * _WINDOW)) - len(self.flying)


class Driver:
    """Runs the pending chunks of one campaign over its pools."""

    def __init__(
        self, pools: dict[str, Pool], ledger: Ledger, watch: Callable[[Progress], None], stop: Event
    ) -> None:
        self._lanes = [_Lane(pool, key) for key, pool in pools.items()]
        self._ledger, self._watch, self._stop = ledger, watch, stop
        self._waiting: deque[Chunk] = deque()
        self._suspects: deque[Chunk] = deque()
        self._cases: dict[str, _Case] = {}
        self._progress = Progress(0, 0)

    def run(self, chunks: Iterable[Chunk]) -> Progress:
        """Run all chunks that the ledger does not know as done; return when all ended or `stop` is set.

        Raises
        ------
        ModelError, OutputError
            No chunk could succeed: the model is unusable or the output can't be written.
        """
        everything = list(chunks)
        self._waiting = deque(c for c in everything if c.id not in self._ledger.done)
        self._progress = Progress(len(everything), sum(chunk.events for chunk in everything))
        for chunk in everything:
            if chunk.id in self._ledger.done:
                self._count(chunk)
        self._report()
        while not self._stop.is_set() and (self._waiting or self._suspects or self._flying()):
            self._fill()
            for lane in self._lanes:
                for outcome in lane.pool.wait(_POLL_S / len(self._lanes)):
                    self._settle(lane, outcome)
            self._report()
        return self._progress

    def _flying(self) -> int:
        return sum(len(lane.flying) for lane in self._lanes)

    def _report(self) -> None:
        self._progress.in_flight = self._flying()
        self._watch(self._progress)

    def _fill(self) -> None:
        """Give out chunks; suspects fly alone, once everything else has landed."""
        for lane in self._lanes:
            while self._waiting and lane.room() > 0:
                self._give(lane, self._waiting.popleft())
        if self._suspects and not self._flying() and not self._waiting and self._lanes[0].room() > 0:
            self._give(self._lanes[0], self._suspects.popleft())

    def _give(self, lane: _Lane, chunk: Chunk) -> None:
        lane.flying[chunk.id] = chunk
        lane.pool.submit(chunk.id, run_chunk, lane.key, chunk)

    def _settle(self, lane: _Lane, outcome: Outcome) -> None:
        alone = self._flying() == 1
        chunk = lane.flying.pop(outcome.tag)
        case = self._cases.setdefault(chunk.id, _Case())
        if outcome.kind == "done":
            self._ledger.record_done(outcome.value)
            self._count(chunk)
            log.info("done %s: %s rows on %s", chunk.id, outcome.value["rows"], outcome.value["host"])
        elif outcome.kind == "lost":
            self._lost(chunk, case, outcome, alone=alone)
        else:
            self._raised(chunk, case, outcome.error)

    def _count(self, chunk: Chunk) -> None:
        self._progress.done += 1
        self._progress.events_done += chunk.events
        self._progress.rows_done += self._ledger.done[chunk.id]["rows"]

    def _lost(self, chunk: Chunk, case: _Case, outcome: Outcome, *, alone: bool) -> None:
        self._progress.lost += 1
        case.deaths += 1
        case.lone_deaths += alone
        log.warning("lost %s with its worker (%d times): %s", chunk.id, case.deaths, outcome.error)
        if case.lone_deaths >= LONE_DEATHS:
            self._fail(chunk, f"its worker died {case.deaths} times, {case.lone_deaths} with it alone", case)
        elif case.deaths >= DEATHS:
            self._suspects.append(chunk)
        else:
            self._waiting.append(chunk)

    def _raised(self, chunk: Chunk, case: _Case, error: BaseException | None) -> None:
        case.attempts += 1
        log.warning("error in %s (attempt %d): %s", chunk.id, case.attempts, error)
        if isinstance(error, ModelError | OutputError):
            raise error
        if case.attempts >= ATTEMPTS or isinstance(error, _FINAL):
            self._fail(chunk, f"{type(error).__name__}: {error}", case)
        else:
            self._waiting.append(chunk)

    def _fail(self, chunk: Chunk, reason: str, case: _Case) -> None:
        self._ledger.record_failed(chunk, reason, case.attempts + case.deaths)
        self._progress.failed += 1
        log.error("failed %s (%s entries %d-%d): %s", chunk.id, chunk.url, chunk.start, chunk.stop, reason)
