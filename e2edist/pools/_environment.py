"""Where the pools of one campaign meet: its folder, its certificates, its one scheduler."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from e2edist.config.site import PoolSpec

from ._certificates import make_certificates
from ._pool_job import certificates_folder
from ._pool_start import Start
from .api import Pool

if TYPE_CHECKING:
    from ._shared_scheduler import SharedScheduler


class PoolEnvironment:
    """What the pools of one campaign share.

    Parameters
    ----------
    folder : Path
        Of the campaign; all nodes see it.
    stop : Event, optional
        Set it to give up pools that start.

    Attributes
    ----------
    at_once : bool
        Whether workers that are to end are killed rather than asked.
    """

    def __init__(self, folder: Path, stop: Event | None = None) -> None:
        self.folder, self.at_once = folder, False
        self._stop = stop or Event()
        self._scheduler: SharedScheduler | None = None
        self._start: Start | None = None

    @property
    def giving_up(self) -> bool:
        """Whether the pool that starts now is not wanted any more."""
        return self._stop.is_set() or (self._start is not None and self._start.given_up.is_set())

    def start(self, make: Callable[[], Pool]) -> Pool:
        """Return a pool once it has started."""
        self._start = Start(make, self._stop)
        return self._start.wait()

    def on_giving_up(self, kill: Callable[[], None]) -> None:
        """Have `kill` called, again and again, when the pool that starts now is given up."""
        if self._start is not None:
            self._start.kill = kill

    def certificates(self, spec: PoolSpec) -> Any:
        """Return the campaign's certificates, made where they are missing."""
        return make_certificates(certificates_folder(spec, self.folder))

    def scheduler(self, spec: PoolSpec) -> SharedScheduler:
        """Return the scheduler that pools of batch jobs share, started at the first call."""
        from ._shared_scheduler import SharedScheduler  # Dask

        if self._scheduler is None:
            self._scheduler = SharedScheduler(certificates_folder(spec, self.folder), spec.job)
        return self._scheduler

    def close(self) -> None:
        """Stop the scheduler, once all pools are closed."""
        if self._scheduler is not None:
            self._scheduler.close()
