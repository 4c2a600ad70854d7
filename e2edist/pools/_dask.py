"""Tasks on a Dask cluster with a window of our own, and the settings that such campaigns need."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from typing import Any

import dask
from distributed import Client, Future, Worker, WorkerPlugin
from distributed.scheduler import KilledWorker

from . import Outcome, Setup

#: Measured on campaigns of long chunks that hold the GIL for seconds (imports, compiles).
SETTINGS = {
    "distributed.scheduler.work-stealing": False,  # we hand out chunks ourselves
    "distributed.scheduler.worker-ttl": "30 minutes",
    # A dead worker's tasks come back to us at once: we count blame, not the scheduler.
    "distributed.scheduler.allowed-failures": 0,
    "distributed.worker.memory.target": False,  # nothing of ours is worth spilling
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.profile.enabled": False,
    "distributed.comm.timeouts.connect": "60s",
    "distributed.admin.tick.limit": "1 hour",  # no warnings about what is meant to be slow
    "distributed.logging": {"distributed": "error", "distributed.nanny": "critical"},
}


#: Closing waits so long for an answer; workers that hang are killed.
_CLOSE_S = 5


class _SetupPlugin(WorkerPlugin):
    """Runs the setup in each worker, those that join or restart later too."""

    name = "e2edist-setup"

    def __init__(self, setup: Setup) -> None:
        self._setup = setup

    def setup(self, worker: Worker) -> None:  # noqa: ARG002
        self._setup.function(*self._setup.arguments)


@contextmanager
def settings() -> Iterator[None]:
    """Apply `SETTINGS` while a cluster starts."""
    with dask.config.set(SETTINGS):
        yield


class DaskPool:
    """The workers of a Dask client, as a pool (see `Pool`).

    Parameters
    ----------
    name : str
        Of the pool.
    client : Client
        Connected; the pool closes it.
    setup : Setup
        Runs in each worker, those that join or restart later too.
    close : callable, optional
        Called after the client is closed, to stop what the pool started.
    """

    def __init__(
        self, name: str, client: Client, setup: Setup, close: Callable[[], object] | None = None
    ) -> None:
        self.name = name
        self._client, self._close = client, close
        self._ended: queue.SimpleQueue[tuple[str, Future[Any]]] = queue.SimpleQueue()
        self._running: dict[str, Future[Any]] = {}
        self._count = 0
        client.register_plugin(_SetupPlugin(setup))

    @property
    def dashboard(self) -> str:
        """Address of the Dask dashboard."""
        return str(self._client.dashboard_link)

    def slots(self) -> int:
        """Return the threads of all workers."""
        return sum(self._client.nthreads().values())

    def submit(self, tag: str, function: Callable[..., Any], *arguments: Any) -> None:
        """Start a task; the key is new for each attempt, so that an old result never answers for it."""
        self._count += 1
        future = self._client.submit(function, *arguments, key=f"{tag}-{self._count}", pure=False)
        self._running[tag] = future
        future.add_done_callback(lambda ended: self._ended.put((tag, ended)))

    def stop_task(self, tag: str) -> None:
        """Kill the worker that runs a task, by its nanny; a thread can't be stopped in any other way."""
        future = self._running.get(tag)
        if future is None:
            return
        address = self._client.run_on_scheduler(_worker_of, key=future.key)
        if address:
            self._client.run(_kill_worker, workers=[address], nanny=True, wait=False)

    def wait(self, timeout: float) -> list[Outcome]:
        """Return what ended, waiting at most `timeout` seconds for the first."""
        outcomes: list[Outcome] = []
        deadline = time.monotonic() + timeout
        while True:
            try:
                tag, future = self._ended.get(
                    timeout=max(0.0, 0 if outcomes else deadline - time.monotonic())
                )
            except queue.Empty:
                return outcomes
            if self._running.get(tag) is future:
                del self._running[tag]
                outcomes.append(_outcome(tag, future))

    def close(self) -> None:
        """Let go of all tasks and stop what the pool started."""
        with suppress(OSError, TimeoutError):
            self._client.close(timeout=_CLOSE_S)
        if self._close is not None:
            with suppress(OSError, TimeoutError):
                self._close()


def _worker_of(key: str, dask_scheduler: Any = None) -> str | None:
    task = dask_scheduler.tasks.get(key)
    return task.processing_on.address if task is not None and task.processing_on else None


def _kill_worker(dask_worker: Any = None) -> None:
    dask_worker.process.process.kill()


def _outcome(tag: str, future: Future[Any]) -> Outcome:
    if future.status == "finished":
        try:
            return Outcome(tag, "done", future.result())
        except (CancelledError, KilledWorker, OSError, TimeoutError) as error:
            return Outcome(tag, "lost", error=error)
    if future.status == "error":
        raised = future.exception()
        return Outcome(tag, "lost" if isinstance(raised, KilledWorker) else "error", error=raised)
    return Outcome(tag, "lost", error=RuntimeError(f"the task was {future.status}"))
