"""The circuit breaker: a bug fails every chunk, so a campaign in which nothing succeeds is stopped early.

Until the first chunk of a pool is done, its breaker counts the ranges of entries that fail for a reason that
is not in the data. After the first of them the pool gets one task at a time: the same range again, as the
error may be transient, then others, of other files first. Pieces of a range count too: a campaign may have
one chunk.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from e2edist.errors import ConfigError, ProgrammingError
from e2edist.plugins import plugin_location

#: So many different ranges that fail, or so many failures, trip the breaker.
_RANGES, _FAILURES = 6, 9
#: First and longest pause after a transient failure.
_PAUSE_S, _MAX_PAUSE_S = 0.5, 8.0


def is_systemic(error: BaseException | None) -> bool:
    """Return whether a failure says nothing about entries: a bug, or a plug-in that lacks something."""
    plugin_lacks = isinstance(error, OSError) and bool(plugin_location(error))
    return plugin_lacks or isinstance(error, ProgrammingError | ConfigError)


@dataclass(slots=True)
class CircuitBreaker:
    """Counts the systemic failures of a pool until something succeeds.

    Attributes
    ----------
    any_success : bool
        A chunk was done in this run: later failures are due to their entries.
    """

    any_success: bool = False
    _failures: Counter[str] = field(default_factory=Counter)
    _probe_failed: bool = False
    _wait_until: float = 0.0

    @property
    def probing(self) -> bool:
        """Whether one task at a time is to show whether anything can succeed."""
        return bool(self._failures) and not self.any_success

    @property
    def tripped(self) -> bool:
        """Whether nothing can succeed; never before a probe failed, a task submitted after a failure."""
        many = len(self._failures) >= _RANGES or self._failures.total() >= _FAILURES
        return self._probe_failed and many and not self.any_success

    @property
    def waiting(self) -> bool:
        """Whether the pool gets nothing for a moment, after a transient failure."""
        return self.probing and time.monotonic() < self._wait_until

    def add_failure(self, chunk: str, *, probe: bool, transient: bool = False) -> bool:
        """Count a failure; return whether it is the first, so that the range is tried again at once.

        Parameters
        ----------
        probe : bool
            Whether the task was submitted after another failure.
        transient : bool
            A disk or a network failed: it gets more time after each failure, some 30 seconds in all.
        """
        first = not self._failures
        self._failures[chunk] += 1
        self._probe_failed |= probe
        if transient:
            pause_s = _PAUSE_S * 2 ** (self._failures.total() - 1)
            self._wait_until = time.monotonic() + min(pause_s, _MAX_PAUSE_S)
        return first
