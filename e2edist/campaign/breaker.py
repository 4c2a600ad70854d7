"""The circuit breaker: a bug fails every chunk, so a campaign in which nothing succeeds is stopped early.

It counts for one pool, until its first chunk is done, which ranges of entries fail for a reason that is
not in the data. After the first of them the pool gets one task at a time: the same range once more, as the
error may pass, then others, of other files first. Pieces of a range count too: a campaign may have one chunk.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from e2edist.errors import ProgrammingError, SpecError

#: What says nothing about the entries: a bug, or a plug-in that a worker does not have.
SYSTEMIC_FAILURES = (ProgrammingError, SpecError)
#: So many different ranges that fail, or so many failures, are no coincidence.
_RANGES, _FAILURES = 6, 9


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

    @property
    def probing(self) -> bool:
        """Whether one task at a time is to show whether anything can succeed."""
        return bool(self._failures) and not self.any_success

    @property
    def tripped(self) -> bool:
        """Whether nothing can succeed; never before a task failed that was given out after a failure."""
        many = len(self._failures) >= _RANGES or self._failures.total() >= _FAILURES
        return self._again and many and not self.any_success

    def note(self, chunk: str, *, probe: bool) -> bool:
        """Count a failure; return whether it is the first, so that the range is tried again at once.

        Parameters
        ----------
        probe : bool
            Whether the task was given out after another failure.
        """
        first = not self._failures
        self._failures[chunk] += 1
        self._again |= probe
        return first
