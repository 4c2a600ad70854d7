"""Workers as SLURM jobs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from e2edist.config.site import PoolSpec

from . import PoolEnvironment, Setup
from ._batch_pool import NO_ADDRESS, BatchPool, job_settings, log_folder, open_batch_pool, tail_of
from ._containers import worker_command
from ._job_supervisor import call
from ._jobqueue import SLURMJob
from ._queues import queue_of


@dataclass(frozen=True, slots=True)
class Slurm:
    """SLURM as a batch system (see `Batch`)."""

    pool: str
    spec: PoolSpec
    place: PoolEnvironment
    address: str

    def script(self, name: str) -> str:
        """Return the job script of a worker."""
        spec, job = self.spec, self.spec.job
        # A job that was requeued must not be taken for its former self, should the scheduler still know that.
        worker = f"{name}.${{SLURM_RESTART_COUNT:-0}}"
        # Not by dask-jobqueue, which does not quote the folder.
        folder = str(log_folder(spec, self.place)).replace("%", "%%")  # which SLURM takes for a pattern
        log = f"{folder}/e2edist-{self.pool}-%j"
        directives = [f"--error={shlex.quote(f'{log}.err')}", f"--output={shlex.quote(f'{log}.out')}"]
        directives += [line for line in self._image() if not any(word in line for word in job.skip)]
        made = SLURMJob(
            self.address,
            name=worker,
            queue=job.queue or None,
            account=job.account or None,
            walltime=f"{job.walltime_min // 60:02d}:{job.walltime_min % 60:02d}:00",
            shebang="#!/usr/bin/env bash",
            job_cpu=spec.threads or 1,
            job_extra_directives=[*directives, *job.directives],
            python=worker_command(spec.container, job, worker, gpu=spec.provider != "cpu"),
            protocol=self.address.split("://", maxsplit=1)[0] + "://",
            **job_settings(self.pool, spec, self.place.tls_folder(spec)),
        )
        return str(made.job_script())

    def _image(self) -> list[str]:
        """Return the options by which shifter's plug-in fetches an image before the job starts."""
        spec = self.spec.container
        if spec.runtime != "shifter":
            return []
        modules = [f"--module={','.join(spec.modules)}"] if spec.modules else []
        return [f"--image={spec.image}", *modules]

    def submit(self, name: str) -> str:
        """Submit the job of a worker."""
        log_folder(self.spec, self.place).mkdir(parents=True, exist_ok=True)
        said = call("sbatch", "--parsable", *self.spec.job.submit_args, text=self.script(name))
        return said.strip().split(";")[0]

    def states(self, ids: Iterable[str]) -> dict[str, str]:
        """Return id -> state of the jobs that squeue still lists as alive."""
        return queue_of("slurm").states(ids)

    def cancel(self, ids: Iterable[str]) -> None:
        """Cancel jobs."""
        queue_of("slurm").cancel(ids)

    def log_tail(self, job: str) -> str:
        """Return the end of what a job wrote to stderr, or else to stdout."""
        folder = log_folder(self.spec, self.place)
        return tail_of(folder, f"e2edist-{self.pool}-{job}.err") or tail_of(
            folder, f"e2edist-{self.pool}-{job}.out"
        )


def make(name: str, spec: PoolSpec, setup: Setup, place: PoolEnvironment) -> BatchPool:
    """Submit the first jobs (see `e2edist.pools`)."""
    return open_batch_pool(name, spec, setup, place, lambda address: Slurm(name, spec, place, address))


def preview(name: str, spec: PoolSpec, folder: Path) -> str:
    """Return the job script of the pool's first worker (see `e2edist.pools`)."""
    return Slurm(name, spec, PoolEnvironment(folder), NO_ADDRESS).script(f"{name}-0")


def starts_at(name: str, spec: PoolSpec, folder: Path) -> str:
    """Return when SLURM expects to start a job of the pool submitted now; empty if it does not say."""
    said = call("sbatch", "--test-only", *spec.job.submit_args, text=preview(name, spec, folder), heard=True)
    found = re.search(r"to start at (\S+)", said)
    return found[1] if found else ""
