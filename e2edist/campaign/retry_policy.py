"""What to do with a chunk that did not end well: who is to blame, and how much must be given up.

A worker that dies takes along every chunk in flight on it, and says nothing about which of them did it.
So a death is a suspicion, not an attempt: the chunk is given out again. One that was there `DEATHS`
times runs alone, where a death is proof. A proven chunk, or one that raises each time, is halved, and
halved again, until the entries that do it stand alone: they are given up, all others are done.
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
from e2edist.plugins import place_of
from e2edist.pools import TaskOutcome
from e2edist.records.chunk import Chunk
from e2edist.records.intervals import Range, gaps

from .circuit_breaker import CircuitBreaker

#: How often a chunk that raises is tried before it is halved or given up.
ATTEMPTS = 3
#: How often where a disk or a network fails, or a file is not to be had: that may take half a minute.
OUTAGE_ATTEMPTS = 5
#: A chunk that was in flight so often when a worker died runs alone from then on.
DEATHS = 3
#: Deaths with one entry alone that convict it: one may be bad luck, an operator or a lost node.
LONE_DEATHS = 2
#: Losses that no worker's death explains (a scheduler that restarts, a network) and that blame no one.
DROPS = 10
#: Halvings spent on one planned chunk, and on a campaign; a single entry needs log2(chunk) of them.
CHUNK_SPLITS, CAMPAIGN_SPLITS = 64, 2000
#: So many ranges of entries that fail of themselves while none succeeds stop the campaign: halving all of
#: them down to entries would take for ever, and it is not the entries.
SYSTEMIC_FAILURES = 5
#: First pause before a chunk that raised is tried again; doubled each time, tripled in an outage.
_PAUSE_S = 0.5


class SlowError(TimeoutError):
    """A chunk ran for longer than it may; a timeout of a network is something else."""


class Action(Enum):
    """What becomes of a chunk."""

    AGAIN = "give it out again"
    AT_ONCE = "give it out again before all others"
    ALONE = "run it alone"
    SPLIT = "halve it, run both halves like the whole"
    CUT = "give up its bad baskets, run the rest"
    SPLIT_ALONE = "halve it, run each half alone"
    FAIL = "give it up"
    STOP = "stop the campaign"


@dataclass(frozen=True, slots=True)
class Decision:
    """An action, why, and after how many seconds."""

    action: Action
    reason: str = ""
    pause_s: float = 0.0


@dataclass(slots=True)
class FailureRecord:
    """What is known against one chunk.

    Attributes
    ----------
    root : str
        The planned chunk whose budget of halvings it spends.
    tries : int
        How often it may raise.
    suspect : bool
        It runs alone.
    attempts, deaths, lone_deaths, drops : int
        How often it raised; was there when a worker died; was all that ran there; was lost otherwise.
    tried : list of str
        What each of them ended with.
    ranges : tuple of (int, int)
        Bad baskets that the last try found.
    """

    root: str
    tries: int = ATTEMPTS
    suspect: bool = False
    attempts: int = 0
    deaths: int = 0
    lone_deaths: int = 0
    drops: int = 0
    tried: list[str] = field(default_factory=list)
    ranges: tuple[tuple[int, int], ...] = ()


class RetryPolicy:
    """What failed in one run; `any_success` once a chunk is done, `resumed` if some were done before it."""

    def __init__(self, *, resumed: bool = False) -> None:
        self.any_success, self.resumed = False, resumed
        self._hopeless: set[str] = set()
        self._cases: dict[str, FailureRecord] = {}
        self._splits: dict[str, int] = {}

    def case(self, chunk: Chunk) -> FailureRecord:
        """Return the case of a chunk, a new one at first."""
        return self._cases.setdefault(chunk.id, FailureRecord(chunk.id))

    def knows(self, chunk: Chunk) -> bool:
        """Return whether there is a case: such a chunk stays as it is, or its tries would not add up."""
        return chunk.id in self._cases

    def decide_early(
        self, chunk: Chunk, outcome: TaskOutcome, breaker: CircuitBreaker, *, probe: bool, untried: bool
    ) -> Decision:
        """Return what to do with a chunk whose failure is systemic, in a pool in which nothing succeeded.

        Parameters
        ----------
        probe : bool
            Whether it was given out after another such failure.
        untried : bool
            Whether there are chunks that were not tried: they say more than a piece of this one.
        """
        if self.resumed and chunk.events <= 1:  # given up before, most likely: what it does is its own
            return self.decide(chunk, outcome, alone=False)
        case, error = self.case(chunk), outcome.error
        case.attempts += 1
        reason = _reason(error)
        case.tried.append(reason)
        first = breaker.note(chunk.id, probe=probe, may_pass=isinstance(error, OSError))
        if breaker.tripped:
            return Decision(Action.STOP, reason)
        if first:
            return Decision(Action.AT_ONCE, reason)
        if untried:
            return Decision(Action.AGAIN, reason, _PAUSE_S)
        if not isinstance(error, ConfigError) and self._may_split(chunk, case):
            return Decision(Action.SPLIT, reason)
        return Decision(Action.AGAIN if case.attempts < case.tries else Action.FAIL, reason)

    def decide(self, chunk: Chunk, outcome: TaskOutcome, *, alone: bool) -> Decision:
        """Return what to do with a chunk whose task raised or was lost.

        Parameters
        ----------
        alone : bool
            Whether nothing else was in flight, so that a death is this chunk's.
        """
        case = self.case(chunk)
        case.tried.append(f"{type(outcome.error).__name__}: {outcome.error}")
        if isinstance(outcome.error, ConnectionError) and outcome.kind == "lost" and case.drops < DROPS:
            case.drops += 1
            return Decision(Action.AGAIN, str(outcome.error), _PAUSE_S)
        if outcome.kind == "lost":
            return self._death(chunk, case, alone=alone)
        return self._raised(chunk, case, outcome.error)

    def _death(self, chunk: Chunk, case: FailureRecord, *, alone: bool) -> Decision:
        case.deaths += 1
        case.lone_deaths += alone
        reason = f"its worker died {case.deaths} times, {case.lone_deaths} times with nothing else running"
        if case.deaths < DEATHS and not case.suspect:
            return Decision(Action.AGAIN, reason)
        case.suspect = True
        if not case.lone_deaths or (chunk.events <= 1 and case.lone_deaths < LONE_DEATHS):
            return Decision(Action.ALONE, reason)
        if self._may_split(chunk, case):
            return Decision(Action.SPLIT_ALONE, reason)
        # Too expensive to look further; but a chunk is not given up for one death.
        return Decision(Action.FAIL if case.lone_deaths >= LONE_DEATHS else Action.ALONE, reason)

    def _raised(self, chunk: Chunk, case: FailureRecord, error: BaseException | None) -> Decision:
        case.attempts += 1
        ranges = error.ranges if isinstance(error, EntriesError) else ()
        retryable = getattr(error, "retryable", True)
        certain, case.ranges = bool(ranges) and (ranges == case.ranges or not retryable), ranges
        reason = _reason(error)
        # A disk that a node does not see for a moment is no fault of the model.
        if isinstance(error, ModelError) and not (retryable and case.attempts < case.tries):
            return Decision(Action.STOP, reason)
        whole_file = isinstance(error, InputError) and not isinstance(error, EntriesError)
        if whole_file and not retryable:
            return Decision(Action.FAIL, reason)
        # A smaller range needs less memory and time: no use in trying the same again. So with odd values.
        known = isinstance(error, EntriesError) and not retryable
        smaller = known or isinstance(error, MemoryError | SlowError | ResourceError)
        outage = whole_file or (isinstance(error, OSError) and not isinstance(error, SlowError))
        tries, growth = (OUTAGE_ATTEMPTS, 3) if outage and case.tries == ATTEMPTS else (case.tries, 2)
        if case.attempts < tries and not (smaller and self._may_split(chunk, case)):
            return Decision(Action.AGAIN, reason, _PAUSE_S * growth ** (case.attempts - 1))
        may_split = not isinstance(error, ConfigError) and not whole_file and self._may_split(chunk, case)
        if isinstance(error, OutputError) or self._is_systemic(chunk, error, may_split=may_split):
            return Decision(Action.STOP, reason)
        pieces = Action.CUT if certain else Action.SPLIT
        return Decision(pieces if may_split else Action.FAIL, reason)

    def _is_systemic(self, chunk: Chunk, error: BaseException | None, *, may_split: bool) -> bool:
        """Count ranges that fail of themselves, pieces too, and return whether they are too many."""
        # For memory a smaller range may do.
        other = isinstance(error, E2EError | SlowError) or (may_split and isinstance(error, MemoryError))
        if self.any_success or other:
            return False
        self._hopeless.add(chunk.id)
        return len(self._hopeless) >= SYSTEMIC_FAILURES

    def cut(self, chunk: Chunk) -> tuple[list[Chunk], list[Chunk]]:
        """Return what lies between the bad baskets of a chunk, and the baskets, which share its case."""
        case = self.case(chunk)
        self._splits[case.root] = self._splits.get(case.root, 0) + 1
        ranges = [Range(*entries).clip(*chunk.range) for entries in case.ranges]
        bad = [chunk.part(*entries) for entries in ranges]
        good = [chunk.part(*entries) for entries in gaps(chunk.range, ranges)]
        self._cases.update({piece.id: FailureRecord(case.root) for piece in good})
        self._cases.update({piece.id: case for piece in bad})
        return good, bad

    def _may_split(self, chunk: Chunk, case: FailureRecord) -> bool:
        spent, all_spent = self._splits.get(case.root, 0), sum(self._splits.values())
        return chunk.events > 1 and spent < CHUNK_SPLITS and all_spent < CAMPAIGN_SPLITS

    def halve(self, chunk: Chunk, *, alone: bool) -> tuple[Chunk, Chunk]:
        """Return the halves, each with a case of its own that has one try, or one lone run, left.

        A single entry has two: what it fails once may be the disk, and below it nothing can be saved.
        """
        case = self.case(chunk)
        self._splits[case.root] = self._splits.get(case.root, 0) + 1
        halves = chunk.halves()
        for half in halves:
            tries = ATTEMPTS if alone else 1 if half.events > 1 else 2
            self._cases[half.id] = FailureRecord(case.root, tries, suspect=alone)
        return halves


def _reason(error: BaseException | None) -> str:
    place = place_of(error)
    return f"{type(error).__name__}: {error}" + (f" (met by {place})" if place else "")


def fatal(error: BaseException | None, reason: str) -> E2EError:
    """Return the error that stops the campaign: errors of ours carry what to do."""
    if isinstance(error, E2EError):
        return error
    what = f"no range of entries could be done: {reason}"
    whose = f"{place_of(error)}: its traceback is in submit.log" if place_of(error) else "the installation"
    return CampaignError("", what, f"This is no fault of single events: check {whose}.")
