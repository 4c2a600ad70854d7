"""Grid Engine (Son of Grid Engine, Univa, Altair, Open Cluster Scheduler): jobs of qsub."""

from __future__ import annotations

import math
import os
import pwd
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import ClassVar
from xml.etree import ElementTree

from e2edist.config.controller import ControllerSpec
from e2edist.config.jobs import ContainerSpec
from e2edist.errors import ResourceError

from .api import BatchSystem, ControllerJob, PoolJob, as_clock, call, jobqueue_script, log_to, worker_command

#: Shell function: run a command, which gets SIGTERM when Grid Engine gives the job notice (-notify): SIGUSR1
#: before a suspension, SIGUSR2 before the end, to all processes of the job. A Python would die of them.
_ON_NOTICE = """\
on_notice() {
    (trap '' USR1 USR2; "$@") &
    trap "kill -TERM $!" USR1 USR2
    while wait $!; code=$?; kill -0 $! 2>/dev/null; do :; done
    exit $code
}"""
#: Seconds from the notice to the end, as queues have them by default.
_NOTIFY_S = 60


class GridEngine(BatchSystem):
    """Grid Engine as a batch system (see `BatchSystem`)."""

    title = "Grid Engine"
    commands = ("qsub", "qstat", "qdel")
    probe = ("qstat",)
    dry_run = ("qsub", "-w", "v")
    variables = ("SGE_ROOT", "SGE_CELL", "SGE_QMASTER_PORT", "SGE_EXECD_PORT")
    unsupported: ClassVar = {
        "shared_disk": "Grid Engine's nodes need a disk that submit sees too",
        "launcher": "let each job hold one worker",
        "attributes": "write job.directives",
    }

    def job_script(self, job: PoolJob, name: str) -> str:
        """Return the job script of a worker."""
        spec, table, gpu = job.spec, job.spec.job, job.spec.provider != "cpu"
        # A job that was rescheduled must not be taken for its former self.
        worker = f"{name}.$(date +%s)"
        gpus = [f"-l gpu={table.gpus}"] if table.gpus else []
        lines = [*_header(job.threads, job.memory_gib), *gpus]
        wanted = [line for line in lines if not any(word in line for word in table.skip)]
        log = log_to(job.logs / f"{job.title}-", "$JOB_ID.out")
        settings = {
            "name": worker,
            "queue": table.queue or None,
            "project": table.account or None,
            "walltime": as_clock(table.walltime_min * 60),
            "shebang": "#!/usr/bin/env bash",
            # A folder that a node lacks would leave the job in error state.
            "job_directives_skip": ["-cwd", *table.skip],
            "job_extra_directives": [*wanted, *table.directives],
            "job_script_prologue": [log, _ON_NOTICE, *table.prologue],
            "python": f"on_notice {worker_command(_unnoticed(spec.container), table, worker, gpu=gpu)}",
        }
        return jobqueue_script("SGEJob", job, job.settings() | settings)

    def controller_script(self, controller: ControllerJob) -> str:
        """Return the job script of a controller."""
        spec = controller.spec
        end_s = spec.walltime_min * 60
        options = [
            f"-N {controller.title}",
            *([f"-q {spec.queue}"] if spec.queue else []),
            *([f"-P {spec.account}"] if spec.account else []),
            f"-l h_rt={as_clock(end_s)}",
            f"-l s_rt={as_clock(max(end_s - spec.notice_s, end_s // 2))}",
            "-j y",
            *_header(spec.cores, spec.memory_gib),
            *spec.directives,
        ]
        lines = [f"#$ {option}" for option in options]
        log = log_to(controller.log)
        inside = replace(controller, spec=spec.model_copy(update={"container": _unnoticed(spec.container)}))
        body = ["controller() {", inside.commands() + "}", "on_notice controller", ""]
        return "\n".join(["#!/bin/bash", *lines, log, _ON_NOTICE, *body])

    def submit_text(self, text: str, arguments: Iterable[str] = ()) -> str:
        """Submit a job script; return the job's number."""
        said = call("qsub", "-terse", *arguments, text=text)
        # A site's own checks of jobs may say something before.
        found = re.findall(r"^(\d+)\s*$", said, re.MULTILINE)
        if not found:
            raise ResourceError("qsub", f"printed no job number: {said.strip()[:500]}")
        return str(found[-1])

    def states(self, ids: Iterable[str]) -> dict[str, str]:
        """Return job number -> state of the jobs that are in the queue."""
        wanted = set(ids)
        rows = _letters() if wanted else {}
        found = {job: _state(job, letters) for job, letters in rows.items() if job in wanted}
        if "running" in found.values():
            # Jobs of a node that does not answer stay as they were, by default for ever.
            for job in _letters("-s", "r", "-qs", "u"):
                if found.get(job) == "running":
                    found[job] = "held: its node does not answer"
        return found

    def cancel(self, ids: Iterable[str]) -> None:
        """Delete jobs."""
        alive = self._alive(ids)
        if not alive:
            return
        try:
            call("qdel", *alive)
        except ResourceError:
            if self._alive(alive):  # it fails for those that ended meanwhile
                raise

    def _alive(self, ids: Iterable[str]) -> list[str]:
        return [job for job, state in self.states(ids).items() if state != "ending"]

    def log_names(self, job: PoolJob, number: str) -> tuple[str, ...]:
        """Return the one log, of stdout and stderr."""
        return (f"{job.title}-{number}.out",)

    def controller_grace_s(self, spec: ControllerSpec) -> float:
        """Return what the queue leaves a job that is deleted."""
        return float(min(spec.notice_s, _NOTIFY_S))

    def refused(self, lines: Sequence[str]) -> str:
        """Return the last line but those that end every refusal."""
        told = [line for line in lines if not line.startswith(("Exiting", "verification:"))]
        return told[-1].removeprefix("Unable to run job: ") if told else lines[-1]


def _unnoticed(container: ContainerSpec) -> ContainerSpec:
    """Return a container whose Python ignores the notice, which runtimes hand on from outside."""
    if container.runtime == "none":
        return container
    python = f"""sh -c 'trap "" USR1 USR2; exec "$0" "$@"' {container.python or "python3"}"""
    return container.model_copy(update={"python": python})


def _header(slots: int, memory_gib: float) -> list[str]:
    """Return the options that all jobs have; memory is asked for by slot."""
    megabytes = math.ceil(memory_gib * 1024 / slots)
    # The script writes its log itself: in a path after -o quotes, commas and colons are Grid Engine's.
    lines = ["-S /bin/bash", "-o /dev/null", "-notify", "-r n", f"-l h_vmem={megabytes}M"]
    return [*lines, f"-pe smp {slots}"] if slots > 1 else lines


def _letters(*options: str) -> dict[str, str]:
    """Return job number -> letters of the state, of the user's jobs in the queue."""
    said = call("qstat", "-xml", "-u", pwd.getpwuid(os.geteuid()).pw_name, *options)
    try:
        rows = ElementTree.fromstring(said).iter("job_list")  # noqa: S314 - the batch system's own
    except ElementTree.ParseError as error:
        raise ResourceError("qstat", f"did not print XML ({error}): {said.strip()[:200]}") from error
    return {row.findtext("JB_job_number", ""): row.findtext("state", "") for row in rows}


def _state(job: str, letters: str) -> str:
    if "d" in letters:
        return "ending"
    if "E" in letters:
        return f"held: {_error_reason(job)}"
    if "h" in letters:
        return "held: a hold or a dependency"
    return "queued" if "q" in letters else "running"


def _error_reason(job: str) -> str:
    found = re.search(r"^error reason\s+\d+:\s+(.*)", call("qstat", "-j", job), re.MULTILINE)
    return found[1] if found else "error state"


SYSTEM = GridEngine()
