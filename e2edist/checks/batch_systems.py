"""Batch systems: whether their commands are here, answer, and would take our jobs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from e2edist.config.site import SiteSpec
from e2edist.errors import E2EError
from e2edist.pools import make_controller, preview

from . import CommandResult, Finding, run_command

_COMMANDS = {
    "slurm": ("sbatch", "squeue", "scancel"),
    "htcondor": ("condor_submit", "condor_q", "condor_rm"),
}
_ANSWER = {"slurm": ("squeue", "--me", "--noheader"), "htcondor": ("condor_q", "-totals")}
_TRY = {
    "slurm": ("sbatch", "--test-only"),
    "htcondor": ("condor_submit", "-dry-run", "/dev/null", "-"),
}


def check_batch(site: SiteSpec, folder: Path) -> Iterator[Finding]:
    """Look at the batch systems of all pools and of the controller; `folder` is the campaign's."""
    pools = {name: pool for name, pool in site.pools.items() if pool.kind in _COMMANDS}
    working = set()
    for kind in sorted({pool.kind for pool in pools.values()} | {site.controller.kind} & set(_COMMANDS)):
        finding = _commands(kind)
        yield finding
        if finding.level != "fail":
            working.add(kind)
    for name, pool in pools.items():
        if pool.kind in working:
            yield _job(name, site, folder)
    if site.controller.kind in working:
        yield _controller(site, folder)


def _commands(kind: str) -> Finding:
    missing = [name for name in _COMMANDS[kind] if shutil.which(name) is None]
    if missing:
        todo = "Run it on a login node of the site, or load the site's module."
        return Finding("fail", kind, f"there is no {', '.join(missing)} here", todo)
    result = run_command(_ANSWER[kind])
    if result.code:
        return Finding("fail", kind, result.last, "Ask the site whether its batch system is up.")
    level = "ok" if result.seconds < 10 else "warn"
    todo = "" if level == "ok" else "Raise job.poll_s, so that the queue is asked less often."
    return Finding(level, kind, f"answers in {result.seconds:.1f} s", todo)  # type: ignore[arg-type]


def _controller(site: SiteSpec, folder: Path) -> Finding:
    """Give the controller's job to the batch system for judging only."""
    kind = site.controller.kind
    result = run_command(_TRY[kind], make_controller(site.controller, folder, ("--version",), {}).trial())
    if result.code == 0:
        return Finding("ok", "controller's job", _answer(kind, result))
    todo = "Set queue, account and directives in [controller]."
    return Finding("fail", "controller's job", f"refused: {result.last}", todo)


def _answer(kind: str, result: CommandResult) -> str:
    """Return what a batch system answered about a job that it would take."""
    return result.last.removeprefix("sbatch: ") if kind == "slurm" else "it would be taken"


def _job(name: str, site: SiteSpec, folder: Path) -> Finding:
    """Give a pool's job to the batch system for judging only."""
    pool = site.pools[name]
    topic, account = f"job of {name}", pool.job.account
    try:
        result = run_command(_TRY[pool.kind], preview(name, pool, folder, site.dask))
    except E2EError as error:
        return Finding("fail", topic, str(error), "Correct the site file.")
    told = f"account {account}" if account else "no account given"
    if result.code == 0:
        return Finding("ok", topic, f"{told}; {_answer(pool.kind, result)}")
    unnamed = not account and "account" in result.out.lower()
    todo = f"Set {'account' if unnamed else 'queue, account and directives'} in [pools.{name}.job]."
    return Finding("fail", topic, f"{told}; refused: {result.last}", todo)
