"""Ending a campaign from outside: first politely, then not, and never with jobs left behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from e2edist.errors import OutputError, ResourceError
from e2edist.install_hint import verb_command
from e2edist.pools import BatchSystem, batch_system
from e2edist.records.folder import CampaignFolder
from e2edist.records.lock import find_holder
from e2edist.records.submitted_jobs import SubmittedJob, read_jobs

from .controller_record import ControllerRecord, birth
from .secret_addresses import remove_access
from .state import State, read_state

_POLL_S = 0.25
#: A process that was asked twice, and jobs that were cancelled, get so long.
_HARDER_S = 15.0
_LEAVE_S = 60.0

Say = Callable[[str], None]


def cancel(folder: Path, timeout_s: float, say: Say) -> bool:
    """End whatever works on a campaign; return whether anything did.

    Parameters
    ----------
    timeout_s : float
        Time for an end in good order, in seconds.
    say : callable
        Is told each step, as a line.

    Raises
    ------
    OutputError
        No campaign is there, or its driver runs on a host that can't be reached from here.
    ResourceError
        The batch system does not answer, or something is still there after all.
    """
    folder = folder.absolute()
    found = read_state(folder)
    record = found.controller
    if record is not None and found.under_way:
        replace(record, cancelled=True).write(folder)
    acted = _stop_driver(folder, found, timeout_s, say)
    if record is not None and record.is_job:
        _free_lock(folder)
    remove_access(folder)
    return _sweep_jobs(folder, say) or acted


def _stop_driver(folder: Path, found: State, timeout_s: float, say: Say) -> bool:
    """End the driver or controller that works on a campaign; return whether there was one."""
    record, holder = found.controller, found.holder
    if record is not None and record.is_job and _in_queue(record):
        _stop_job(folder, record, timeout_s, say)
    elif record is not None and record.is_job and holder is not None and not holder.here:
        say(f"{record.name} is gone")
        return False
    elif holder is not None:
        _refuse_elsewhere(found)
        _stop_process(folder, holder.pid, timeout_s, say, leader=_is_leader(record))
    elif record is not None and record.process_lives:
        _stop_process(folder, int(record.id), timeout_s, say, leader=True)
    else:
        return False
    return True


def _free_lock(folder: Path) -> None:
    """Free the lock of a controller job that is gone: else the next submit waits until it is stale."""
    holder = find_holder(folder)
    if holder is not None and not holder.here:
        os.truncate(CampaignFolder(folder).lock, 0)


def _in_queue(record: ControllerRecord) -> bool:
    return bool(batch_system(record.kind).states([record.id]))


def _is_leader(record: ControllerRecord | None) -> bool:
    return record is not None and record.process_lives


def _refuse_elsewhere(found: State) -> None:
    holder = found.holder
    if holder is not None and not holder.here:
        who = f"is run by pid {holder.pid} on {holder.host}"
        raise OutputError("the campaign", who, f"Run {verb_command('cancel')} on {holder.host}.")


def _until(true: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not (reached := true()) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return reached


def _stop_job(folder: Path, record: ControllerRecord, timeout_s: float, say: Say) -> None:
    system = batch_system(record.kind)
    say(f"asked {record.name} to stop")
    system.stop(record.id)

    def ended() -> bool:
        return not _in_queue(record)

    if not _until(ended, timeout_s):
        say(f"{record.name} is still there after {timeout_s:.0f} s: removed")
        system.cancel([record.id])
        if not _until(ended, _LEAVE_S):
            raise ResourceError(record.name, "does not leave the queue", "Ask the site's support.")
    # Its last words reach this host's view of the folder a little later.
    _until(lambda: find_holder(folder) is None, 4 * _POLL_S)


def _stop_process(folder: Path, pid: int, timeout_s: float, say: Say, *, leader: bool) -> None:
    born = birth(pid)
    say(f"asked process {pid} to stop")

    def ended() -> bool:
        return birth(pid) != born

    def send(number: int) -> None:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass
        except PermissionError as error:
            todo = "Ask its owner."
            raise OutputError(str(folder), f"pid {pid} is another user's", todo) from error

    send(signal.SIGTERM)
    if _until(ended, timeout_s):
        return
    say(f"process {pid} is still there after {timeout_s:.0f} s: asked to stop at once")
    send(signal.SIGTERM)
    if _until(ended, _HARDER_S):
        return
    say(f"process {pid} was killed")
    send(signal.SIGKILL)
    if leader:  # its own session: workers of this machine go with it
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    if not _until(ended, _HARDER_S):
        raise ResourceError(f"process {pid}", "can't be killed", "It may hang in a file system.")


def _sweep_jobs(folder: Path, say: Say) -> bool:
    """Cancel worker jobs that a driver left behind; return whether there were any."""
    submitted: dict[str, list[str]] = {}
    for job in _submitted(folder):
        submitted.setdefault(job.kind, []).append(job.id)
    swept = False
    for kind, ids in sorted(submitted.items()):
        system = batch_system(kind)
        left = system.states(ids)
        if not left:
            continue
        swept = True
        say(f"cancelled {len(left)} worker jobs that were left: {', '.join(sorted(left))}")
        system.cancel(left)
        if not _until(partial(_all_gone, system, left), _LEAVE_S):
            raise ResourceError(kind, "worker jobs don't leave the queue", f"Look at {', '.join(left)}.")
    return swept


def _all_gone(system: BatchSystem, ids: Iterable[str]) -> bool:
    return not system.states(ids)


def _submitted(folder: Path) -> list[SubmittedJob]:
    """Return the worker jobs of all runs of a campaign.

    Raises
    ------
    OutputError
        Their list can't be read: there may be jobs that nobody ends.
    """
    try:
        return list(read_jobs(folder))
    except OSError as error:
        todo = "Look for its jobs in the queue, named e2edist-POOL."
        path = CampaignFolder(folder).submitted_jobs
        raise OutputError(str(path), f"can't be read ({error.strerror})", todo) from error
