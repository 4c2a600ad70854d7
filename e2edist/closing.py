"""The end of a campaign: its closing tables, its last line for machines, and whoever wants to know."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

from rich.console import Console

from e2edist.campaign.bill import bill_facts, make_bill
from e2edist.campaign.quality import enforce, review
from e2edist.campaign.summary import summarise
from e2edist.errors import CampaignError
from e2edist.terminal import print_bad, print_bill, print_quality, print_summary, print_where

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2edist.campaign.run import Campaign, RunResult

    Say = Callable[[dict[str, Any]], None]

_INTERRUPTED = 130
#: A notification that takes longer is left to itself no more.
_NOTIFY_S = 60.0


def close(campaign: Campaign, result: RunResult, console: Console, say: Say) -> int:
    """Show what a campaign came to, say it to machines, and return the exit code.

    Raises
    ------
    CampaignError
        More was lost than may be, or scores are not as they should be.
    """
    if not result.complete:
        console.print(
            f"stopped with {result.ledger.events_done:,} of {campaign.plan.events:,} events done: "
            "the same command does the rest",
            highlight=False,
        )
    total = summarise(result.ledger.done.values())
    drifts = review(campaign.folder, total.quality, total.warnings, campaign.spec.reference)
    bill = make_bill(campaign.folder, total.pools)
    print_summary(console, total, result.seconds, result.events)
    print_bad(console, result.bad, result.bad_fraction)
    print_quality(console, total.warnings)
    print_bill(console, bill)
    print_where(console, campaign.folder)
    facts = {"events": total.events, **total.facts(), "bad_fraction": result.bad_fraction}
    facts |= {"complete": result.complete, "folder": str(campaign.folder), "bill": bill_facts(bill)}
    say({"what": "result"} | facts)
    if not result.complete:
        return _INTERRUPTED
    _allow(campaign, result)
    limits = (campaign.spec.max_nan_fraction, campaign.spec.max_drift)
    enforce(campaign.folder, total.quality, drifts, limits)
    return 0


def _allow(campaign: Campaign, result: RunResult) -> None:
    may_be = campaign.spec.max_bad_fraction
    if result.bad_fraction > may_be:
        what = f"{result.bad_fraction:.3%} of the events are lost, {may_be:.3%} may be"
        todo = "bad.parquet lists them; the same command tries them again."
        if campaign.plan.skipped:
            todo += " Files that were skipped at planning need a campaign of their own, or --fresh."
        raise CampaignError(str(campaign.folder), what, todo)


def notify(command: str, facts: dict[str, Any], console: Console) -> None:
    """Run a command of the user's, with what became of the campaign on stdin; its faults are only told.

    ``E2EDIST_STATE`` is done, stopped or failed, ``E2EDIST_FOLDER`` the output folder.
    """
    told = {"E2EDIST_STATE": str(facts["state"]), "E2EDIST_FOLDER": str(facts["folder"])}
    try:
        done = subprocess.run(  # noqa: S602 - the user's own command line
            command,
            shell=True,
            input=json.dumps(facts),
            text=True,
            env=os.environ | told,
            timeout=_NOTIFY_S,
            check=False,
            capture_output=True,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        fault = str(error)
    else:
        last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        fault = f"exit code {done.returncode}: {last}" if done.returncode else ""
    if fault:
        console.print(f"warning: --notify failed: {fault}", highlight=False, markup=False, soft_wrap=True)
