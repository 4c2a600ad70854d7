"""What a campaign can take at most: jobs, their size and walltime; node and GPU hours, and the charge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from e2edist.config._batch_systems import find_batch_system

from .usage import pool_facts

if TYPE_CHECKING:
    from e2edist.config.site import PoolSpec


@dataclass(frozen=True, slots=True)
class UpperLimit:
    """The workers of a pool, and what they take if each job lasts for its whole walltime.

    A job that was lost is replaced and takes its time anew; that is not in the hours.

    Attributes
    ----------
    kind : str
        Of the pool.
    jobs, jobs_most : int
        Batch jobs at first, and after growing; 0 where the workers are no batch jobs.
    workers : int
        Of one job; without jobs, of the pool, 0 where nobody knows.
    threads : int
        Of one worker, 0 where nobody knows.
    memory_gib : float or None
        Of one worker; None where it is not limited.
    walltime_min : int or None
        Of one job.
    nodes : float
        Nodes of one job that are charged, a fraction where it shares one.
    core_h, node_h, gpu_h, charge : float or None
        Of all jobs for their whole walltime; None without jobs: nobody knows how long such workers live.
        Cores are threads of workers; nodes are those that are charged.
    unit : str
        Of the charge.
    """

    pool: str
    kind: str
    jobs: int
    jobs_most: int
    workers: int
    threads: int
    memory_gib: float | None
    walltime_min: int | None
    nodes: float
    core_h: float | None
    node_h: float | None
    gpu_h: float | None
    charge: float | None
    unit: str


def upper_limits(pools: Mapping[str, PoolSpec]) -> list[UpperLimit]:
    """Return what each pool can take at most."""
    return [_limit(name, spec) for name, spec in pools.items()]


def _limit(name: str, spec: PoolSpec) -> UpperLimit:
    facts, shared = pool_facts(spec), spec.job.workers_per_job
    threads = facts["threads"]
    if find_batch_system(spec.kind) is None:
        nothing = (None, 0.0, None, None, None, None, facts["unit"])
        here = spec.kind == "local"  # nobody knows of workers that somebody else has started
        workers, threads = (spec.workers or 1, threads) if here else (spec.workers, spec.threads)
        return UpperLimit(name, spec.kind, 0, 0, workers, threads, spec.memory_gib, *nothing)
    first, most = -(-(spec.workers or 1) // shared), -(-spec.workers_most // shared)
    job_h = max(first, most) * spec.job.walltime_min / 60
    node_h = job_h * facts["nodes"]
    taken = (job_h * shared * threads, node_h, job_h * facts["gpus"], node_h * facts["factor"])
    return UpperLimit(
        name,
        spec.kind,
        first,
        max(first, most),
        shared,
        threads,
        spec.memory_gib or 2 * threads,  # which jobs ask for
        spec.job.walltime_min,
        facts["nodes"],
        *taken,
        facts["unit"],
    )
