"""Workers on this machine: processes of an embedded Dask cluster."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from distributed import Client, LocalCluster

from e2edist.errors import ResourceError
from e2edist.spec.site import PoolSpec

from . import Outcome, Setup
from ._dask import DaskTasks, settings

_LOOPBACK = "127.0.0.1"
_DASHBOARD_PORT = 8787


class LocalPool:
    """A `LocalCluster` with worker processes that share nothing with the driver but loopback."""

    def __init__(self, name: str, spec: PoolSpec, setup: Setup) -> None:
        self.name = name
        cores = len(os.sched_getaffinity(0))
        workers = spec.workers or 1
        threads = spec.threads or max(1, cores // workers)
        memory = f"{spec.memory_gib}GiB" if spec.memory_gib else 0
        try:
            with settings(), _sigint_blocked():
                self._cluster = LocalCluster(
                    n_workers=workers,
                    threads_per_worker=threads,
                    memory_limit=memory,
                    host=_LOOPBACK,
                    dashboard_address=f"{_LOOPBACK}:{_free_port()}",
                )
                self._client = Client(self._cluster)
                self._client.wait_for_workers(workers, timeout=120)
        except (OSError, TimeoutError, RuntimeError) as error:
            raise ResourceError(f"pool {name}", f"{workers} local workers don't start: {error}") from error
        self._tasks = DaskTasks(self._client, setup)

    @property
    def dashboard(self) -> str:
        """Address of the Dask dashboard."""
        return str(self._cluster.dashboard_link)

    def slots(self) -> int:
        """Return the threads of all workers that are there."""
        return self._tasks.slots()

    def submit(self, tag: str, function: Callable[..., Any], *arguments: Any) -> None:
        """Start a task."""
        self._tasks.submit(tag, function, *arguments)

    def stop_task(self, tag: str) -> None:
        """Kill the worker that runs a task."""
        self._tasks.stop_task(tag)

    def wait(self, timeout: float) -> list[Outcome]:
        """Return what ended, waiting at most `timeout` seconds for the first."""
        return self._tasks.wait(timeout)

    def close(self) -> None:
        """Stop all workers."""
        with suppress(OSError, TimeoutError):
            self._client.close(timeout=5)
        with suppress(OSError, TimeoutError):
            self._cluster.close(timeout=10)


@contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Block SIGINT in all threads and processes started meanwhile: Ctrl-C is the driver's alone."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _free_port() -> int:
    """Return the dashboard's usual port, or 0 (any) where something else listens on it."""
    with socket.socket() as probe:
        try:
            probe.bind((_LOOPBACK, _DASHBOARD_PORT))
        except OSError:
            return 0
    return _DASHBOARD_PORT


def make(name: str, spec: PoolSpec, setup: Setup) -> LocalPool:
    """Start the pool (see `e2edist.pools`)."""
    return LocalPool(name, spec, setup)
