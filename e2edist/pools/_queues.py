"""Jobs in the queues of batch systems: asking and cancelling. Needs no Dask, so it answers at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from e2edist.errors import unknown_name

from ._job_supervisor import call

_SLURM_QUEUED = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT"}
_SLURM_RUNNING = {"RUNNING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT"}
#: It may be gone soon, or be queued anew.
_SLURM_ENDING = "COMPLETING"
#: Reasons for which a queued job waits for ever.
_SLURM_STUCK = {
    "BadConstraints",
    "DependencyNeverSatisfied",
    "InvalidAccount",
    "InvalidQOS",
    "PartitionTimeLimit",
}
_CONDOR_HELD = 5
_CONDOR = {1: "queued", 2: "running", 6: "running", 7: "running"}


@dataclass(frozen=True, slots=True)
class Queue:
    """A batch system's queue.

    Attributes
    ----------
    states : callable
        Takes job ids; returns id -> queued, running, ending or held (with the reason) of those that are
        not gone.
    stop : callable
        Takes a job id; asks the job's own process to end in good order.
    cancel : callable
        Takes job ids and removes the jobs; those that are gone do no harm.
    """

    states: Callable[[Iterable[str]], dict[str, str]]
    stop: Callable[[str], None]
    cancel: Callable[[Iterable[str]], None]


def _slurm_states(ids: Iterable[str]) -> dict[str, str]:
    wanted = set(ids)
    if not wanted:
        return {}
    # By user and filtered here: squeue -j fails as a whole when one of the ids is forgotten.
    lines = call("squeue", "--me", "--noheader", "--format=%i|%T|%r").splitlines()
    rows = [line.strip().split("|", maxsplit=2) for line in lines]
    found = {row[0]: _slurm_state(*row[1:]) for row in rows if len(row) == 3 and row[0] in wanted}
    return {job: state for job, state in found.items() if state}


def _slurm_state(state: str, reason: str) -> str:
    if state in _SLURM_QUEUED:
        # Holds have many names, as JobHeldUser or "launch failed requeued held".
        return f"held: {reason}" if reason in _SLURM_STUCK or "held" in reason.lower() else "queued"
    if state == _SLURM_ENDING:
        return "ending"
    return "running" if state in _SLURM_RUNNING else ""


def _slurm_stop(job: str) -> None:
    # To the batch shell alone, which became the controller by exec; a job that waits is removed.
    if _slurm_states([job]).get(job, "").startswith(("queued", "held")):
        _slurm_cancel([job])
    else:
        call("scancel", "--quiet", "--batch", "--signal=TERM", job)


def _slurm_cancel(ids: Iterable[str]) -> None:
    wanted = list(ids)
    if wanted:
        call("scancel", "--quiet", *wanted)


def _condor_states(ids: Iterable[str]) -> dict[str, str]:
    wanted = list(ids)
    if not wanted:
        return {}
    out = call("condor_q", *wanted, "-json", "-attributes", "ClusterId,ProcId,JobStatus,HoldReason")
    jobs = json.loads(out) if out.strip() else []
    found = {f"{job['ClusterId']}.{job['ProcId']}": _condor_state(job) for job in jobs}
    return {job: state for job, state in found.items() if state}


def _condor_state(job: dict[str, Any]) -> str:
    if job.get("JobStatus") == _CONDOR_HELD:
        return f"held: {job.get('HoldReason', 'no reason given')}"
    return _CONDOR.get(int(job.get("JobStatus", 0)), "")


def _condor_cancel(ids: Iterable[str]) -> None:
    alive = _condor_states(ids)
    if alive:
        call("condor_rm", *alive)


def _condor_stop(job: str) -> None:
    # The controller's submit file asks for a graceful removal, with time to cancel its workers.
    _condor_cancel([job])


_QUEUES = {
    "slurm": Queue(_slurm_states, _slurm_stop, _slurm_cancel),
    "htcondor": Queue(_condor_states, _condor_stop, _condor_cancel),
}


def queue_of(kind: str) -> Queue:
    """Return the queue of a batch system.

    Raises
    ------
    UnknownNameError
        It is none that is known.
    """
    if kind not in _QUEUES:
        raise unknown_name("batch system", kind, _QUEUES)
    return _QUEUES[kind]


def is_batch(kind: str) -> bool:
    """Return whether the workers of a kind of pool are jobs in a queue."""
    return kind in _QUEUES
