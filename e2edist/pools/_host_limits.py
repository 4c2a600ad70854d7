"""What a host must have before Dask is started on it: without, it waits for ever or fails with riddles."""

from __future__ import annotations

import resource
import shutil
import socket
import sys
from pathlib import Path

from e2edist.config._batch_systems import find_batch_system
from e2edist.config.jobs import JobSpec
from e2edist.config.site import PoolSpec
from e2edist.errors import ResourceError

from ._gpus import gpus_of_workers
from ._host_network import default_address, free_port, interface_address, interface_names

_LOOPBACK = "127.0.0.1"
_ANSWER_S = 5.0
#: Open files of scheduler and driver, and those for each worker process here; measured: 27 and 11.
_FILES, _FILES_OF_WORKER = 30, 12


def check_host(name: str, spec: PoolSpec) -> None:
    """Refuse a host on which a pool can't be started; call it before Dask is imported.

    Raises
    ------
    ResourceError
        No /proc, no loopback, fewer GPUs than workers, or too few files may be open; says how many would do.
        For batch jobs: no commands of the batch system, or no interface or port for the scheduler.
    """
    if find_batch_system(spec.kind) is not None:
        check_commands(f"pool {name}", spec.kind)
        _check_network(name, spec.job)
    if spec.kind == "local":
        gpus_of_workers(name, spec)
    where, workers = f"pool {name}", (spec.workers or 1) if spec.kind == "local" else 0
    if sys.platform == "linux" and not Path("/proc/self/stat").exists():
        todo = "Mount it: mount -t proc proc /proc."
        raise ResourceError(where, "Dask needs /proc, which is not there", todo)
    wanted, limit = _FILES + _FILES_OF_WORKER * workers, resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit not in (resource.RLIM_INFINITY, -1) and limit < wanted:
        what = f"{workers} workers on this host need {wanted} open files, {limit} are allowed"
        raise ResourceError(where, what, f"Raise the limit (ulimit -n {wanted}), or take fewer --workers.")
    try:
        with (
            socket.create_server((_LOOPBACK, 0)) as server,
            socket.create_connection(server.getsockname(), timeout=_ANSWER_S),
        ):
            return
    except OSError as error:
        what = f"the loopback of this host, {_LOOPBACK}, does not answer ({error.strerror or error})"
        raise ResourceError(where, what, "Bring it up: ip link set lo up.") from error


def check_commands(where: str, kind: str) -> None:
    """Refuse a host from which nothing can be submitted to a batch system.

    Parameters
    ----------
    where : str
        What it is for, as ``pool cpu``.

    Raises
    ------
    ResourceError
        Commands of it are missing.
    """
    system = find_batch_system(kind)
    missing = [name for name in system.commands if shutil.which(name) is None] if system is not None else []
    if missing:
        what = f"this host has no {', '.join(missing)}, which it needs"
        raise ResourceError(where, what, "Submit from a login node of the site, or load the site's module.")


def _check_network(name: str, job: JobSpec) -> None:
    """Refuse a host without the interface and a port for the scheduler that the jobs of a pool come to."""
    key = "scheduler_interface" if job.scheduler_interface else "interface"
    interface, where = job.scheduler_interface or job.interface, f"pool {name}"
    try:
        host = interface_address(interface) if interface else default_address()
    except OSError as error:
        names = ", ".join(interface_names())
        what = f"this host has no network interface {interface}, which it needs"
        todo = f"Submit from a login node of the site, or set pools.{name}.job.{key}: here are {names}."
        raise ResourceError(where, what, todo) from error
    try:
        free_port(host, job.scheduler_ports)
    except OSError as error:
        todo = f"Submit from another host of the site, or set pools.{name}.job.scheduler_ports."
        raise ResourceError(where, str(error), todo) from error
