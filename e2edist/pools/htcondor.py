"""HTCondor: workers and controllers as jobs of condor_submit."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from e2edist.config.controller import ControllerSpec
from e2edist.config.jobs import ContainerSpec
from e2edist.errors import ConfigError, ResourceError

from .api import (
    BatchSystem,
    ControllerJob,
    Objection,
    PoolJob,
    call,
    certificate_files,
    jobqueue_script,
    worker_command,
)

_HELD = 5
_STATES = {2: "running", 6: "running", 7: "running"}
_QUEUED = 1
#: What the queue is asked of a job.
_ASKED = ("ClusterId", "ProcId", "JobStatus", "HoldReason", "LastRejMatchReason")
#: A controller that is removed gets so long to end.
_VACATE_S = 180
#: Names under which a pool of HTCondor takes the image of a job.
_IMAGES = {"htcondor-apptainer": "+ApptainerImage", "htcondor-singularity": "MY.SingularityImage"}


class HTCondor(BatchSystem):
    """HTCondor as a batch system (see `BatchSystem`)."""

    title = "HTCondor"
    commands = ("condor_submit", "condor_q", "condor_rm")
    probe = ("condor_q", "-totals")
    dry_run = ("condor_submit", "-dry-run", "/dev/null", "-")
    variables = ("CONDOR_CONFIG",)
    runtimes = tuple(_IMAGES)
    unsupported: ClassVar = {
        "account": 'write attributes, as { accounting_group = "NAME" }',
        "launcher": "let each job hold one worker",
        "directives": "write job.attributes",
        "queue": "HTCondor has none; a group is written as attributes",
    }
    suspects = ("attributes", "submit_args")
    why_queued = "condor_q -better-analyze"

    def job_script(self, job: PoolJob, name: str) -> str:
        """Return the submit file of a worker.

        Raises
        ------
        ConfigError
            ``job.skip`` names a line that is not there.
        """
        spec, table = job.spec, job.spec.job
        settings = job.settings(Path() if _ships(job) else None)
        for key in ("job_script_prologue", "worker_extra_args"):
            settings[key] = [literal(text) for text in settings[key]]
        # A job that was put back into the queue must not be taken for its former self.
        worker = literal(f"{name}.$(date +%s)")
        settings |= {
            "name": worker,
            "disk": f"{table.disk_gib}GiB",
            "shebang": "#!/usr/bin/env condor_submit",
            "submit_command_extra": [],
            "cancel_command_extra": [],
            "job_extra_directives": _attributes(job) | table.attributes,
            "python": literal(worker_command(spec.container, table, worker, gpu=spec.provider != "cpu")),
        }
        try:
            return jobqueue_script("HTCondorJob", job, settings)
        except KeyError as error:
            raise ConfigError(f"pool {job.pool}", f"job.skip names {error}, which is not written") from error

    def controller_script(self, controller: ControllerJob) -> str:
        """Return the submit file of a controller, and the script that it names."""
        return f"{_controller_file(controller)}\n{controller.script()}"

    def controller_probe(self, controller: ControllerJob) -> str:
        """Return the submit file with a program that is there already."""
        return _controller_file(controller).replace(literal(str(controller.script_path)), "/bin/sh", 1)

    def submit_controller(self, controller: ControllerJob) -> str:
        """Write the script and submit the job; return its number."""
        controller.write_script()
        return self.submit_text(_controller_file(controller))

    def submit_text(self, text: str, arguments: Iterable[str] = ()) -> str:
        """Submit a submit file; return the job's number."""
        # From stdin, as no file is named: a dash would be taken for -verbose.
        said = call("condor_submit", "-terse", *arguments, text=text)
        found = re.search(r"^(\d+\.\d+) - ", said, re.MULTILINE)
        if found is None:
            raise ResourceError("condor_submit", f"printed no job number: {said.strip()[:500]}")
        return found[1]

    def states(self, ids: Iterable[str]) -> dict[str, str]:
        """Return job number -> state of the jobs that are in the queue."""
        wanted = list(ids)
        if not wanted:
            return {}
        said = call("condor_q", *wanted, "-json", "-attributes", ",".join(_ASKED))
        jobs = json.loads(said) if said.strip() else []
        found = {f"{job['ClusterId']}.{job['ProcId']}": _state(job) for job in jobs}
        return {job: state for job, state in found.items() if state}

    def cancel(self, ids: Iterable[str]) -> None:
        """Remove jobs; of a controller, its submit file asks for a graceful removal."""
        alive = self.states(ids)
        if alive:
            call("condor_rm", *alive)

    def objection(self, job: PoolJob) -> Objection:
        """Return that no slot is large enough, where the pool says how large they are."""
        shown = ("SlotType", "TotalSlotMemory", "TotalSlotCpus")
        try:
            said = call("condor_status", "-autoformat", *shown)
        except ResourceError:
            return Objection()
        rows = [line.split() for line in said.splitlines()]
        # A dynamic slot is a part of another one.
        slots = [
            (int(r[1]) / 1024, int(r[2]))
            for r in rows
            if len(r) == len(shown) and r[0] != "Dynamic" and r[1].isdigit() and r[2].isdigit()
        ]
        return _too_large(job.memory_gib, job.threads, slots)

    def log_names(self, job: PoolJob, number: str) -> tuple[str, ...]:
        """Return stderr, stdout and HTCondor's own log of the job."""
        log = f"{job.title}-{number.split('.', maxsplit=1)[0]}"
        return f"{log}.err", f"{log}.out", f"{log}.log"

    def controller_grace_s(self, spec: ControllerSpec) -> float:  # noqa: ARG002
        """Return what its submit file asks for."""
        return float(_VACATE_S)


def _too_large(memory_gib: float, threads: int, slots: list[tuple[float, int]]) -> Objection:
    """Return that none of `slots` (GiB, cores) fits, and what to change, if there are any."""
    if not slots or any(memory_gib <= gib and threads <= cores for gib, cores in slots):
        return Objection()
    most, widest = max(gib for gib, _ in slots), max(cores for _, cores in slots)
    if memory_gib > most:
        text = f"no slot has that much memory, the largest has {most:.2f} GiB: it would never start"
        return Objection(text, ("memory_gib", "threads") if threads > widest else ("memory_gib",))
    if threads > widest:
        text = f"no slot has so many cores, the largest has {widest}: it would never start"
        return Objection(text, ("threads",))
    text = "no slot has that much memory and so many cores at once: it would never start"
    return Objection(text, ("threads", "memory_gib"))


def literal(text: str) -> str:
    """Keep HTCondor from taking text as macros of the submit file."""
    return text.replace("$", "$(DOLLAR)")


def _state(job: dict[str, Any]) -> str:
    if job.get("JobStatus") == _HELD:
        return f"held: {job.get('HoldReason', 'no reason given')}"
    if job.get("JobStatus") == _QUEUED:
        why = str(job.get("LastRejMatchReason", "")).strip()
        # Its usual words for that; others name a limit or a priority.
        return "queued: no slot matches yet" if why in ("", "no match found") else f"queued: {why}"
    return _STATES.get(int(job.get("JobStatus", 0)), "")


def _ships(job: PoolJob) -> bool:
    """Return whether the certificates travel with the job."""
    return job.spec.job.ship_certificates or not job.spec.job.shared_disk


def image_attributes(spec: ContainerSpec) -> dict[str, str]:
    """Return the submit-file lines that let HTCondor start the container."""
    return {_IMAGES[spec.runtime]: f'"{spec.image}"'} if spec.runtime in _IMAGES else {}


def _attributes(job: PoolJob) -> dict[str, str]:
    """Return the lines of a worker's submit file that dask-jobqueue does not write."""
    table = job.spec.job
    lines = {"batch_name": job.title, "+MaxRuntime": str(table.walltime_min * 60)}
    log = f"{literal(str(job.logs))}/{job.title}-$(ClusterId)"
    lines |= {"output": f"{log}.out", "error": f"{log}.err", "log": f"{log}.log"}
    # Workers end by being removed: what was not streamed is lost then.
    lines |= {"stream_output": "True", "stream_error": "True"}
    lines |= {"request_gpus": str(table.gpus)} if table.gpus else {}
    if _ships(job):
        files = ",".join(map(str, certificate_files(job.certificates)))
        lines |= {"should_transfer_files": "YES", "transfer_input_files": files}
        lines["transfer_output_files"] = '""'
    return lines | image_attributes(job.spec.container)


def _controller_file(controller: ControllerJob) -> str:
    spec, folder = controller.spec, literal(str(controller.folder))
    lines = {
        "universe": "vanilla",
        "executable": literal(str(controller.script_path)),
        "initialdir": literal(controller.cwd),
        "request_cpus": str(spec.cores),
        "request_memory": f"{round(spec.memory_gib * 1024)}MB",
        "request_disk": f"{round(spec.disk_gib * 1024)}MB",
        "JobBatchName": f'"{controller.title}"',
        "error": f"{folder}/controller.err",
        "log": f"{folder}/controller.condor.log",
        # It is asked to end and waited for, so that no worker job stays behind.
        "kill_sig": "SIGTERM",
        "want_graceful_removal": "true",
        "job_max_vacate_time": str(_VACATE_S),
        "+MaxRuntime": str(spec.walltime_min * 60),
    }
    lines |= image_attributes(spec.container) | spec.attributes
    return "\n".join([*(f"{key} = {value}" for key, value in lines.items()), "queue 1", ""])


SYSTEM = HTCondor()
