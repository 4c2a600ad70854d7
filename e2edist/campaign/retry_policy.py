"""Retry policy: what to do with a chunk that failed, and how little of it must be given up.

Fault isolation: a dead worker does not say which of its tasks killed it, so each of their chunks gets a
death on its `FailureRecord` and is run again. A chunk with `DEATHS` of them runs alone; if its worker dies
then, the chunk is the cause. Such a chunk, or one that raises in each attempt, is halved, and halved again,
until the failing entries are isolated: they are given up, all others are done.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from e2edist.errors import (
    CampaignError,
    ConfigError,
    E2EError,
    EntriesError,
    InputError,
    ModelError,
    OutputError,
    ResourceError,
)
from e2edist.plugins import plugin_location
from e2edist.pools import TaskOutcome
from e2edist.records.chunk import Chunk
from e2edist.records.intervals import Range, gaps

from .circuit_breaker import CircuitBreaker

#: How often a chunk that raises is tried before it is halved or given up.
ATTEMPTS = 3
#: How often where a disk or a network fails, or a file is not available: that may take half a minute.
OUTAGE_ATTEMPTS = 5
#: A chunk that was in flight so often when a worker died runs alone from then on.
DEATHS = 3
#: Deaths with one entry alone after which it is given up: one may be bad luck, an operator or a lost node.
LONE_DEATHS = 2
#: Losses without a worker's death (a scheduler that restarts, a network) that do not count against a chunk.
DROPS = 10
#: Halvings spent on one planned chunk, and on a campaign; a single entry needs log2(chunk) of them.
CHUNK_SPLITS, CAMPAIGN_SPLITS = 64, 2000
#: So many ranges of entries that fail by themselves while none succeeds stop the campaign: halving all of
#: them down to entries would take for ever, and the entries are not the reason.
SYSTEMIC_FAILURES = 5
#: First pause before a chunk that raised is tried again; doubled each time, tripled in an outage.
_PAUSE_S = 0.5


class SlowError(TimeoutError):
    """A chunk ran for longer than it may; a timeout of a network is something else."""


class Action(Enum):
    """What happens to a chunk that failed."""

    RETRY = "give it out again"
    RETRY_FIRST = "give it out again before all others"
    RUN_ALONE = "run it alone"
    SPLIT = "halve it, run both halves like the whole"
    CUT = "give up its bad baskets, run the rest"
    SPLIT_ALONE = "halve it, run each half alone"
    FAIL = "give it up"
    STOP = "stop the campaign"


@dataclass(frozen=True, slots=True)
class Decision:
    """An action, its reason, and the seconds to wait before it."""

    action: Action
    reason: str = ""
    pause_s: float = 0.0


@dataclass(slots=True)
class FailureRecord:
    """The failures of one chunk.

    Attributes
    ----------
    root : str
        The planned chunk on whose budget of halvings it counts.
    max_attempts : int
        How often it may raise.
    run_alone : bool
    attempts, deaths, lone_deaths, drops : int
        How often it raised; was in flight when a worker died; was all that ran there; was lost otherwise.
    reasons : list of str
        What each of them ended with.
    ranges : tuple of (int, int)
        Bad baskets that the last attempt found.
    """

    root: str
    max_attempts: int = ATTEMPTS
    run_alone: bool = False
    attempts: int = 0
    deaths: int = 0
    lone_deaths: int = 0
    drops: int = 0
    reasons: list[str] = field(default_factory=list)
    ranges: tuple[tuple[int, int], ...] = ()


class RetryPolicy:
    """Decides on the failures of one run.

    Attributes
    ----------
    any_success : bool
        A chunk was done in this run.
    resumed : bool
        Some were done before it.
    """

    def __init__(self, *, resumed: bool = False) -> None:
        self.any_success, self.resumed = False, resumed
        self._systemic: set[str] = set()
        self._records: dict[str, FailureRecord] = {}
        self._splits: dict[str, int] = {}

    def record(self, chunk: Chunk) -> FailureRecord:
        """Return the record of a chunk, a new one at first."""
        return self._records.setdefault(chunk.id, FailureRecord(chunk.id))

    def has_record(self, chunk: Chunk) -> bool:
        """Return whether a chunk has a record: it is not cut any more, or its attempts would not add up."""
        return chunk.id in self._records

    def decide_early(
        self, chunk: Chunk, outcome: TaskOutcome, breaker: CircuitBreaker, *, probe: bool, untried: bool
    ) -> Decision:
        """Return what to do with a chunk whose failure is systemic, in a pool in which nothing succeeded.

        Parameters
        ----------
        probe : bool
            Whether it was submitted after another such failure.
        untried : bool
            Whether there are chunks that were not tried: they tell more than a piece of this one.
        """
        if self.resumed and chunk.events <= 1:  # most likely given up before, for a reason of its own
            return self.decide(chunk, outcome, alone=False)
        record, error = self.record(chunk), outcome.error
        record.attempts += 1
        reason = _reason(error)
        record.reasons.append(reason)
        first = breaker.add_failure(chunk.id, probe=probe, transient=isinstance(error, OSError))
        if breaker.tripped:
            return Decision(Action.STOP, reason)
        if first:
            return Decision(Action.RETRY_FIRST, reason)
        if untried:
            return Decision(Action.RETRY, reason, _PAUSE_S)
        if not isinstance(error, ConfigError) and self._may_split(chunk, record):
            return Decision(Action.SPLIT, reason)
        return Decision(Action.RETRY if record.attempts < record.max_attempts else Action.FAIL, reason)

    def decide(self, chunk: Chunk, outcome: TaskOutcome, *, alone: bool) -> Decision:
        """Return what to do with a chunk whose task raised or was lost.

        Parameters
        ----------
        alone : bool
            Whether nothing else was in flight, so that this chunk caused the death of a worker.
        """
        record = self.record(chunk)
        record.reasons.append(f"{type(outcome.error).__name__}: {outcome.error}")
        if isinstance(outcome.error, ConnectionError) and outcome.kind == "lost" and record.drops < DROPS:
            record.drops += 1
            return Decision(Action.RETRY, str(outcome.error), _PAUSE_S)
        if outcome.kind == "lost":
            return self._decide_death(chunk, record, alone=alone)
        return self._decide_error(chunk, record, outcome.error)

    def _decide_death(self, chunk: Chunk, record: FailureRecord, *, alone: bool) -> Decision:
        record.deaths += 1
        record.lone_deaths += alone
        lone = f"{record.lone_deaths} times with nothing else running"
        reason = f"its worker died {record.deaths} times, {lone}"
        if record.deaths < DEATHS and not record.run_alone:
            return Decision(Action.RETRY, reason)
        record.run_alone = True
        if not record.lone_deaths or (chunk.events <= 1 and record.lone_deaths < LONE_DEATHS):
            return Decision(Action.RUN_ALONE, reason)
        if self._may_split(chunk, record):
            return Decision(Action.SPLIT_ALONE, reason)
        # Too expensive to halve further; but a chunk is not given up for one death.
        return Decision(Action.FAIL if record.lone_deaths >= LONE_DEATHS else Action.RUN_ALONE, reason)

    def _decide_error(self, chunk: Chunk, record: FailureRecord, error: BaseException | None) -> Decision:
        record.attempts += 1
        ranges = error.ranges if isinstance(error, EntriesError) else ()
        retryable = getattr(error, "retryable", True)
        certain, record.ranges = bool(ranges) and (ranges == record.ranges or not retryable), ranges
        reason = _reason(error)
        # A disk that a node does not see for a moment is no fault of the model.
        if isinstance(error, ModelError) and not (retryable and record.attempts < record.max_attempts):
            return Decision(Action.STOP, reason)
        whole_file = isinstance(error, InputError) and not isinstance(error, EntriesError)
        if whole_file and not retryable:
            return Decision(Action.FAIL, reason)
        # A smaller range needs less memory and time, or leaves odd values out: the same again won't help.
        odd_values = isinstance(error, EntriesError) and not retryable
        smaller = odd_values or isinstance(error, MemoryError | SlowError | ResourceError)
        outage = whole_file or (isinstance(error, OSError) and not isinstance(error, SlowError))
        longer = outage and record.max_attempts == ATTEMPTS
        attempts, growth = (OUTAGE_ATTEMPTS, 3) if longer else (record.max_attempts, 2)
        if record.attempts < attempts and not (smaller and self._may_split(chunk, record)):
            return Decision(Action.RETRY, reason, _PAUSE_S * growth ** (record.attempts - 1))
        may_split = not isinstance(error, ConfigError) and not whole_file and self._may_split(chunk, record)
        if isinstance(error, OutputError) or self._is_systemic(chunk, error, may_split=may_split):
            return Decision(Action.STOP, reason)
        pieces = Action.CUT if certain else Action.SPLIT
        return Decision(pieces if may_split else Action.FAIL, reason)

    def _is_systemic(self, chunk: Chunk, error: BaseException | None, *, may_split: bool) -> bool:
        """Count ranges that fail by themselves, pieces too, and return whether they are too many."""
        # If memory was too small, a smaller range may do.
        other = isinstance(error, E2EError | SlowError) or (may_split and isinstance(error, MemoryError))
        if self.any_success or other:
            return False
        self._systemic.add(chunk.id)
        return len(self._systemic) >= SYSTEMIC_FAILURES

    def cut(self, chunk: Chunk) -> tuple[list[Chunk], list[Chunk]]:
        """Return the ranges between the bad baskets of a chunk, and the baskets, which share its record."""
        record = self._count_split(chunk)
        ranges = [Range(*entries).clip(*chunk.range) for entries in record.ranges]
        bad = [chunk.part(*entries) for entries in ranges]
        good = [chunk.part(*entries) for entries in gaps(chunk.range, ranges)]
        self._records.update({piece.id: FailureRecord(record.root) for piece in good})
        self._records.update({piece.id: record for piece in bad})
        return good, bad

    def halve(self, chunk: Chunk, *, alone: bool) -> tuple[Chunk, Chunk]:
        """Return the halves, each with a record of its own that allows one attempt, or one run alone.

        A single entry has two attempts: one failure may be the disk's, and it can't be halved further.
        """
        record, halves = self._count_split(chunk), chunk.halves()
        for half in halves:
            attempts = ATTEMPTS if alone else 1 if half.events > 1 else 2
            self._records[half.id] = FailureRecord(record.root, attempts, run_alone=alone)
        return halves

    def _may_split(self, chunk: Chunk, record: FailureRecord) -> bool:
        spent, all_spent = self._splits.get(record.root, 0), sum(self._splits.values())
        return chunk.events > 1 and spent < CHUNK_SPLITS and all_spent < CAMPAIGN_SPLITS

    def _count_split(self, chunk: Chunk) -> FailureRecord:
        record = self.record(chunk)
        self._splits[record.root] = self._splits.get(record.root, 0) + 1
        return record


def _reason(error: BaseException | None) -> str:
    place = plugin_location(error)
    return f"{type(error).__name__}: {error}" + (f" (raised in {place})" if place else "")


def fatal(error: BaseException | None, reason: str) -> E2EError:
    """Return the error that stops the campaign: errors of ours say themselves what to do."""
    if isinstance(error, E2EError):
        return error
    what = f"no range of entries could be done: {reason}"
    whose = (
        f"{plugin_location(error)}: its traceback is in submit.log"
        if plugin_location(error)
        else "the installation"
    )
    return CampaignError("", what, f"This is no fault of single events: check {whose}.")
