"""A process of Dask workers whose chunks only take time: ``python simulated_workers.py ADDRESS N SECONDS``.

They speak the real protocol with the real scheduler, so what it costs there is what a campaign costs.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sys
import time
from typing import Any

import dask
from distributed import Worker
from simulated import make_receipt

from e2edist.pools._pool_job import resource_of
from e2edist.records.chunk import Chunk
from e2edist.worker import run_chunk as real

_SETTINGS = {
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.profile.enabled": False,
    "distributed.comm.timeouts.connect": "120s",
    "distributed.admin.tick.limit": "1 hour",
}


def simulate(seconds: float, spread: float = 0.2) -> None:
    """Put a chunk that takes about so many seconds in the place of the real one."""

    def run_chunk(key: str, chunk: Chunk) -> dict[str, Any]:
        took_s = max(0.0, random.gauss(seconds, spread * seconds))
        time.sleep(took_s)
        return make_receipt(chunk, key.split(":", maxsplit=1)[0], took_s * 1e3)

    run_chunk.__module__, run_chunk.__qualname__ = real.__name__, "run_chunk"
    real.run_chunk = run_chunk  # type: ignore[assignment]


async def serve(address: str, count: int, pool: str) -> None:
    """Run `count` workers until the scheduler closes."""
    name = f"{pool}-{os.getpid()}"
    options = {"nthreads": 1, "resources": {resource_of(pool): 1}, "dashboard": False, "memory_limit": 0}
    workers = [Worker(address, name=f"{name}-{i}", validate=False, **options) for i in range(count)]
    for start in range(0, count, 32):
        await asyncio.gather(*workers[start : start + 32])
    await asyncio.gather(*(worker.finished() for worker in workers))


if __name__ == "__main__":
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    dask.config.set(_SETTINGS)
    simulate(float(sys.argv[3]))
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), "gpu"))
