"""Memory checks before any job: what a worker will need, and which size would fit if it has less."""

from __future__ import annotations

import os

from e2edist.config.site import PoolSpec, threads_of
from e2edist.config.tagger import TaggerSpec
from e2edist.counted import counted
from e2edist.engines import EngineOptions
from e2edist.errors import ResourceError
from e2edist.records.plan import Plan

_GIB = 1024**3
#: A chunk is in memory compressed, decompressed, as columns and as frames: measured factor on its raw bytes.
_COPIES = 4
#: A batch is in memory as images, and as a network's first maps at half the width and height of 16 channels:
#: in all at least this many times its own bytes.
_MAPS = 3


def _memory_of(pool: PoolSpec) -> float:
    """Return the bytes that a worker may use: what the pool says, or its share of this machine."""
    if pool.memory_gib:
        return pool.memory_gib * _GIB
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return machine / (pool.workers or 1) if pool.kind == "local" else float(machine)


def check_batch(tagger: TaggerSpec, pool: str, spec: PoolSpec, options: EngineOptions) -> None:
    """Refuse a batch of images that can't fit into the memory of a worker.

    Raises
    ------
    ResourceError
        Names the batch that would fit.
    """
    batch, threads, have = options.batch or tagger.batch, threads_of(spec), _memory_of(spec)
    image = len(tagger.channels) * tagger.crop.size**2 * 4 * _MAPS * threads
    if batch * image > have:
        sizes = f"{batch * image / _GIB:.1f} GiB in {counted(threads, 'thread')}, it has {have / _GIB:.1f}"
        what = f"a batch of {counted(batch, 'image')} needs {sizes}"
        raise ResourceError(f"pool {pool}", what, f"Set --batch {max(1, int(have / image))} or less.")


def check_chunks(clusters: Plan, plan: Plan, pools: dict[str, PoolSpec]) -> None:
    """Refuse chunks that can't fit into the memory of a worker.

    Parameters
    ----------
    clusters : Plan
        The same files with a chunk a cluster: what can't be made smaller.
    plan : Plan
        With the chunks that are wanted.

    Raises
    ------
    ResourceError
        Names the size of chunk that would fit, where there is one.
    """
    largest = _largest(plan)
    for name, pool in pools.items():
        threads, have = threads_of(pool), _memory_of(pool)
        need = largest * plan.event_bytes * _COPIES * threads
        if need > have:
            fits = _fitting(clusters, int(have / (plan.event_bytes * _COPIES * threads)))
            sizes = f"{need / _GIB:.1f} GiB in {counted(threads, 'thread')}, it has {have / _GIB:.1f}"
            what = f"chunks of {counted(largest, 'event')} need {sizes}"
            todo = (
                f"Set --chunk-events {fits} or less" if fits else "Its clusters are that large: more memory"
            )
            raise ResourceError(f"pool {name}", what, f"{todo}, or fewer threads.")


def _largest(plan: Plan) -> int:
    return max((chunk.events for chunk in plan.chunks()), default=0)


def _fitting(clusters: Plan, limit: int) -> int:
    """Return a chunk_events whose chunks, which end where clusters end, have `limit` events at most, or 0."""
    wanted = limit
    while wanted > 0:
        over = _largest(clusters.with_chunks(wanted)) - limit
        if over <= 0:
            return wanted
        wanted -= over
    return 0
