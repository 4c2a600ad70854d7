"""Pools of batch jobs: one scheduler for all of a campaign, supervised jobs for each pool."""

from __future__ import annotations

import logging
import pickle
import secrets
from contextlib import suppress
from math import inf
from typing import Any

from distributed import Client

from e2edist.config.site import PoolSpec
from e2edist.records.submitted_jobs import SubmittedJob, record_job

from . import _jobqueue  # noqa: F401 - in the main thread: it touches signals
from ._dask_config import table_text
from ._dask_pool import DaskPool
from ._environment import PoolEnvironment
from ._job_supervisor import JobSupervisor
from ._pool_job import PoolJob, resource_of
from ._pool_queue import PoolQueue
from ._preemption import PreemptionPlugin, SigtermGuardPlugin, stop_taking_tasks, topic_of
from ._scheduler_calls import tell_workers
from ._worker_events import LEFT, SET_UP, LeavingPlugin
from ._worker_job import job_of
from .api import BatchSystem, Setup

log = logging.getLogger(__name__)


class BatchPool(DaskPool):
    """Workers that are batch jobs; only tasks that ask for the pool's own resource run on them."""

    def __init__(self, client: Client, setup: Setup, jobs: PoolQueue, environment: PoolEnvironment) -> None:
        name, spec = jobs.job.pool, jobs.job.spec
        resource = resource_of(name)
        client.subscribe_topic(topic_of(name), lambda event: self._on_preemption(event[1]))
        for plugin in (PreemptionPlugin, SigtermGuardPlugin):
            client.register_plugin(plugin(name, resource, spec.job.notice_s))
        super().__init__(name, client, setup, resource=resource, stopping=lambda: environment.giving_up)
        client.register_plugin(LeavingPlugin(self._topic, resource))
        self._environment, self._title = environment, jobs.system.title
        self._dashboard = environment.scheduler(spec).dashboard
        shared = spec.job.workers_per_job
        wanted, most = -(-(spec.workers or 1) // shared), -(-spec.workers_most // shared)
        self._supervisor = JobSupervisor(jobs, spec.job, name, wanted, self)
        self._supervisor.most, self._supervisor.width = most, shared * (spec.threads or 1)
        # A job that outlived an earlier run must not have the name of one of ours.
        self._supervisor.run = secrets.token_hex(2)
        self._supervisor.submitted = lambda job, worker: record_job(
            environment.folder, SubmittedJob(spec.kind, name, job, worker)
        )
        try:
            self._supervisor.start()
        except BaseException:
            super().close()
            raise

    @property
    def dashboard(self) -> str:
        """Address of the scheduler's dashboard, on loopback."""
        return self._dashboard

    @property
    def failure_reason(self) -> str:
        """Why there will be no more workers; empty while there may be."""
        return self._supervisor.failure_reason

    @property
    def waits_for(self) -> str:
        """What the batch system says that queued jobs wait for; empty where it says nothing."""
        why = self._supervisor.waits_for
        return f"{self._title}: {why}" if why else ""

    def update_demand(self, longest_s: float, left: int) -> None:
        """Note how long a chunk may take, and how many are left: no job is submitted without need."""
        self._supervisor.longest_s, self._supervisor.left = longest_s, left
        if not left:
            self._supervisor.wanted = 0

    def counts(self) -> dict[str, int]:
        """Return how many jobs are queued, running, and joined as workers."""
        return self._supervisor.counts()

    def job_seconds(self) -> tuple[float, float]:
        """Return the seconds that all jobs have run so far, and those of them until their workers came."""
        return self._supervisor.job_seconds()

    def _on_event(self, event: tuple[float, tuple[str, bytes]]) -> None:
        key, value = event[1]
        if key in (SET_UP, LEFT):
            self._supervisor.hear(*pickle.loads(value))  # noqa: S301 - our own
        else:
            super()._on_event(event)

    def _on_preemption(self, worker: str) -> None:
        """Note a worker that the batch system wants to end; called by the client's own thread."""
        self.draining.add(worker)
        self._refreshed = -inf  # it has no thread for us any more
        # By us, where no job is wanted any more.
        level = logging.WARNING if self._supervisor.wanted else logging.INFO
        log.log(level, "pool %s: worker %s was told to end: it takes no more chunks", self.name, worker)

    def _on_setup_failed(self, worker: str, why: str) -> None:
        """Let the supervisor end a worker that can't be set up; called by the client's own thread."""
        log.warning("pool %s: worker %s can't be set up: %s", self.name, worker, why)
        self._supervisor.setup_failures[job_of(worker)] = why

    def joined(self) -> set[str]:
        """Return the names of the jobs whose workers are there and set up."""
        names, unrunnable = self._ask(_names_and_unrunnable, resource=self._resource)
        self._cancel(unrunnable)
        return {job_of(name) for name in names}

    def forget(self, names: list[str]) -> None:
        """Let go of jobs or workers that are gone; their tasks come back as lost."""
        self._cancel(self._ask(_remove_workers, names=names))

    def drain(self, names: list[str]) -> list[str]:
        """Give no more tasks to the workers of some jobs; return the names of these workers."""
        workers: dict[str, str] = self._ask(_close_off, names=names, resource=self._resource)
        if workers:
            self.draining.update(workers.values())
            self._refreshed = -inf
            tell_workers(self._client, stop_taking_tasks, self._resource, workers=list(workers))
        return list(workers.values())

    def scale_down(self, names: list[str], number: int) -> list[str]:
        """End the workers of at most so many of these jobs that have nothing to do; return the jobs."""
        found: list[str] = self._ask(_end_idle, names=names, number=number)
        return found

    def close(self) -> None:
        """Let go of all tasks, so that no worker waits for their end, and cancel the jobs."""
        self._supervisor.wanted, self._supervisor.at_once = 0, self._environment.at_once
        with suppress(OSError, TimeoutError):
            self._client.cancel(list(self._running.values()))
        self._supervisor.close()
        super().close()


def _names_and_unrunnable(resource: str, dask_scheduler: Any = None) -> tuple[list[str], list[str]]:
    """Return the names of a pool's workers that are set up and, where it has none at all, its tasks' keys."""
    there = [worker for worker in dask_scheduler.workers.values() if resource in worker.resources]
    # One that can't be set up has given up its resource by then.
    fit = [worker for worker in there if worker in dask_scheduler.running and worker.resources[resource]]
    names = [str(worker.name) for worker in fit]
    # With a worker that has still to be set up they only wait for it.
    waiting = () if there else dask_scheduler.unrunnable
    return names, [task.key for task in waiting if resource in (task.resource_restrictions or ())]


async def _remove_workers(names: list[str], dask_scheduler: Any = None) -> list[str]:
    """Let go of the workers of jobs, blaming no task; return the keys of what they ran."""
    addresses = list(_workers_of(names, dask_scheduler))
    keys = [task.key for address in addresses for task in dask_scheduler.workers[address].processing]
    for address in addresses:
        await dask_scheduler.remove_worker(address, stimulus_id="e2edist-gone", expected=True)
    return keys


async def _end_idle(names: list[str], number: int, dask_scheduler: Any = None) -> list[str]:
    """End the workers of at most `number` jobs, of which no worker has anything to do; return the names."""
    ended: list[str] = []
    for name in names:
        workers = [dask_scheduler.workers[address] for address in _workers_of([name], dask_scheduler)]
        if len(ended) < number and not any(worker.processing or worker.has_what for worker in workers):
            ended.append(name)
            for worker in workers:
                await dask_scheduler.remove_worker(worker.address, stimulus_id="e2edist-idle", expected=True)
    return ended


def _close_off(names: list[str], resource: str, dask_scheduler: Any = None) -> dict[str, str]:
    """Let the workers of jobs get no more tasks; return their addresses and names."""
    workers = _workers_of(names, dask_scheduler)
    for address in workers:
        dask_scheduler.add_resources(worker=address, resources={resource: 0})
    return workers


def _workers_of(names: list[str], dask_scheduler: Any = None) -> dict[str, str]:
    """Return address -> name of the workers of some jobs, or of these workers."""
    workers = {address: str(worker.name) for address, worker in dask_scheduler.workers.items()}
    return {address: name for address, name in workers.items() if job_of(name) in names or name in names}


def open_batch_pool(
    system: BatchSystem, name: str, spec: PoolSpec, setup: Setup, environment: PoolEnvironment
) -> BatchPool:
    """Submit the first jobs of a pool, whose workers come to the campaign's one scheduler."""
    scheduler = environment.scheduler(spec)
    job = PoolJob(name, spec, environment.folder, scheduler.address, table_text())
    return BatchPool(scheduler.connect(), setup, PoolQueue(system, job), environment)
