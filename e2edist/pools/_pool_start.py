"""Starting a pool in a thread of its own, so that whoever waits for it can give it up at any moment."""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread
from typing import Any

from .api import Pool

log = logging.getLogger(__name__)

_POLL_S = 0.1
#: A pool that is given up gets so long to let go of what it has started.
_GIVE_UP_S = 5.0


class StoppedError(Exception):
    """A pool was given up while it started, because the campaign stops."""


class Start:
    """A pool that starts.

    Parameters
    ----------
    make : callable
        Makes the pool; may take long.
    stop : Event
        When it is set, the pool is not wanted any more.
    """

    def __init__(self, make: Callable[[], Pool], stop: Event) -> None:
        self._make, self._stop = make, stop
        self._ended: queue.SimpleQueue[tuple[Pool | None, BaseException | None]] = queue.SimpleQueue()
        self.given_up = Event()
        #: ends what was started so far, so that `make` comes to an end
        self.kill: Callable[[], Any] = lambda: None
        self._thread = Thread(target=self._run, name="e2edist-start", daemon=True)

    def wait(self) -> Pool:
        """Return the pool once it is there.

        Raises
        ------
        StoppedError
            `stop` was set before.
        """
        pool, error = None, None
        try:
            self._thread.start()
            while not (self._stop.is_set() or pool or error):
                with suppress(queue.Empty):
                    pool, error = self._ended.get(timeout=_POLL_S)
        finally:
            if pool is None:
                self._give_up()
        if pool is None:
            raise error or StoppedError
        return pool

    def _run(self) -> None:
        pool: Pool | None = None
        error: BaseException | None = None
        try:
            pool = self._make()
        except BaseException as raised:  # of whatever kind: it is raised again in `wait`
            error = raised
        if pool is not None and self.given_up.is_set():
            pool.close()
            pool = None
        self._ended.put((pool, error))

    def _give_up(self) -> None:
        self.given_up.set()
        deadline = time.monotonic() + _GIVE_UP_S
        while self._thread.is_alive() and time.monotonic() < deadline:
            self.kill()
            self._thread.join(_POLL_S)
        if self._thread.is_alive():
            log.warning("a pool that was given up while it started is still closing")
        with suppress(queue.Empty):
            pool, _ = self._ended.get_nowait()
            if pool is not None:
                pool.close()
