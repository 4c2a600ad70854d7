"""Workers on this machine: processes of an embedded Dask cluster."""

from __future__ import annotations

import logging
import os
import warnings

from distributed import Client, LocalCluster

from e2edist.errors import CampaignError
from e2edist.spec.site import PoolSpec

from . import Place, Setup
from ._dask import DaskPool, settings
from ._hub import dashboard_address
from ._signals import signals_blocked

log = logging.getLogger(__name__)

_LOOPBACK = "127.0.0.1"
#: Workers that don't end by themselves are killed after so long.
_CLOSE_S = 10
_START_S = 120
#: A worker that dies while it starts (memory is short for a moment) is worth another start.
_STARTS = 3


def make(name: str, spec: PoolSpec, setup: Setup, place: Place) -> DaskPool:
    """Start worker processes that share nothing with the driver but loopback (see `e2edist.pools`).

    Raises
    ------
    CampaignError
        The workers don't start, several times in a row.
    """
    workers = spec.workers or 1
    threads = spec.threads or max(1, len(os.sched_getaffinity(0)) // workers)
    security = place.certificates(spec) if spec.tls else None
    options = {
        "n_workers": workers,
        "threads_per_worker": threads,
        "memory_limit": f"{spec.memory_gib}GiB" if spec.memory_gib else 0,
        "host": _LOOPBACK,
        "silence_logs": logging.CRITICAL,
        "protocol": "tls://" if spec.tls else "tcp://",
        "security": security,
    }
    for left in reversed(range(_STARTS)):
        try:
            with settings(), signals_blocked(), warnings.catch_warnings():
                # Another campaign may take the port between our look and Dask's: any other one will do.
                warnings.filterwarnings("ignore", message="Port .* is already in use")
                cluster = LocalCluster(**options, dashboard_address=dashboard_address())
                client = Client(cluster, set_as_default=False)
                client.wait_for_workers(workers, timeout=_START_S)
                break
        # AssertionError: distributed takes for granted that a thread starts within ten seconds.
        except (OSError, TimeoutError, RuntimeError, AssertionError) as error:
            what = f"{workers} local workers don't start: {error}"
            if not left:
                raise CampaignError(f"pool {name}", what, "The same command does what is left.") from error
            log.warning("pool %s: %s", name, what)
    return DaskPool(name, client, setup, lambda: cluster.close(timeout=_CLOSE_S))
