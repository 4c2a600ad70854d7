"""Where workers come from, one module each. Only this package knows Dask.

A pool module has a function ``make(name, spec, setup, place) -> Pool``; one whose workers are batch jobs
also ``preview(name, spec, folder) -> str``, the job's text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, Literal, Protocol

from e2edist.accounting.telemetry import Telemetry
from e2edist.config.site import PoolSpec
from e2edist.plugins import load

from ._containers import python_command
from ._controller import ControllerJob, make_controller
from ._dask_config import configured
from ._host_limits import check_host
from ._image_digest import image_of
from ._pool_start import Start, StoppedError
from ._queues import Queue, is_batch, queue_of

__all__ = [
    "ControllerJob",
    "Outcome",
    "Pool",
    "PoolEnvironment",
    "Queue",
    "Setup",
    "StoppedError",
    "Telemetry",
    "check_host",
    "configured",
    "image_of",
    "is_batch",
    "is_draining",
    "make_controller",
    "open_pool",
    "preview",
    "python_command",
    "queue_of",
    "show",
    "starts_at",
]


@dataclass(frozen=True, slots=True)
class Setup:
    """A call that every worker process makes once before its first task; must be picklable."""

    function: Callable[..., None]
    arguments: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one task.

    Attributes
    ----------
    tag : str
        As given to `Pool.submit`.
    kind : str
        done: `value` is what the function returned. error: it raised `error`. lost: its worker died,
        or the pool dropped it, which is a ConnectionError; `error` says what is known.
    """

    tag: str
    kind: Literal["done", "error", "lost"]
    value: Any = None
    error: BaseException | None = None


class Pool(Protocol):
    """Workers of one kind. Every submitted task comes back from `wait` exactly once."""

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def dashboard(self) -> str:
        """Address of the Dask dashboard."""

    @property
    def trouble(self) -> str:
        """Why there will be no more workers; empty while there may be."""

    def expect(self, longest_s: float, left: int) -> None:
        """Note how long a chunk may take, and how many chunks are not done."""

    def counts(self) -> dict[str, int]:
        """Return how many workers are queued, running and joined, for people."""

    def slots(self) -> int:
        """Return how many tasks can run at this moment: the threads of all workers that are there."""

    def submit(self, tag: str, function: Callable[..., Any], *arguments: Any) -> None:
        """Start a task; it is on its way when `wait` is called next."""

    def stop_task(self, tag: str) -> list[str]:
        """Kill the worker that runs a task, harder when asked again; return the tags of all it ran.

        All of them come back as lost, or as ended where they were faster.
        """

    def stop_accepting(self) -> None:
        """Have the workers end each of this pool's tasks after its current step (see `is_draining`)."""

    def wait(self, timeout: float) -> list[Outcome]:
        """Return what ended, after at most `timeout` seconds; may be empty."""

    def close(self) -> None:
        """Stop all workers, whatever they are doing."""


class PoolEnvironment:
    """Where the pools of one campaign meet: its folder, its certificates, its one scheduler.

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
        self._hub: Any = None
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

    def tls_folder(self, spec: PoolSpec) -> Path:
        """Return the folder of the campaign's certificates."""
        return Path(spec.tls_folder) if spec.tls_folder else self.folder / ".tls"

    def certificates(self, spec: PoolSpec) -> Any:
        """Return the campaign's certificates, made where they are missing."""
        from ._certificates import make_certificates

        return make_certificates(self.tls_folder(spec))

    def hub(self, spec: PoolSpec) -> Any:
        """Return the scheduler that pools of batch jobs share, started at the first call."""
        from ._shared_scheduler import SharedScheduler

        if self._hub is None:
            self._hub = SharedScheduler(self.tls_folder(spec), spec.job)
        return self._hub

    def close(self) -> None:
        """Stop the scheduler, once all pools are closed."""
        if self._hub is not None:
            self._hub.close()


def show(telemetry: Telemetry) -> AbstractContextManager[None]:
    """Show a campaign on dashboards and metrics of the schedulers that start in this process meanwhile."""
    from ._dashboard_page import shown

    return shown(telemetry)


def is_draining() -> bool:
    """Whether this task is to end after its current step: its pool is stopped, or its worker told to end."""
    from ._preemption import is_draining

    return is_draining()


def open_pool(name: str, spec: PoolSpec, setup: Setup, place: PoolEnvironment) -> Pool:
    """Start the workers of a pool; `configured` around it says how Dask does that.

    Raises
    ------
    UnknownNameError
        There is no such kind of pool.
    ResourceError
        The workers don't start.
    StoppedError
        The pool was given up meanwhile.
    """
    with configured():
        return place.start(partial(load("pools", spec.kind).make, name, spec, setup, place))


def preview(name: str, spec: PoolSpec, folder: Path, dask: Mapping[str, Any] | None = None) -> str:
    """Return what a pool would give to its batch system, empty where there is none.

    Parameters
    ----------
    dask : mapping
        The site's table ``[dask]``.
    """
    with configured(dask):
        module = load("pools", spec.kind)
        return str(module.preview(name, spec, folder)) if hasattr(module, "preview") else ""


def starts_at(name: str, spec: PoolSpec, folder: Path, dask: Mapping[str, Any] | None = None) -> str:
    """Return when the batch system expects to start a job that is submitted now; empty if it does not say.

    Raises
    ------
    ResourceError
        It refuses the job, or does not answer.
    """
    with configured(dask):
        module = load("pools", spec.kind)
        return str(module.starts_at(name, spec, folder)) if hasattr(module, "starts_at") else ""
