"""``submit --estimate``: some chunks for real, and from them what the rest would take."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from e2edist.accounting.bill import is_charged
from e2edist.accounting.estimate import LIMIT_S, Sampler, enough_chunks, extrapolate, measure_pools
from e2edist.accounting.usage import pool_facts
from e2edist.campaign.run import run_campaign
from e2edist.cli.closing import kept_message
from e2edist.cli.console import loud, print_result
from e2edist.cli.signals import INTERRUPTED
from e2edist.cli.tables import print_estimate
from e2edist.counted import counted
from e2edist.errors import CampaignError, ResourceError
from e2edist.pools import is_batch, starts_at

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from rich.console import Console

    from e2edist.accounting.estimate import Choice
    from e2edist.accounting.progress import Progress
    from e2edist.campaign.campaign import Campaign
    from e2edist.campaign.run import RunResult
    from e2edist.pools import Pool


@dataclass(frozen=True, slots=True)
class Sample:
    """Some chunks that were run to estimate from.

    Attributes
    ----------
    facts : dict
        Of each pool (`pool_facts`).
    before : float
        When this run began, seconds since 1970: its own chunks are the best sample.
    start_s : float
        Seconds until the first worker.
    """

    result: RunResult
    facts: dict[str, dict[str, Any]]
    before: float
    start_s: float


def run_sample(
    campaign: Campaign, callbacks: tuple[Callable[[Progress], None], Callable[[Pool], None]], stop: Event
) -> Sample:
    """Run some chunks of each pool, and keep them.

    Parameters
    ----------
    callbacks : (callable, callable)
        Called with the counts, and with each pool that is there, as those of `run_campaign`.
    stop : Event
        Set when there is enough to estimate from; whoever else sets it ends the sample.
    """
    facts = {name: pool_facts(spec) for name, spec in campaign.site.pools.items()}
    (on_progress, on_pool_ready), before = callbacks, time.time()
    sampler = Sampler(stop, enough_chunks(facts), LIMIT_S)

    def sample(progress: Progress) -> None:
        on_progress(progress)
        sampler.on_progress(progress)

    result = run_campaign(campaign, sample, stop, on_pool_ready)
    return Sample(result, facts, before, sampler.start_s)


def show_estimate(
    campaign: Campaign,
    sample: Sample,
    console: Console,
    emit: Callable[[dict[str, Any]], None],
    *,
    interrupted: bool,
) -> int:
    """Show what the rest would take, unless the sample was `interrupted`; return the exit code.

    Raises
    ------
    CampaignError
        No chunk was done.
    """
    if interrupted:
        print_result(console, kept_message(campaign, sample.result))
        return INTERRUPTED
    choices, notes = _extrapolate(campaign, sample)
    left = campaign.plan.events - sample.result.ledger.events_done
    with loud(console):
        charged = any(map(is_charged, sample.facts.values()))
        print_estimate(console, choices, notes, left, charged=charged)
    emit({"what": "estimate", "events_left": left, "choices": list(map(asdict, choices)), "notes": notes})
    return 0


def _extrapolate(campaign: Campaign, sample: Sample) -> tuple[list[Choice], list[str]]:
    """Return what the rest would take for several numbers of jobs, and notes for people."""
    pools, facts, ledger = campaign.site.pools, sample.facts, sample.result.ledger
    receipts = ledger.done.values()
    recent = [one for one in receipts if one.started >= sample.before]
    measured = measure_pools(recent) or measure_pools(receipts)
    if not measured:
        raise CampaignError(str(campaign.folder), "no chunk was done to estimate from", "See submit.log.")
    jobs = {name: -(-(spec.workers or 1) // facts[name]["workers"]) for name, spec in pools.items()}
    left = campaign.plan.events - ledger.events_done
    notes = [f"{left:,} of {counted(campaign.plan.events, 'event')} are left; what was done is kept."]
    notes += [
        f"pool {name}: no worker came, so nothing is known of it" for name in pools if name not in measured
    ]
    choices = extrapolate(measured, facts, jobs, left, sample.start_s)
    # More machines are nothing that a site file can have, unless they are a batch system's.
    possible = [one for one in choices if is_batch(pools[one.pool].kind) or one.jobs == jobs[one.pool]]
    return possible, notes + _queues(campaign)


def _queues(campaign: Campaign) -> list[str]:
    """Return when the batch systems would start a job that is submitted now."""
    found = []
    for name, spec in campaign.site.pools.items():
        if not is_batch(spec.kind):
            continue
        try:
            when = starts_at(name, spec, campaign.folder.absolute(), campaign.site.dask)
        except ResourceError as error:
            when = f"({error.what})"
        text = f"would start at {when}" if when else "its batch system makes no forecast of its queue"
        found.append(f"pool {name}: {text}")
    return found
