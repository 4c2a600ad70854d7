"""Which GPU each worker of this machine gets."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from e2edist.config.site import PoolSpec
from e2edist.errors import ResourceError

#: What CUDA reads as it starts.
VARIABLE = "CUDA_VISIBLE_DEVICES"
_DEVICES = Path("/dev")


def visible_gpus(environment: Mapping[str, str] = os.environ, devices: Path = _DEVICES) -> tuple[str, ...]:
    """Return the GPUs that a process with `environment` may use, as CUDA_VISIBLE_DEVICES names them.

    Without that variable they are as many as there are device files: in a container those it was given.
    """
    named = environment.get(VARIABLE)
    if named is None:
        return tuple(str(i) for i, _ in enumerate(devices.glob("nvidia[0-9]*")))
    found: list[str] = []
    for word in map(str.strip, named.split(",")):
        if word in {"", "-1"}:  # from there on CUDA sees none
            break
        found.append(word)
    return tuple(found)


def gpus_of_workers(name: str, spec: PoolSpec) -> tuple[str, ...]:
    """Return the GPU of each worker of a local pool, in turn; empty without GPUs.

    Raises
    ------
    ResourceError
        Workers would share a GPU beyond ``workers_per_gpu``; says how many may be.
    """
    gpus, workers = visible_gpus() if spec.provider != "cpu" else (), spec.workers or 1
    if not gpus:  # the engine says what is missing
        return ()
    needed = -(-workers // len(gpus))
    if needed > spec.workers_per_gpu:
        most = len(gpus) * spec.workers_per_gpu
        what = f"{workers} workers on {len(gpus)} GPUs: {needed} would share one"
        todo = f"Take at most {most} workers, or write workers_per_gpu = {needed} in [pools.{name}]."
        raise ResourceError(f"pool {name}", what, todo)
    return tuple(gpus[i % len(gpus)] for i in range(workers))
