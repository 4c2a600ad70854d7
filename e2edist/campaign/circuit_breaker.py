"""The circuit breaker: a bug fails every chunk, so a campaign in which nothing succeeds is stopped early.

It counts for one pool, until its first chunk is done, which ranges of entries fail for a reason that is
not in the data. After the first of them the pool gets one task at a time: the same range once more, as the
error may pass, then others, of other files first. Pieces of a range count too: a campaign may have one chunk.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from e2edist.errors import ConfigError, ProgrammingError
from e2edist.plugins import place_of

#: So many different ranges that fail, or so many failures, are no coincidence.
_RANGES, _FAILURES = 6, 9
#: First and longest pause after a failure that may pass.
_PAUSE_S, _LONGEST_S = 0.5, 8.0


def is_systemic(error: BaseException | None) -> bool:
    """Return whether a failure says nothing about entries: a bug, or a plug-in that lacks something."""
    lacks = isinstance(error, OSError) and bool(place_of(error))
    return lacks or isinstance(error, ProgrammingError | ConfigError)


@dataclass(slots=True)
class CircuitBreaker:
    """Counts the systemic failures of a pool until something succeeds.

    Attributes
    ----------
    any_success : bool
        A chunk was done in this run: what fails from now on is the fault of its entries.
    """

    any_success: bool = False
    _failures: Counter[str] = field(default_factory=Counter)
    _again: bool = False
    _until: float = 0.0

    @property
    def probing(self) -> bool:
        """Whether one task at a time is to show whether anything can succeed."""
        return bool(self._failures) and not self.any_success

    @property
    def tripped(self) -> bool:
        """Whether nothing can succeed; never before a task failed that was given out after a failure."""
        many = len(self._failures) >= _RANGES or self._failures.total() >= _FAILURES
        return self._again and many and not self.any_success

    @property
    def waiting(self) -> bool:
        """Whether the pool gets nothing for a moment, as what failed may pass."""
        return self.probing and time.monotonic() < self._until

    def note(self, chunk: str, *, probe: bool, may_pass: bool = False) -> bool:
        """Count a failure; return whether it is the first, so that the range is tried again at once.

        Parameters
        ----------
        probe : bool
            Whether the task was given out after another failure.
        may_pass : bool
            A disk or a network failed: it gets ever more time, some 30 seconds in all.
        """
        first = not self._failures
        self._failures[chunk] += 1
        self._again |= probe
        if may_pass:
            self._until = time.monotonic() + min(_PAUSE_S * 2 ** (self._failures.total() - 1), _LONGEST_S)
        return first
