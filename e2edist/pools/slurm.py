"""SLURM: workers and controllers as jobs of sbatch."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from math import inf
from typing import ClassVar

from e2edist.config.controller import ControllerSpec
from e2edist.config.jobs import ContainerSpec
from e2edist.errors import ResourceError

from .api import (
    BatchSystem,
    ControllerJob,
    Objection,
    PoolJob,
    as_clock,
    call,
    jobqueue_script,
    worker_command,
)

_QUEUED = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT"}
_RUNNING = {"RUNNING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT"}
#: It may be gone soon, or be queued anew.
_ENDING = "COMPLETING"
#: A start that SLURM has planned, as 2026-11-29T14:30:00; else it says N/A.
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d")
#: Reasons for which a queued job waits for ever.
_STUCK = {"BadConstraints", "DependencyNeverSatisfied", "InvalidAccount", "InvalidQOS", "PartitionTimeLimit"}


class Slurm(BatchSystem):
    """SLURM as a batch system (see `BatchSystem`)."""

    title = "SLURM"
    commands = ("sbatch", "squeue", "scancel")
    probe = ("squeue", "--me", "--noheader")
    dry_run = ("sbatch", "--test-only")
    variables = ("SLURM_CONF",)
    unsupported: ClassVar = {
        "shared_disk": "SLURM's nodes need a disk that submit sees too",
        "attributes": "write job.directives",
    }

    signs: ClassVar = {
        "invalid account": ("account", "queue"),
        "invalid partition": ("queue",),
        "partition not specified": ("queue",),
        "no partition": ("queue",),
        "PartitionTimeLimit": ("walltime_min", "queue"),
        "time limit is invalid": ("walltime_min",),
        "time limit specification": ("walltime_min",),
        "InvalidQOS": ("directives",),
        "invalid qos": ("directives",),
        "memory specification": ("memory_gib", "queue"),
        "cpu count": ("threads", "queue"),
        "more processors requested": ("threads", "queue"),
        "node configuration is not available": ("threads", "memory_gib", "queue"),
        "BadConstraints": ("threads", "memory_gib", "directives"),
    }
    why_queued = "squeue --me --start"

    def job_script(self, job: PoolJob, name: str) -> str:
        """Return the job script of a worker."""
        spec, table = job.spec, job.spec.job
        # A job that was requeued must not be taken for its former self, should the scheduler still know that.
        worker = f"{name}.${{SLURM_RESTART_COUNT:-0}}"
        # Not by dask-jobqueue, which does not quote the folder.
        folder = str(job.logs).replace("%", "%%")  # which SLURM takes for a pattern
        log = f"{folder}/{job.title}-%j"
        directives = [f"--error={shlex.quote(f'{log}.err')}", f"--output={shlex.quote(f'{log}.out')}"]
        wanted = [line for line in _image(spec.container) if not any(word in line for word in table.skip)]
        return jobqueue_script(
            "SLURMJob",
            job,
            job.settings()
            | {
                "name": worker,
                "queue": table.queue or None,
                "account": table.account or None,
                "walltime": as_clock(60 * table.walltime_min),
                "shebang": "#!/usr/bin/env bash",
                "job_cpu": job.threads,
                "job_extra_directives": [*directives, *wanted, *table.directives],
                "python": worker_command(
                    spec.container, table, worker, gpu=spec.provider != "cpu", rank="SLURM_PROCID"
                ),
            },
        )

    def controller_script(self, controller: ControllerJob) -> str:
        """Return the job script of a controller."""
        spec = controller.spec
        options = [
            f"--job-name={controller.title}",
            *([f"--partition={spec.queue}"] if spec.queue else []),
            *([f"--account={spec.account}"] if spec.account else []),
            "--nodes=1",
            "--ntasks=1",
            f"--cpus-per-task={spec.cores}",
            f"--mem={round(spec.memory_gib * 1024)}M",
            f"--time={as_clock(60 * spec.walltime_min)}",
            f"--signal=B:TERM@{spec.notice_s}",
            f"--output={shlex.quote(str(controller.log).replace('%', '%%'))}",
            "--open-mode=append",
            "--no-requeue",
            *_image(spec.container)[:1],
        ]
        lines = [f"#SBATCH {option}" for option in (*options, *spec.directives)]
        return "\n".join(["#!/bin/bash", *lines, controller.commands()])

    def submit_text(self, text: str, arguments: Iterable[str] = ()) -> str:
        """Submit a job script; return the job's number."""
        return call("sbatch", "--parsable", *arguments, text=text).strip().split(";")[0]

    def states(self, ids: Iterable[str]) -> dict[str, str]:
        """Return job number -> state of the jobs that squeue lists as alive."""
        wanted = set(ids)
        if not wanted:
            return {}
        # By user and filtered here: squeue -j fails as a whole when one of the ids is forgotten.
        lines = call("squeue", "--me", "--noheader", "--format=%i|%T|%S|%r").splitlines()
        rows = [line.strip().split("|", maxsplit=3) for line in lines]
        found = {row[0]: _state(*row[1:]) for row in rows if len(row) == 4 and row[0] in wanted}
        return {job: state for job, state in found.items() if state}

    def stop(self, number: str) -> None:
        """Send SIGTERM to the batch shell alone, which became the controller; remove a job that waits."""
        if self.states([number]).get(number, "").startswith(("queued", "held")):
            self.cancel([number])
        else:
            call("scancel", "--quiet", "--batch", "--signal=TERM", number)

    def cancel(self, ids: Iterable[str]) -> None:
        """Cancel jobs."""
        wanted = list(ids)
        if wanted:
            call("scancel", "--quiet", *wanted)

    def log_names(self, job: PoolJob, number: str) -> tuple[str, ...]:
        """Return stderr and stdout."""
        return f"{job.title}-{number}.err", f"{job.title}-{number}.out"

    def controller_grace_s(self, spec: ControllerSpec) -> float:
        """Return what --signal asks for."""
        return float(spec.notice_s)

    def starts_at(self, job: PoolJob) -> str:
        """Return when SLURM expects to start a job submitted now; empty if it does not say."""
        script = self.job_script(job, f"{job.pool}-0")
        said = call(*self.dry_run, *job.spec.job.submit_args, text=script, stderr_too=True)
        found = re.search(r"to start at (\S+)", said)
        return found[1] if found else ""

    def objection(self, job: PoolJob) -> Objection:
        """Return that a partition's time limit is shorter: --test-only forecasts a start even then."""
        queue, minutes = job.spec.job.queue, job.spec.job.walltime_min
        try:
            lines = call("sinfo", "--noheader", "--format=%P|%l").splitlines()
        except ResourceError:
            return Objection()
        rows = [line.strip().split("|") for line in lines if "|" in line]
        limits = [
            _minutes(limit)
            for name, limit in rows
            if (name.rstrip("*") if queue else name[-1:]) == (queue or "*")
        ]
        if not limits or minutes <= limits[0]:
            return Objection()
        where = f"partition {queue}" if queue else "the default partition"
        text = f"{minutes} min are more than {where} allows, {limits[0]:g} min: it would never start"
        return Objection(text, ("walltime_min", "queue"))

    def accepted(self, last_line: str) -> str:
        """Return when and where the job would start, which sbatch says."""
        return last_line.removeprefix("sbatch: ")


def _minutes(clock: str) -> float:
    """Return a time limit, as 1-12:00:00, 2:00:00 or 30:00, in minutes; inf for anything else.

    >>> _minutes("1-12:00:00"), _minutes("30:00"), _minutes("infinite")
    (2160.0, 30.0, inf)
    """
    found = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", clock)
    if found is None:
        return inf
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return 1440 * days + 60 * hours + minutes + seconds / 60


def _image(spec: ContainerSpec) -> list[str]:
    """Return the options by which shifter's plug-in fetches an image before the job starts."""
    if spec.runtime != "shifter":
        return []
    modules = [f"--module={','.join(spec.modules)}"] if spec.modules else []
    return [f"--image={spec.image}", *modules]


def _state(state: str, start: str, reason: str) -> str:
    if state in _QUEUED:
        # Holds have many names, as JobHeldUser or "launch failed requeued held".
        if reason in _STUCK or "held" in reason.lower():
            return f"held: {reason}"
        forecast = f"start expected {start[:16].replace('T', ' ')}" if _TIME.match(start) else ""
        waits = ", ".join(filter(None, ("" if reason == "None" else reason, forecast)))
        return f"queued: {waits}" if waits else "queued"
    if state == _ENDING:
        return "ending"
    return "running" if state in _RUNNING else ""


SYSTEM = Slurm()
