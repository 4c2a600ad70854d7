"""Pools of batch jobs: one scheduler for all of a campaign, a crew of jobs for each pool."""

from __future__ import annotations

import logging
import os
import secrets
import shlex
from collections.abc import Callable
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import Any

from distributed import Client

from e2edist.config.site import PoolSpec
from e2edist.process import expand_home
from e2edist.records.submitted_jobs import SubmittedJob, record_job

from . import PoolEnvironment, Setup
from ._certificates import worker_options
from ._containers import check_job_path
from ._dask_config import table_text
from ._dask_pool import DaskPool
from ._job_supervisor import Batch, JobSupervisor
from ._preemption import PreemptionPlugin, SigtermGuardPlugin, give_up, topic_of
from ._scheduler_calls import tell_workers

log = logging.getLogger(__name__)

#: Stands in previews for the address that only a run knows.
NO_ADDRESS = "tls://SCHEDULER:PORT"


class BatchPool(DaskPool):
    """Workers that are batch jobs; only tasks that ask for the pool's own resource run on them."""

    def __init__(
        self, name: str, client: Client, setup: Setup, batch: Batch, spec: PoolSpec, place: PoolEnvironment
    ) -> None:
        resource = resource_of(name)
        client.subscribe_topic(topic_of(name), lambda event: self._hear_leaving(event[1]))
        for plugin in (PreemptionPlugin, SigtermGuardPlugin):
            client.register_plugin(plugin(name, resource, spec.job.notice_s))
        super().__init__(name, client, setup, resource=resource, stopping=lambda: place.giving_up)
        self._place = place
        shared = spec.job.workers_per_job
        jobs, most = -(-(spec.workers or 1) // shared), -(-spec.workers_most // shared)
        self._crew = JobSupervisor(
            batch, spec.job, name, jobs, self._joined, self._drain, self._drop, self._dismiss
        )
        self._crew.most, self._crew.width = most, shared * (spec.threads or 1)
        # A job that outlived an earlier run must not have the name of one of ours.
        self._crew.run = secrets.token_hex(2)
        self._crew.submitted = lambda job, worker: record_job(
            place.folder, SubmittedJob(spec.kind, name, job, worker)
        )
        self._dashboard = str(place.hub(spec).dashboard)
        try:
            self._crew.start()
        except BaseException:
            super().close()
            raise

    @property
    def dashboard(self) -> str:
        """Address of the scheduler's dashboard, on loopback."""
        return self._dashboard

    @property
    def trouble(self) -> str:
        """Why there will be no more workers; empty while there may be."""
        return self._crew.trouble

    def expect(self, longest_s: float, left: int) -> None:
        """Note how long a chunk may take, and how many are left: no job is submitted without need."""
        self._crew.longest_s, self._crew.left = longest_s, left
        if not left:
            self._crew.wanted = 0

    def counts(self) -> dict[str, int]:
        """Return how many jobs are queued, running, and joined as workers."""
        return self._crew.counts()

    def _hear_leaving(self, worker: str) -> None:
        """Note a worker that the batch system wants to end; called by the client's own thread."""
        self.leaving.add(worker)
        self._looked = -inf  # it has no thread for us any more
        # By us, where no job is wanted any more.
        level = logging.WARNING if self._crew.wanted else logging.INFO
        log.log(level, "pool %s: worker %s was told to end: it takes no more chunks", self.name, worker)

    def _refuse(self, worker: str, why: str) -> None:
        """Let the crew end the job of a worker that can't be set up; called by the client's own thread."""
        log.warning("pool %s: worker %s can't be set up: %s", self.name, worker, why)
        self._crew.unfit[job_of(worker)] = why

    def _joined(self) -> set[str]:
        names, stranded = self._ask(_names_and_stranded, resource=self._resource)
        self._hand_back(stranded)
        return {job_of(name) for name in names}

    def _drop(self, names: list[str]) -> None:
        self._hand_back(self._ask(_remove_workers, names=names))

    def _drain(self, names: list[str]) -> list[str]:
        workers: dict[str, str] = self._ask(_close_off, names=names, resource=self._resource)
        if workers:
            self.leaving.update(workers.values())
            self._looked = -inf
            tell_workers(self._client, give_up, self._resource, workers=list(workers))
        return list(workers.values())

    def _dismiss(self, names: list[str], number: int) -> list[str]:
        found: list[str] = self._ask(_end_idle, names=names, number=number)
        return found

    def close(self) -> None:
        """Let go of all tasks, so that no worker waits for their end, and cancel the jobs."""
        self._crew.wanted, self._crew.hurried = 0, self._place.at_once
        with suppress(OSError, TimeoutError):
            self._client.cancel(list(self._running.values()))
        self._crew.close()
        super().close()


def job_of(worker: str) -> str:
    """Return the name of the job of a worker: workers that share a job are NAME.0, NAME.1 ..."""
    return worker.split(".", maxsplit=1)[0]


def resource_of(pool: str) -> str:
    """Return the name of the Dask resource of a pool's workers."""
    return f"e2edist-{pool}"


def _names_and_stranded(resource: str, dask_scheduler: Any = None) -> tuple[list[str], list[str]]:
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


def job_settings(name: str, spec: PoolSpec, certificates: Path) -> dict[str, Any]:
    """Return the arguments of a dask-jobqueue job that are the same for all batch systems.

    Parameters
    ----------
    certificates : Path
        Their folder, as the job sees it.
    """
    job = spec.job
    threads = spec.threads or 1
    return {
        # All there are: dask-jobqueue looks up in Dask's configuration what is missing or None.
        "job_name": f"e2edist-{name}",
        "cores": threads,
        "memory": f"{spec.memory_gib or 2 * threads}GiB",
        "processes": 1,
        "worker_command": "e2edist.pools._worker",
        "death_timeout": job.death_timeout_s,
        "local_directory": job.local_directory or None,
        "job_script_prologue": list(job.prologue),
        "job_directives_skip": list(job.skip),
        "interface": job.interface,
        "worker_extra_args": [
            "--resources",
            shlex.quote(f"{resource_of(name)}={threads}"),
            "--no-dashboard",
            *(["--dask-table", shlex.quote(table)] if (table := table_text()) else []),
            # Here and not as dask-jobqueue's security, which quotes nothing.
            *worker_options(certificates),
            *job.worker_args,
        ],
    }


def log_folder(spec: PoolSpec, place: PoolEnvironment) -> Path:
    """Return the folder of the jobs' logs.

    Raises
    ------
    SpecError
        It can't stand in a job script.
    """
    named = spec.job.log_directory
    folder = expand_home(os.path.expandvars(named)) if named else place.folder / "logs"
    check_job_path(folder)
    return folder


def tail_of(folder: Path, pattern: str, lines: int = 10) -> str:
    """Return the last lines of the newest file of `folder` that matches `pattern`."""
    found = sorted(folder.glob(pattern), key=lambda path: path.stat().st_mtime)
    if not found:
        return ""
    text = found[-1].read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return "\n".join(text[-lines:])


def open_batch_pool(
    name: str, spec: PoolSpec, setup: Setup, place: PoolEnvironment, make: Callable[[str], Batch]
) -> BatchPool:
    """Start a pool on the campaign's one scheduler; `make` gets its address."""
    hub = place.hub(spec)
    return BatchPool(name, hub.connect(), setup, make(hub.address), spec, place)
