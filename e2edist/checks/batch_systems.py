"""Batch systems: whether their commands are here, answer, and would take our jobs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from e2edist.config.controller import PROCESS
from e2edist.config.site import SiteSpec
from e2edist.errors import E2EError
from e2edist.pools import (
    BatchSystem,
    PoolJob,
    batch_system,
    controller_keys,
    is_batch,
    keys_to_blame,
    make_controller,
    preview,
    site_keys,
)

from . import CommandResult, Finding, run_command

#: Returns how to change some keys of a site, as ``pools.cpu.threads``, as a sentence.
Advise = Callable[[Iterable[str]], str]


def name_keys(keys: Iterable[str]) -> str:
    """Return that some keys are to be changed, where nobody knows who says what they are."""
    return f"Change {' or '.join(keys)}."


def check_batch(
    site: SiteSpec, folder: Path, *, jobs: bool = True, advise: Advise = name_keys
) -> Iterator[Finding]:
    """Look at the batch systems of all pools and of the controller.

    Parameters
    ----------
    folder : Path
        Of the campaign.
    jobs : bool
        Whether to have the jobs judged too; without account or image that says nothing new.
    advise : callable
        Returns how to change some keys.
    """
    pools = {name: pool for name, pool in site.pools.items() if is_batch(pool.kind)}
    kinds, working = {pool.kind for pool in pools.values()}, set()
    for kind in sorted(kinds | {site.controller.kind} - {PROCESS}):
        finding = _commands(kind)
        yield finding
        if finding.level != "fail":
            working.add(kind)
    if not jobs:
        return
    for name, pool in pools.items():
        if pool.kind in working:
            yield _job(name, site, folder, advise)
    if site.controller.kind in working:
        yield _controller(site, folder, advise)


def _commands(kind: str) -> Finding:
    system = batch_system(kind)
    missing = [name for name in system.commands if shutil.which(name) is None]
    if missing:
        todo = "Run it on a login node of the site, or load the site's module."
        return Finding("fail", kind, f"there is no {', '.join(missing)} here", todo)
    result = run_command(system.probe)
    if result.code:
        return Finding("fail", kind, result.last, "Ask the site whether its batch system is up.")
    level = "ok" if result.seconds < 10 else "warn"
    todo = "" if level == "ok" else "Raise job.poll_s, so that the queue is asked less often."
    return Finding(level, kind, f"answers in {result.seconds:.1f} s", todo)  # type: ignore[arg-type]


def _controller(site: SiteSpec, folder: Path, advise: Advise) -> Finding:
    """Give the controller's job to the batch system for judging only."""
    spec = site.controller
    topic, system = "controller's job", batch_system(spec.kind)
    asked = _asked("core", spec.cores, spec.memory_gib, spec.walltime_min)
    if not system.dry_run:
        return _unjudged(topic, asked, system)
    controller = make_controller(spec, folder, ("--version",), {})
    result = run_command(system.dry_run, system.controller_probe(controller))
    if result.code == 0:
        return Finding("ok", topic, f"{asked}; {system.accepted(result.last)}")
    todo = advise(controller_keys(keys_to_blame(system, result.out)))
    return Finding("fail", topic, f"{asked}; refused: {_reason(system, result)}", todo)


def _unjudged(topic: str, asked: str, system: BatchSystem) -> Finding:
    return Finding("ok", topic, f"{asked}; {system.title} does not judge a job before it is submitted")


def _asked(unit: str, number: int, memory_gib: float, walltime_min: int, account: str | None = None) -> str:
    """Return what a job asks for, for people."""
    size = f"{number} {unit}{'' if number == 1 else 's'}, {memory_gib:g} GiB, {walltime_min} min"
    return size if account is None else f"{size}, {f'account {account}' if account else 'no account given'}"


def _reason(system: BatchSystem, result: CommandResult) -> str:
    lines = result.out.strip().splitlines()
    return system.refused(lines) if lines else result.last


def _job(name: str, site: SiteSpec, folder: Path, advise: Advise) -> Finding:
    """Give a pool's job to the batch system for judging only."""
    pool = site.pools[name]
    topic, system = f"job of {name}", batch_system(pool.kind)
    try:
        script = preview(name, pool, folder, site.dask)
        job = PoolJob(name, pool, folder)
    except E2EError as error:
        return Finding("fail", topic, str(error), "Correct the site file.")
    account = None if "account" in system.unsupported else pool.job.account
    asked = _asked("thread", job.threads, job.memory_gib, pool.job.walltime_min, account)
    if system.dry_run:
        result = run_command(system.dry_run, script)
        if result.code:
            todo = advise(site_keys(name, keys_to_blame(system, result.out)))
            return Finding("fail", topic, f"{asked}; refused: {_reason(system, result)}", todo)
    found = system.objection(job)
    if found.text:
        return Finding("warn", topic, f"{asked}; {found.text}", advise(site_keys(name, found.keys)))
    if not system.dry_run:
        return _unjudged(topic, asked, system)
    return Finding("ok", topic, f"{asked}; {system.accepted(result.last)}")
