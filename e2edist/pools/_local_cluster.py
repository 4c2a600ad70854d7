"""Starting and closing the embedded Dask cluster of a local pool."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import warnings
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from threading import Event, Thread
from typing import Any

from distributed import Client, LocalCluster, Nanny

from e2edist.config.site import PoolSpec, threads_of
from e2edist.errors import MORE_THREADS, NO_THREAD, CampaignError, ResourceError

from ._dask_pool import DaskPool
from ._dask_scope import checked_config
from ._environment import PoolEnvironment
from ._gpus import VARIABLE
from ._pool_start import StoppedError
from ._shared_scheduler import dashboard_address
from ._signals import signals_blocked
from .api import Setup

log = logging.getLogger(__name__)

_LOOPBACK = "127.0.0.1"
#: Workers that don't end by themselves are killed after so long; without workers a cluster closes sooner.
_CLOSE_S, _KILLED_S = 10, 3
_KILL_S = 0.05
_START_S = 120
#: A worker that dies while it starts (memory is short for a moment) is worth another start.
_STARTS = 3


class GpuNanny(Nanny):
    """A nanny whose worker sees one GPU, in each process that it starts.

    Parameters
    ----------
    name : int
        Of the worker: its place in `gpus`.
    gpus : tuple of str
        As CUDA_VISIBLE_DEVICES names them.
    """

    def __init__(self, *arguments: Any, name: int, gpus: tuple[str, ...], **options: Any) -> None:
        options |= {"name": name, "env": {VARIABLE: gpus[name]}}
        super().__init__(*arguments, **options)


def open_local_pool(
    name: str, spec: PoolSpec, setup: Setup, environment: PoolEnvironment, gpus: tuple[str, ...]
) -> DaskPool:
    """Start worker processes that share nothing with the driver but loopback.

    Parameters
    ----------
    gpus : tuple of str
        Of the workers, as CUDA_VISIBLE_DEVICES names them; empty: all see what we see.

    Raises
    ------
    CampaignError, ResourceError
        The workers don't start, several times in a row; or there is no room for another thread.
    StoppedError
        They were given up meanwhile.
    """
    options = _cluster_options(spec, environment, gpus)
    others = _children()
    # Dask waits for workers that import, even to close; only without them it comes to an end.
    environment.on_giving_up(lambda: _kill(_children() - others))
    for left in reversed(range(_STARTS)):
        try:
            return _start(name, setup, options, environment)
        # AssertionError: distributed takes for granted that a thread starts within ten seconds.
        except (OSError, TimeoutError, RuntimeError, AssertionError) as error:
            what = f"{spec.workers or 1} local workers don't start: {error}"
            if environment.giving_up:
                raise StoppedError from error
            if not left:
                _kill(_children() - others)
                if NO_THREAD in str(error):
                    raise ResourceError(f"pool {name}", what, MORE_THREADS) from error
                raise CampaignError(f"pool {name}", what, "The same command does what is left.") from error
            log.warning("pool %s: %s", name, what)
    raise AssertionError  # the last start returns or raises


def _cluster_options(spec: PoolSpec, environment: PoolEnvironment, gpus: tuple[str, ...]) -> dict[str, Any]:
    return {
        "n_workers": spec.workers or 1,
        "threads_per_worker": threads_of(spec),
        "memory_limit": f"{spec.memory_gib}GiB" if spec.memory_gib else 0,
        "host": _LOOPBACK,
        "silence_logs": logging.CRITICAL,
        "protocol": "tls://" if spec.tls else "tcp://",
        "security": environment.certificates(spec) if spec.tls else None,
        **({"worker_class": GpuNanny, "gpus": gpus} if gpus else {}),
    }


def _start(name: str, setup: Setup, options: dict[str, Any], environment: PoolEnvironment) -> DaskPool:
    with checked_config(), signals_blocked(), warnings.catch_warnings():
        # Another campaign may take the port between our look and Dask's: any other one will do.
        warnings.filterwarnings("ignore", message="Port .* is already in use")
        cluster = LocalCluster(**options, dashboard_address=dashboard_address())
        try:
            client = Client(cluster, set_as_default=False)
            client.wait_for_workers(options["n_workers"], timeout=_START_S)
            close = partial(_close, cluster, environment)
            return DaskPool(name, client, setup, close, stopping=lambda: environment.giving_up)
        except BaseException:
            _close(cluster, environment)
            raise


def _close(cluster: LocalCluster, environment: PoolEnvironment) -> None:
    """Close a cluster; workers that don't end in time are killed, or all of them where there is none."""
    closed, nannies = Event(), list(cluster.workers.values())
    patience_s = 0.0 if environment.at_once or environment.giving_up else _CLOSE_S

    def kill() -> None:
        closed.wait(patience_s)
        while not closed.wait(_KILL_S):
            _kill(nanny.pid for nanny in nannies)

    Thread(target=kill, name="e2edist-kill", daemon=True).start()
    try:
        cluster.close(timeout=patience_s + _KILLED_S)
    finally:
        closed.set()


def _children() -> set[int | None]:
    return {child.pid for child in multiprocessing.active_children()}


def _kill(pids: Iterable[int | None]) -> None:
    for pid in pids:
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
