"""What a host must have before Dask is started on it: without, Dask waits for ever or floods the terminal."""

from __future__ import annotations

import resource
import socket
import sys
from pathlib import Path

from e2edist.config.site import PoolSpec
from e2edist.errors import ResourceError

from ._gpus import gpus_of_workers

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
    """
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
