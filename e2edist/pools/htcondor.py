"""Workers as HTCondor jobs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dask_jobqueue.htcondor import HTCondorJob

from e2edist.errors import ResourceError
from e2edist.spec.site import PoolSpec

from . import Place, Setup
from ._batch import BatchPool, job_settings, log_folder, open_batch_pool, preview_with, tail_of
from ._containers import htcondor_attributes, python_command
from ._crew import call
from ._queues import queue_of


@dataclass(frozen=True, slots=True)
class HTCondor:
    """HTCondor as a batch system (see `Batch`)."""

    pool: str
    spec: PoolSpec
    place: Place
    address: str
    security: Any

    def script(self, name: str) -> str:
        """Return the submit file of a worker."""
        spec, job = self.spec, self.spec.job
        attributes = {"request_gpus": str(job.gpus)} if job.gpus else {}
        # A job that its node loses must not come back by itself: the crew replaces it.
        attributes |= {"+MaxRuntime": str(job.walltime_min * 60)} | htcondor_attributes(spec.container)
        made = HTCondorJob(
            self.address,
            name=name,
            disk=f"{job.disk_gib}GiB",
            job_extra_directives=attributes | job.attributes,
            python=python_command(spec.container, gpu=spec.provider != "cpu"),
            protocol=self.address.split("://", maxsplit=1)[0] + "://",
            security=self.security,
            **job_settings(self.pool, spec, self.place),
        )
        return str(made.job_script())

    def submit(self, name: str) -> str:
        """Submit the job of a worker."""
        out = call("condor_submit", "-", text=self.script(name))
        found = re.search(r"submitted to cluster (\d+)", out)
        if found is None:
            raise ResourceError("condor_submit", f"named no cluster: {out.strip()}")
        return f"{found[1]}.0"

    def states(self, ids: Iterable[str]) -> dict[str, str]:
        """Return id -> state of the jobs that are in the queue."""
        return queue_of("htcondor").states(ids)

    def cancel(self, ids: Iterable[str]) -> None:
        """Remove jobs; one that is gone is no fault."""
        queue_of("htcondor").cancel(ids)

    def log_tail(self, job: str) -> str:
        """Return the end of what a job wrote to stderr, or else of HTCondor's own log of it."""
        folder = log_folder(self.spec, self.place)
        return tail_of(folder, f"worker-{job}.err") or tail_of(
            folder, f"worker-{job.split('.', maxsplit=1)[0]}.log"
        )


def make(name: str, spec: PoolSpec, setup: Setup, place: Place) -> BatchPool:
    """Submit the first jobs (see `e2edist.pools`)."""
    return open_batch_pool(name, spec, setup, place, lambda a, s: HTCondor(name, spec, place, a, s))


def preview(name: str, spec: PoolSpec, folder: Path) -> str:
    """Return the submit file of the pool's first worker (see `e2edist.pools`)."""
    return preview_with(folder, lambda place, address: HTCondor(name, spec, place, address, None), name)
