"""Kinds of pools and batch systems, found by name among the plug-ins."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

from e2edist.config._batch_systems import batch_systems, find_batch_system
from e2edist.config.controller import PROCESS, ControllerSpec
from e2edist.config.site import PoolSpec
from e2edist.errors import unknown_name
from e2edist.plugins import load

from ._containers import check_job_path
from ._controller import ControllerJob
from ._dask_config import table_text
from ._dask_scope import configured
from ._environment import PoolEnvironment
from ._pool_job import PoolJob
from ._refusals import find_keys
from .api import BatchSystem, Pool, Setup

#: Variables that a batch system may not hand on, and without which another e2edist might start.
_HANDED_ON = ("PATH", "PYTHONPATH", "VIRTUAL_ENV", "X509_USER_PROXY", "LD_LIBRARY_PATH")


def batch_system(kind: str) -> BatchSystem:
    """Return a batch system by name.

    Raises
    ------
    UnknownNameError
        There is none of that name.
    """
    system: BatchSystem | None = find_batch_system(kind)
    if system is None:
        raise unknown_name("batch system", kind, batch_systems())
    return system


def keys_to_blame(system: BatchSystem, said: str) -> tuple[str, ...]:
    """Return which keys of a job may be to blame for what a batch system said of it."""
    keys = find_keys(system.signs, said) or system.suspects
    return tuple(key for key in keys if key not in system.unsupported)


def is_batch(kind: str) -> bool:
    """Return whether the workers of a kind of pool are jobs in a queue."""
    return find_batch_system(kind) is not None


def make_controller(
    spec: ControllerSpec, folder: Path, arguments: Sequence[str], environment: Mapping[str, str]
) -> ControllerJob:
    """Return the job of a controller that runs here, in this folder, as we do.

    Raises
    ------
    ConfigError
        The folder can't stand in a job script.
    """
    check_job_path(folder)
    names = (*_HANDED_ON, *batch_system(spec.kind).variables)
    own = {name: os.environ[name] for name in names if name in os.environ}
    return ControllerJob(spec, folder, tuple(arguments), str(Path.cwd()), own | dict(environment))


def controller_grace_s(spec: ControllerSpec) -> float:
    """Return the seconds that a controller is left from the signal on that ends it; inf for a process."""
    return inf if spec.kind == PROCESS else batch_system(spec.kind).controller_grace_s(spec)


def open_pool(name: str, spec: PoolSpec, setup: Setup, environment: PoolEnvironment) -> Pool:
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
        system: BatchSystem | None = find_batch_system(spec.kind)
        if system is None:
            return environment.start(partial(load("pools", spec.kind).make, name, spec, setup, environment))
        from ._batch_pool import open_batch_pool  # Dask, in this thread as it touches signals

        return environment.start(partial(open_batch_pool, system, name, spec, setup, environment))


def preview(name: str, spec: PoolSpec, folder: Path, dask: Mapping[str, Any] | None = None) -> str:
    """Return what a pool would give to its batch system, empty where there is none.

    Parameters
    ----------
    dask : mapping
        The site's table ``[dask]``.
    """
    system: BatchSystem | None = find_batch_system(spec.kind)
    if system is None:
        return ""
    with configured(dask):
        return system.job_script(PoolJob(name, spec, folder, dask_table=table_text()), f"{name}-0")


def starts_at(name: str, spec: PoolSpec, folder: Path, dask: Mapping[str, Any] | None = None) -> str:
    """Return when the batch system expects to start a job that is submitted now; empty if it does not say.

    Raises
    ------
    ResourceError
        It refuses the job, or does not answer.
    """
    with configured(dask):
        return batch_system(spec.kind).starts_at(PoolJob(name, spec, folder, dask_table=table_text()))
