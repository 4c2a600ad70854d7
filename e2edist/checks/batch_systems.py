"""Batch systems: whether their commands are here, answer, and would take our jobs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from e2edist.config.controller import PROCESS
from e2edist.config.site import SiteSpec
from e2edist.errors import E2EError
from e2edist.pools import BatchSystem, batch_system, is_batch, make_controller, preview

from . import CommandResult, Finding, run_command


def check_batch(site: SiteSpec, folder: Path, *, jobs: bool = True) -> Iterator[Finding]:
    """Look at the batch systems of all pools and of the controller.

    Parameters
    ----------
    folder : Path
        Of the campaign.
    jobs : bool
        Whether to have the jobs judged too; without account or image that says nothing new.
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
            yield _job(name, site, folder)
    if site.controller.kind in working:
        yield _controller(site, folder)


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


def _controller(site: SiteSpec, folder: Path) -> Finding:
    """Give the controller's job to the batch system for judging only."""
    topic, system = "controller's job", batch_system(site.controller.kind)
    if not system.dry_run:
        return _unjudged(topic, system)
    controller = make_controller(site.controller, folder, ("--version",), {})
    result = run_command(system.dry_run, system.controller_probe(controller))
    if result.code == 0:
        return Finding("ok", topic, system.accepted(result.last))
    todo = "Set queue, account and directives in [controller]."
    return Finding("fail", topic, f"refused: {_reason(system, result)}", todo)


def _unjudged(topic: str, system: BatchSystem) -> Finding:
    return Finding("ok", topic, f"{system.title} does not judge a job before it is submitted")


def _reason(system: BatchSystem, result: CommandResult) -> str:
    lines = result.out.strip().splitlines()
    return system.refused(lines) if lines else result.last


def _job(name: str, site: SiteSpec, folder: Path) -> Finding:
    """Give a pool's job to the batch system for judging only."""
    pool = site.pools[name]
    topic, account, system = f"job of {name}", pool.job.account, batch_system(pool.kind)
    try:
        script = preview(name, pool, folder, site.dask)
    except E2EError as error:
        return Finding("fail", topic, str(error), "Correct the site file.")
    if not system.dry_run:
        return _unjudged(topic, system)
    result = run_command(system.dry_run, script)
    told = f"account {account}" if account else "no account given"
    if result.code == 0:
        return Finding("ok", topic, f"{told}; {system.accepted(result.last)}")
    unnamed = not account and "account" in result.out.lower()
    todo = f"Set {'account' if unnamed else 'queue, account and directives'} in [pools.{name}.job]."
    return Finding("fail", topic, f"{told}; refused: {_reason(system, result)}", todo)
