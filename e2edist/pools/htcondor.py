"""Workers as HTCondor jobs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from e2edist.config.site import PoolSpec
from e2edist.errors import ResourceError, SpecError

from . import PoolEnvironment, Setup
from ._batch_pool import NO_ADDRESS, BatchPool, job_settings, log_folder, open_batch_pool, tail_of
from ._certificates import certificate_files
from ._containers import htcondor_attributes, literal, worker_command
from ._job_supervisor import call
from ._jobqueue import HTCondorJob
from ._queues import queue_of


@dataclass(frozen=True, slots=True)
class HTCondor:
    """HTCondor as a batch system (see `Batch`)."""

    pool: str
    spec: PoolSpec
    place: PoolEnvironment
    address: str

    def script(self, name: str) -> str:
        """Return the submit file of a worker.

        Raises
        ------
        SpecError
            The pool's settings are not for HTCondor.
        """
        spec, job, where = self.spec, self.spec.job, f"pool {self.pool}"
        if job.launcher:
            raise SpecError(where, "job.launcher is for SLURM", "Let each job hold one worker.")
        folder = Path() if self._ships() else self.place.tls_folder(spec)
        settings = job_settings(self.pool, spec, folder)
        for key in ("job_script_prologue", "worker_extra_args"):
            settings[key] = [literal(text) for text in settings[key]]
        # A job that was put back into the queue must not be taken for its former self.
        worker = literal(f"{name}.$(date +%s)")
        try:
            made = HTCondorJob(
                self.address,
                name=worker,
                disk=f"{job.disk_gib}GiB",
                shebang="#!/usr/bin/env condor_submit",
                submit_command_extra=[],
                cancel_command_extra=[],
                job_extra_directives=self._attributes() | job.attributes,
                python=literal(worker_command(spec.container, job, worker, gpu=spec.provider != "cpu")),
                protocol=self.address.split("://", maxsplit=1)[0] + "://",
                **settings,
            )
        except KeyError as error:
            raise SpecError(where, f"job.skip names {error}, which is not written") from error
        return str(made.job_script())

    def _ships(self) -> bool:
        """Return whether the certificates travel with the job."""
        return self.spec.job.ship_certificates or not self.spec.job.shared_disk

    def _attributes(self) -> dict[str, str]:
        spec, job = self.spec, self.spec.job
        lines = {"batch_name": f"e2edist-{self.pool}", "+MaxRuntime": str(job.walltime_min * 60)}
        log = f"{literal(str(log_folder(spec, self.place)))}/e2edist-{self.pool}-$(ClusterId)"
        lines |= {"output": f"{log}.out", "error": f"{log}.err", "log": f"{log}.log"}
        # Workers end by being removed: what was not streamed is lost then.
        lines |= {"stream_output": "True", "stream_error": "True"}
        lines |= {"request_gpus": str(job.gpus)} if job.gpus else {}
        if self._ships():
            files = ",".join(map(str, certificate_files(self.place.tls_folder(spec))))
            lines |= {"should_transfer_files": "YES", "transfer_input_files": files}
            lines["transfer_output_files"] = '""'
        return lines | htcondor_attributes(spec.container)

    def submit(self, name: str) -> str:
        """Submit the job of a worker."""
        log_folder(self.spec, self.place).mkdir(parents=True, exist_ok=True)
        # From stdin, as no file is named: a dash would be taken for -verbose.
        out = call("condor_submit", "-terse", *self.spec.job.submit_args, text=self.script(name))
        found = re.search(r"^(\d+\.\d+) - ", out, re.MULTILINE)
        if found is None:
            raise ResourceError("condor_submit", f"named no job: {out.strip()[:500]}")
        return found[1]

    def states(self, ids: Iterable[str]) -> dict[str, str]:
        """Return id -> state of the jobs that are in the queue."""
        return queue_of("htcondor").states(ids)

    def cancel(self, ids: Iterable[str]) -> None:
        """Remove jobs; one that is gone is no fault."""
        queue_of("htcondor").cancel(ids)

    def log_tail(self, job: str) -> str:
        """Return the end of what a job wrote to stderr, or else of HTCondor's own log of it."""
        folder = log_folder(self.spec, self.place)
        log = f"e2edist-{self.pool}-{job.split('.', maxsplit=1)[0]}"
        return tail_of(folder, f"{log}.err") or tail_of(folder, f"{log}.out") or tail_of(folder, f"{log}.log")


def make(name: str, spec: PoolSpec, setup: Setup, place: PoolEnvironment) -> BatchPool:
    """Submit the first jobs (see `e2edist.pools`)."""
    return open_batch_pool(name, spec, setup, place, lambda address: HTCondor(name, spec, place, address))


def preview(name: str, spec: PoolSpec, folder: Path) -> str:
    """Return the submit file of the pool's first worker (see `e2edist.pools`)."""
    return HTCondor(name, spec, PoolEnvironment(folder), NO_ADDRESS).script(f"{name}-0")
