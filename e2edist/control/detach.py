"""Detaching: the plan is frozen here, the campaign runs in a process or a job that outlives this one."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from e2edist.campaign.campaign import Campaign
from e2edist.campaign.heartbeat import CONTROLLER_TOKEN
from e2edist.config.controller import PROCESS, ControllerSpec
from e2edist.config.resolved_site import resolved_text
from e2edist.config.site import SiteSpec
from e2edist.errors import OutputError, ResourceError
from e2edist.install_hint import verb_command
from e2edist.pools import batch_system, check_commands, check_host, make_controller
from e2edist.records.folder import CampaignFolder
from e2edist.records.folder_checks import prepare_folder
from e2edist.records.lock import find_holder, locked
from e2edist.redaction import redact_word
from e2edist.storage.publish import publish

from .controller_record import ControllerRecord, birth, read_controller
from .secret_addresses import STDIN, has_secrets, remove_access, write_access

#: A controller on this machine that has not taken the folder after so long is left to itself.
_START_S = 60.0
#: One that is asked to end gets so long.
_END_S = 10.0
#: Ours alone: what the plan is for is decided here, the controller only goes on with it.
_OURS = {"--detach", "--fresh", "--resume"}
#: With one word each: they are in the site that is written for the controller, which may be where none of our
#: files and variables are.
_OF_SITE = {"--site", "--account", "--image", "--pools", "--set"}


def controller_arguments(argv: Sequence[str], folder: Path, access: str = "") -> list[str]:
    """Return the arguments of ``python`` for the controller of ``submit`` with `argv`.

    Parameters
    ----------
    folder : Path
        Of the campaign.
    access : str
        From where it reads addresses that hold secrets, if there are any; by default from its own file.
    """
    entries = CampaignFolder(folder.absolute())
    words = [redact_word(word) for word in _without_site(argv) if word not in _OURS]
    secrets = ("--access", access or str(entries.access)) if has_secrets(_without_site(argv)) else ()
    return ["-m", "e2edist.submit", *words, "--site", str(entries.site), *secrets, "--resume"]


def _without_site(argv: Sequence[str]) -> list[str]:
    words, rest = list[str](), iter(argv)
    for word in rest:
        if word in _OF_SITE:
            next(rest, None)
        elif word.partition("=")[0] not in _OF_SITE:
            words.append(word)
    return words


def preview_controller(spec: ControllerSpec, folder: Path, argv: Sequence[str]) -> str:
    """Return what the batch system would be given; empty for a process."""
    if spec.kind == PROCESS:
        return ""
    arguments = controller_arguments(argv, folder)
    job = make_controller(spec, folder.absolute(), arguments, {CONTROLLER_TOKEN: "TOKEN"})
    return batch_system(spec.kind).controller_script(job)


def detach(campaign: Campaign, argv: Sequence[str]) -> ControllerRecord:
    """Freeze the plan and start the controller that runs it.

    Parameters
    ----------
    argv : sequence of str
        Of ``submit``: the controller is the same command without ``--detach``.

    Raises
    ------
    OutputError
        The folder can't be written, or a controller is there already.
    ResourceError
        This host can't submit it, the batch system refuses, or the process ended at once.
    """
    check_host_of(campaign.site, detached=True)
    folder, spec = campaign.folder.absolute(), campaign.site.controller
    _refuse_second(folder)
    prepare_folder(folder)
    with locked(folder):
        campaign.freeze_plan()
    _write_site(campaign.site, CampaignFolder(folder).site)
    remove_access(folder)
    token, access = uuid4().hex, campaign.plan.access if has_secrets(_without_site(argv)) else None
    if spec.kind == PROCESS:
        return _spawn(folder, controller_arguments(argv, folder, STDIN), token, access)
    if access is not None:
        write_access(folder, access)
    arguments = controller_arguments(argv, folder)
    job = make_controller(spec, folder, arguments, {CONTROLLER_TOKEN: token})
    number = batch_system(spec.kind).submit_controller(job)
    record = ControllerRecord(spec.kind, number, platform.node(), token, 0, time.time(), str(job.log))
    record.write(folder)
    return record


def check_host_of(site: SiteSpec, *, detached: bool) -> None:
    """Refuse a host from which a site's campaign can't be submitted, while somebody is there to read it.

    Parameters
    ----------
    detached : bool
        Whether the controller may be a job: its own host has what the pools need.

    Raises
    ------
    ResourceError
        Says what is missing.
    """
    if detached and site.controller.kind != PROCESS:
        check_commands("controller", site.controller.kind)
        return
    for name, spec in site.pools.items():
        check_host(name, spec)


def _write_site(site: SiteSpec, path: Path) -> None:
    """Write the site as it was resolved, for nobody else to read: an address may hold a password."""
    with publish(path) as draft:
        draft.touch(mode=0o600)
        draft.write_text(resolved_text(site), encoding="utf-8")


def _refuse_second(folder: Path) -> None:
    old = read_controller(folder)
    if old is None or old.cancelled:
        return
    if (old.is_job and batch_system(old.kind).states([old.id])) or old.process_lives:
        todo = f"Wait for it, or run {verb_command('cancel', str(folder))}."
        raise OutputError(str(folder), f"has a controller already: {old.name}", todo)


def _spawn(
    folder: Path, arguments: list[str], token: str, access: Mapping[str, str] | None
) -> ControllerRecord:
    log = CampaignFolder(folder).controller_log
    with log.open("ab") as stream:
        # A session of its own: no terminal that closes takes it along.
        process = subprocess.Popen(  # noqa: S603 - our own words
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL if access is None else subprocess.PIPE,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | {CONTROLLER_TOKEN: token},
        )
    born = birth(process.pid)
    record = ControllerRecord(PROCESS, str(process.pid), platform.node(), token, born, time.time(), str(log))
    try:
        record.write(folder)
        if access is not None:
            _tell(process, access)
        _await(process, folder, log)
    except KeyboardInterrupt:
        _end(process)
        replace(record, cancelled=True).write(folder)
        raise
    return record


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a controller that is not wanted after all."""
    process.terminate()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _tell(process: subprocess.Popen[bytes], access: Mapping[str, str]) -> None:
    assert process.stdin is not None  # noqa: S101 - a pipe was asked for
    with suppress(BrokenPipeError):  # it has ended: `_await` says why
        process.stdin.write(json.dumps(dict(access)).encode())
        process.stdin.close()


def _await(process: subprocess.Popen[bytes], folder: Path, log: Path) -> None:
    """Wait until the controller has taken the folder, so that what stops it at once is seen at once."""
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        holder = find_holder(folder)
        if holder is not None and holder.pid == process.pid:
            break
        code = process.poll()
        if code:
            said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-5:]
            raise ResourceError("controller", f"ended with code {code}:\n" + "\n".join(said))
        if code == 0:
            break
        time.sleep(0.05)
    # It outlives us, and is nobody's to wait for.
    process.returncode = 0
