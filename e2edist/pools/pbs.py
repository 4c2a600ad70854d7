"""PBS Professional and OpenPBS: workers and controllers as jobs of qsub.

Its scripts are tested as golden jobs and its answers against recorded ones: it has not run on a real PBS.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, ClassVar

from e2edist.config.controller import ControllerSpec
from e2edist.errors import ResourceError

from .api import BatchSystem, ControllerJob, PoolJob, as_clock, call, jobqueue_script, log_to, worker_command

#: Suspended jobs (S, U) keep their node, and one in transit (T) arrives in a queue.
_STATES = {"Q": "queued", "W": "queued", "T": "queued", "R": "running", "S": "running", "U": "running"}
_STATES |= {"B": "running", "E": "ending"}
#: Exit codes for jobs that have finished, and for those that were forgotten.
_GONE = (35, 153)
#: The script writes its log itself: in a path after -o a colon is PBS's.
_OUTPUT = ("-S /bin/bash", "-j oe", "-o /dev/null")
#: Longest name of a job.
_NAME = 230


class Pbs(BatchSystem):
    """PBS as a batch system (see `BatchSystem`). Only queued jobs get a forecast, so there is none here."""

    title = "PBS"
    commands = ("qsub", "qstat", "qdel", "qsig")
    probe = ("qstat", "-B")
    variables = ("PBS_CONF_FILE", "PBS_DEFAULT", "PBS_SERVER")
    unsupported: ClassVar = {
        "shared_disk": "PBS's nodes need a disk that submit sees too",
        "attributes": "write job.directives",
        "launcher": "let each job hold one worker",
    }

    def job_script(self, job: PoolJob, name: str) -> str:
        """Return the job script of a worker."""
        spec, table = job.spec, job.spec.job
        # A job that was put back into the queue must not be taken for its former self.
        worker = f"{name}.$(date +%s)"
        log = log_to(job.logs / f"{job.title}-", "$PBS_JOBID.out")
        settings = {
            "name": worker,
            "queue": table.queue or None,
            "account": table.account or None,
            "resource_spec": _select(job.threads, job.memory_gib, table.gpus),
            "walltime": as_clock(60 * table.walltime_min),
            "shebang": "#!/usr/bin/env bash",
            "job_extra_directives": [*_OUTPUT, *table.directives],
            "job_script_prologue": [log, *table.prologue],
            "python": worker_command(spec.container, table, worker, gpu=spec.provider != "cpu"),
        }
        return jobqueue_script("PBSJob", job, job.settings() | settings)

    def controller_script(self, controller: ControllerJob) -> str:
        """Return the job script of a controller, which sends itself the notice that PBS does not give."""
        spec = controller.spec
        options = [
            f"-N {controller.title[:_NAME]}",
            *([f"-q {spec.queue}"] if spec.queue else []),
            *([f"-A {spec.account}"] if spec.account else []),
            f"-l {_select(spec.cores, spec.memory_gib, 0)}",
            f"-l walltime={as_clock(60 * spec.walltime_min)}",
            "-r n",
            *_OUTPUT,
            *spec.directives,
        ]
        notice = f"(sleep {max(0, 60 * spec.walltime_min - spec.notice_s)}; kill -TERM $$) &"
        log = log_to(controller.log)
        return "\n".join(
            ["#!/bin/bash", *(f"#PBS {line}" for line in options), log, notice, controller.commands()]
        )

    def submit_text(self, text: str, arguments: Iterable[str] = ()) -> str:
        """Submit a job script; return the job's number, with the server's name."""
        return call("qsub", *arguments, text=text).strip()

    def states(self, ids: Iterable[str]) -> dict[str, str]:
        """Return job number -> state of the jobs that have not finished."""
        wanted = list(ids)
        if not wanted:
            return {}
        said = call("qstat", "-f", "-F", "json", *wanted, also_good=_GONE)
        try:
            # Values are not always escaped.
            jobs = json.loads(said, strict=False).get("Jobs", {}) if said.strip() else {}
        except ValueError as error:
            raise ResourceError("qstat", f"did not print JSON: {error}") from error
        found = {number: _state(facts) for number, facts in jobs.items() if number in wanted}
        return {number: state for number, state in found.items() if state}

    def stop(self, number: str) -> None:
        """Send SIGTERM to a controller; remove one that waits, to which PBS sends none."""
        if self.states([number]).get(number) in ("running", "ending"):
            call("qsig", "-s", "SIGTERM", number, also_good=_GONE)
        else:
            self.cancel([number])

    def cancel(self, ids: Iterable[str]) -> None:
        """Delete jobs."""
        wanted = list(ids)
        if wanted:
            call("qdel", *wanted, also_good=_GONE)

    def log_names(self, job: PoolJob, number: str) -> tuple[str, ...]:
        """Return the one log, of stdout and stderr."""
        return (f"{job.title}-{number}.out",)

    def controller_grace_s(self, spec: ControllerSpec) -> float:
        """Return what the script leaves itself before its walltime ends."""
        return float(spec.notice_s)


def _select(cores: int, memory_gib: float, gpus: int) -> str:
    return f"select=1:ncpus={cores}:mem={round(memory_gib * 1024)}mb" + (f":ngpus={gpus}" if gpus else "")


def _state(facts: dict[str, Any]) -> str:
    if facts.get("job_state") == "H":
        return f"held: {facts.get('comment', 'no reason given')}"
    state = _STATES.get(str(facts.get("job_state")), "")
    why = str(facts.get("comment", "")).removeprefix("Not Running: ").strip() if state == "queued" else ""
    return f"queued: {why}" if why else state


SYSTEM = Pbs()
