"""A campaign as one call: plan or go on, open the pools, drive, sum up."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any

from e2edist.accounting.progress import Progress
from e2edist.accounting.summary import write_timing
from e2edist.accounting.telemetry import Telemetry
from e2edist.campaign.planning import default_chunk_events, make_plan
from e2edist.config.campaign import CampaignSpec, expand_inputs, name_group, take_group
from e2edist.config.site import SiteSpec, threads_of
from e2edist.config.tagger import TaggerSpec, load_tagger
from e2edist.errors import CampaignError, E2EError, OutputError
from e2edist.pools import Pool, check_host, configured, controller_grace_s, show
from e2edist.records.chunk import Chunk
from e2edist.records.folder import CampaignFolder
from e2edist.records.folder_checks import check_usable, prepare_folder
from e2edist.records.ledger import Ledger, open_ledger
from e2edist.records.lock import locked
from e2edist.records.losses import loss_rows, lost_fraction, write_losses
from e2edist.records.plan import Plan, read_plan
from e2edist.records.result_transfer import check_visible
from e2edist.storage.publish import sweep
from e2edist.storage.staging import InputOptions

from .cross_pool_check import make_cross_pool_check
from .driver import Driver
from .heartbeat import TOKEN, Heartbeat, beating
from .limits import Limits
from .logfile import log_to
from .memory import check_chunks
from .model_checks import check_model
from .open_pools import open_pools
from .reconcile import recheck, reconcile, remove_doubles
from .resume import check_same, match_inputs

log = logging.getLogger(__name__)
#: Parts that are not there, or damaged, when a run ends are made again so often.
_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Campaign:
    """A planned campaign, ready to run."""

    spec: CampaignSpec
    site: SiteSpec
    tagger: TaggerSpec
    plan: Plan
    folder: Path
    resumed: bool
    validation: str = ""


@dataclass(frozen=True, slots=True)
class RunResult:
    """What one run of a campaign did.

    Attributes
    ----------
    ledger : Ledger
        Done chunks, of earlier runs too, and entries that were given up in this one.
    seconds, events
        Wall time with workers at hand, and events done in it, in this run.
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


def plan_campaign(spec: CampaignSpec, site: SiteSpec, access: Mapping[str, str] | None = None) -> Campaign:
    """Return the campaign of `spec`: the frozen plan of its folder, or a new one. Writes nothing.

    Parameters
    ----------
    access : mapping of str to str, optional
        `Plan.access`, as whoever detached the campaign found it: the inputs are not compared once more.

    Raises
    ------
    E2EError
        Whatever the user must fix: inputs, tagger, model, folder, memory.
    """
    tagger, folder = load_tagger(spec.tagger, spec.model), Path(spec.output).absolute()
    said = check_model(tagger, site.pools, spec)
    everything = expand_inputs(spec.inputs) if access is None else []
    urls, inputs = take_group(everything, spec.group) if everything else [], _inputs(site)
    check_visible(site.pools, urls, site.inputs.redirectors)
    check_usable(folder, fresh=spec.mode == "fresh")
    old = None if spec.mode == "fresh" else read_plan(folder)
    if old is not None:
        check_same(old, tagger, folder, spec.format, spec.tree)
        check_chunks(old, old, site.pools)
        plan = match_inputs(old, urls, folder, inputs) if access is None else replace(old, access=access)
        return Campaign(spec, site, tagger, plan, folder, resumed=True, validation=said)
    if spec.mode == "resume":
        raise OutputError(str(folder), "has no plan to go on with", "Leave out --resume to start one.")
    lose, form, tree = spec.max_bad_fraction, spec.format, spec.tree
    clusters = make_plan(tagger, urls, format=form, tree=tree, max_bad_fraction=lose, inputs=inputs)
    wanted = spec.chunk_events or default_chunk_events(tagger, clusters.events, _threads(site))
    plan = replace(clusters.with_chunks(wanted), group=name_group(everything, spec.group))
    check_chunks(clusters, plan, site.pools)
    return Campaign(spec, site, tagger, plan, folder, resumed=False, validation=said)


def _inputs(site: SiteSpec) -> InputOptions:
    return InputOptions(**site.inputs.model_dump())


def _threads(site: SiteSpec) -> int:
    return sum((pool.workers or 1) * threads_of(pool) for pool in site.pools.values())


def run_campaign(
    campaign: Campaign, watch: Callable[[Progress], None], stop: Event, ready: Callable[[Pool], None]
) -> RunResult:
    """Run what is pending of a campaign, and write its timing table and its list of bad entries.

    Parameters
    ----------
    watch : callable
        Called with the counts after every change, and a few times a second.
    stop : Event
        Set it to stop giving out chunks; those running may finish for a while (see `Limits`).
    ready : callable
        Called with each pool when its workers are there.

    Returns
    -------
    RunResult

    Raises
    ------
    OutputError
        The folder can't be written, or another driver works on it.
    """
    folder = campaign.folder
    prepare_folder(folder, fresh=campaign.spec.mode == "fresh")
    with locked(folder):
        plan = _freeze(campaign)
        sweep(folder)
        sweep(CampaignFolder(folder).predictions)
        with log_to(CampaignFolder(folder).log):
            ledger = open_ledger(folder, plan.fingerprint, plan.chunks())
            before = ledger.events_done
            try:
                seconds, complete, progress = _drive(replace(campaign, plan=plan), ledger, watch, stop, ready)
            except BaseException:
                with suppress(E2EError, OSError):  # the error that stopped it is the one to tell
                    _write_tables(folder, plan, ledger)
                raise
            rows = _write_tables(folder, plan, ledger)
    events = ledger.events_done - before
    lost, late = lost_fraction(plan, ledger), (progress.finished_late, progress.cut_off)
    return RunResult(ledger, seconds, events, rows, lost, complete, *late)


def _freeze(campaign: Campaign) -> Plan:
    """Return the plan to follow: the folder's, or the new one, written; call it under the lock.

    Raises
    ------
    OutputError
        Somebody else planned something else here since we looked.
    """
    plan, folder = campaign.plan, campaign.folder
    if campaign.resumed:
        return plan
    if campaign.spec.mode == "fresh":
        CampaignFolder(folder).clear()
    meanwhile = read_plan(folder)
    if meanwhile is not None:
        check_same(meanwhile, campaign.tagger, folder)
        return match_inputs(meanwhile, plan.addresses(), folder, _inputs(campaign.site))
    plan = replace(plan, validation=campaign.validation)
    plan.write(folder)
    return plan


def _write_tables(folder: Path, plan: Plan, ledger: Ledger) -> list[dict[str, Any]]:
    """Write ``timing.parquet`` and ``bad.parquet``; remove drafts of dead workers.

    The plan is written again where it is gone: without it nobody could go on with the parts.
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


def _drive(
    campaign: Campaign,
    ledger: Ledger,
    watch: Callable[[Progress], None],
    stop: Event,
    ready: Callable[[Pool], None],
) -> tuple[float, bool, Progress]:
    """Run what is pending; return the seconds with workers at hand, whether all ended, and the counts."""
    done, pending = len(ledger.done), ledger.pending
    progress = Progress(done + len(pending), campaign.plan.events, done, 0, ledger.events_done)
    watch(progress)
    if not pending:
        remove_doubles(ledger)
        return 0.0, True, progress
    for name, spec in campaign.site.pools.items():
        check_host(name, spec)
    name = f"{campaign.tagger.name} -> {campaign.folder}"
    ledger.telemetry = Telemetry(name, campaign.tagger.module)
    heart = Heartbeat(campaign.folder, campaign.site.pools, progress, ledger.telemetry)
    with (
        configured(campaign.site.dask),
        show(ledger.telemetry),
        beating(heart, watch, ready) as (note, met),
    ):
        try:
            with open_pools(campaign, met, stop, heart.interrupt) as pools:
                began = time.monotonic()
                driver = _driver(campaign, ledger, pools, note, stop)
                complete = _run_all(driver, ledger, campaign.plan, progress)
                seconds = time.monotonic() - began
        except BaseException:
            with suppress(E2EError, OSError):  # the error that stopped it is the one to tell
                progress.in_flight = 0
                reconcile(ledger, campaign.plan.chunks(), progress)
                note(progress)
            raise
        complete = reconcile(ledger, campaign.plan.chunks(), progress) or complete
        lost = recheck(ledger, campaign.plan.chunks(), progress) if complete else []
        progress.in_flight, progress.stopping = 0, progress.stopping and not complete
        note(progress)
        _refuse_loss(campaign.folder, lost)
    return seconds, complete, progress


def _driver(
    campaign: Campaign,
    ledger: Ledger,
    pools: dict[str, Pool],
    note: Callable[[Progress], None],
    stop: Event,
) -> Driver:
    spec = campaign.spec
    limits = Limits(spec.chunk_limit_min * 60, spec.stall_limit_min * 60)
    if TOKEN in os.environ:  # a controller, which may be a job
        limits = limits.ending_within(controller_grace_s(campaign.site.controller))
    max_abs, where = campaign.tagger.tolerance.max_abs, (campaign.plan.fingerprint, campaign.folder)
    overlap = make_cross_pool_check(max_abs, where, campaign.site.pools, ledger.done)
    return Driver(pools, ledger, note, stop, limits, overlap)


def _refuse_loss(folder: Path, lost: list[Chunk]) -> None:
    if lost:
        what = f"{len(lost)} parts are gone or damaged since they were written, as {lost[0].id}.parquet"
        raise CampaignError(str(folder), what, "The same command makes them again.")


def _run_all(driver: Driver, ledger: Ledger, plan: Plan, progress: Progress) -> bool:
    """Run what is pending, and what is gone or damaged when it has ended; return whether all is done."""
    complete = driver.run(ledger.pending, progress)
    for _ in range(_ROUNDS):
        again = recheck(ledger, plan.chunks(), progress) if complete else []
        if not again:
            break
        complete = driver.run(again, progress)
    return complete
