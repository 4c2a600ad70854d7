"""Workers on this machine: processes of an embedded Dask cluster."""

from __future__ import annotations

from e2edist.config.site import PoolSpec

from ._environment import PoolEnvironment
from ._gpus import gpus_of_workers
from .api import Pool, Setup


def make(name: str, spec: PoolSpec, setup: Setup, environment: PoolEnvironment) -> Pool:
    """Start the workers, each with a GPU of its own (see `e2edist.pools.api`).

    Raises
    ------
    ResourceError
        There are fewer GPUs than workers that want one.
    """
    gpus = gpus_of_workers(name, spec)
    from ._local_cluster import open_local_pool  # Dask

    return open_local_pool(name, spec, setup, environment, gpus)
