"""One run of a campaign: open the pools, drive what is pending, check the parts, write the tables."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from e2edist.accounting.progress import Progress, ProgressTracker
from e2edist.accounting.summary import write_timing
from e2edist.accounting.telemetry import Telemetry
from e2edist.counted import counted
from e2edist.errors import CampaignError, E2EError
from e2edist.pools import Pool, check_host, configured, controller_grace_s, show
from e2edist.records.folder import CampaignFolder
from e2edist.records.folder_checks import prepare_folder
from e2edist.records.ledger import Ledger, open_ledger
from e2edist.records.lock import locked
from e2edist.records.losses import loss_rows, lost_fraction, write_losses
from e2edist.records.plan import Plan
from e2edist.storage.publish import sweep

from .campaign import Campaign
from .cross_pool_check import make_cross_pool_check
from .driver import Driver
from .heartbeat import CONTROLLER_TOKEN, Heartbeat, heartbeat
from .limits import Limits
from .logfile import log_to
from .open_pools import open_pools
from .reconcile import recheck, reconcile, remove_duplicates

log = logging.getLogger(__name__)
#: How often parts that are missing or damaged at the end of a run are made again.
_ROUNDS = 3

OnProgress = Callable[[Progress], None]
OnPoolReady = Callable[[Pool], None]


@dataclass(frozen=True, slots=True)
class RunResult:
    """What one run of a campaign did.

    Attributes
    ----------
    ledger : Ledger
        Done chunks, of earlier runs too, and entries that were given up in this one.
    seconds, events
        Wall time since the first worker joined, and events done, in this run.
    bad : list of dict
        Rows of ``bad.parquet``.
    bad_fraction : float
        Fraction of all events that is lost.
    complete : bool
        Whether every chunk has ended; else the run was stopped.
    finished_late, cut_off : int
        Of the chunks that ran when it was stopped, those that were finished, and the others.
    """

    ledger: Ledger
    seconds: float
    events: int
    bad: list[dict[str, Any]]
    bad_fraction: float
    complete: bool
    finished_late: int = 0
    cut_off: int = 0


def run_campaign(
    campaign: Campaign, on_progress: OnProgress, stop: Event, on_pool_ready: OnPoolReady
) -> RunResult:
    """Run what is pending of a campaign, and write its timing table and its list of bad entries.

    Parameters
    ----------
    on_progress : callable
        Called with the counts after every change, and a few times a second.
    stop : Event
        Set it to stop giving out chunks; those running may finish for a while (see `Limits`).
    on_pool_ready : callable
        Called with each pool when it is open.

    Raises
    ------
    OutputError
        The folder can't be written, or another driver works on it.
    """
    folder, files = campaign.folder, CampaignFolder(campaign.folder)
    prepare_folder(folder, fresh=campaign.spec.mode == "fresh")
    with locked(folder):
        campaign = campaign.freeze_plan()
        sweep(folder)
        sweep(files.predictions)
        with log_to(files.log):
            return _run(campaign, on_progress, stop, on_pool_ready)


def _run(campaign: Campaign, on_progress: OnProgress, stop: Event, on_pool_ready: OnPoolReady) -> RunResult:
    plan, folder = campaign.plan, campaign.folder
    ledger = open_ledger(folder, plan.fingerprint, plan.chunks())
    counts = Progress(len(ledger.done) + len(ledger.pending), plan.events)
    counts.count(ledger)
    before = counts.events_done
    tracker = ProgressTracker(counts, on_progress)
    tracker.publish()
    try:
        complete = _run_pending(campaign, ledger, tracker, stop, on_pool_ready)
    except BaseException:
        with suppress(E2EError, OSError):  # the error that stopped it is the one to report
            _write_tables(folder, plan, ledger)
        raise
    rows = _write_tables(folder, plan, ledger)
    return RunResult(
        ledger=ledger,
        seconds=tracker.snapshot().elapsed_s or 0.0,
        events=ledger.events_done - before,
        bad=rows,
        bad_fraction=lost_fraction(plan, ledger),
        complete=complete,
        finished_late=counts.finished_late,
        cut_off=counts.cut_off,
    )


def _run_pending(
    campaign: Campaign,
    ledger: Ledger,
    tracker: ProgressTracker,
    stop: Event,
    on_pool_ready: OnPoolReady,
) -> bool:
    """Run what is pending; return whether every chunk has ended."""
    if not ledger.pending:
        remove_duplicates(ledger)
        return True
    for name, spec in campaign.site.pools.items():
        check_host(name, spec)
    name = f"{campaign.tagger.name} -> {campaign.folder}"
    ledger.telemetry = telemetry = Telemetry(name, campaign.tagger.module, tracker)
    beat = Heartbeat(campaign.folder, campaign.site.pools, telemetry)

    def pool_ready(pool: Pool) -> None:
        beat.add_pool(pool)
        on_pool_ready(pool)

    plan = campaign.plan
    with configured(campaign.site.dask), show(telemetry), heartbeat(beat):
        try:
            with open_pools(campaign, pool_ready, stop, beat.interrupt) as pools:
                driver = _make_driver(campaign, ledger, pools, tracker, stop)
                complete = _drive(driver, ledger, plan, tracker.counts)
                tracker.stop_clock()
        except BaseException:
            with suppress(E2EError, OSError):  # the error that stopped it is the one to report
                tracker.counts.in_flight = 0
                reconcile(ledger, plan.chunks(), tracker.counts)
                tracker.publish()
            raise
        return _end(campaign, ledger, tracker, complete=complete)


def _make_driver(
    campaign: Campaign, ledger: Ledger, pools: dict[str, Pool], tracker: ProgressTracker, stop: Event
) -> Driver:
    spec, plan = campaign.spec, campaign.plan
    limits = Limits(spec.chunk_limit_min * 60, spec.stall_limit_min * 60)
    if CONTROLLER_TOKEN in os.environ:  # a controller, which may be a job
        limits = limits.ending_within(controller_grace_s(campaign.site.controller))
    max_abs, where = campaign.tagger.tolerance.max_abs, (plan.fingerprint, campaign.folder)
    check = make_cross_pool_check(max_abs, *where, campaign.site.pools, ledger.done)
    return Driver(pools, ledger, tracker, stop, limits, check)


def _drive(driver: Driver, ledger: Ledger, plan: Plan, progress: Progress) -> bool:
    """Run what is pending, and what is gone or damaged when it has ended; return whether all is done."""
    complete = driver.run(ledger.pending)
    for _ in range(_ROUNDS):
        again = recheck(ledger, plan.chunks(), progress) if complete else []
        if not again:
            break
        complete = driver.run(again)
    return complete


def _end(campaign: Campaign, ledger: Ledger, tracker: ProgressTracker, *, complete: bool) -> bool:
    """Count all parts that are there once the pools are closed; return whether every chunk has ended.

    Raises
    ------
    CampaignError
        Parts are gone or damaged.
    """
    progress, plan = tracker.counts, campaign.plan
    complete = reconcile(ledger, plan.chunks(), progress) or complete
    lost = recheck(ledger, plan.chunks(), progress) if complete else []
    progress.in_flight, progress.stopping = 0, progress.stopping and not complete
    tracker.publish()
    if lost:
        gone = counted(len(lost), "part is", "parts are")
        what = f"{gone} gone or damaged since written, as {lost[0].id}.parquet"
        raise CampaignError(str(campaign.folder), what, "The same command makes them again.")
    return complete


def _write_tables(folder: Path, plan: Plan, ledger: Ledger) -> list[dict[str, Any]]:
    """Write ``timing.parquet`` and ``bad.parquet``; remove drafts of dead workers.

    If the plan is gone, it is written again: without it nobody could resume from the parts.
    """
    files = CampaignFolder(folder)
    if not files.is_planned():
        log.warning("%s was gone, and is written again", files.plan.name)
        plan.write(folder)
    sweep(files.predictions)
    rows = loss_rows(plan, ledger)
    write_timing(files.timing, ledger.done)
    write_losses(files.losses, rows)
    return rows
