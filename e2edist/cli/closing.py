"""The end of a campaign: closing tables, result event, notification, exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from rich.console import Console

from e2edist.accounting.bill import bill_facts, make_bill
from e2edist.accounting.folder_counts import count_folder
from e2edist.accounting.quality import check_limits, compare_with_reference
from e2edist.accounting.summary import summarise
from e2edist.cli.console import print_result
from e2edist.cli.outcome import Outcome, print_next, print_outcome
from e2edist.cli.signals import INTERRUPTED
from e2edist.cli.tables import print_bad, print_bill, print_quality, print_stages
from e2edist.counted import counted
from e2edist.demo.networks import DEMO_SCORES, demo_note
from e2edist.records.losses import check_losses
from e2edist.storage.read_inputs import RENEW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from threading import Event

    from e2edist.accounting.summary import Summary
    from e2edist.campaign.campaign import Campaign
    from e2edist.campaign.run import RunResult
    from e2edist.cli.signals import Signals
    from e2edist.records.plan import Plan

    Emit = Callable[[dict[str, Any]], None]

#: A notification that takes longer is ended; after a signal, that is soon.
_NOTIFY_S, _HURRIED_S = 60.0, 5.0


def close(campaign: Campaign, result: RunResult, console: Console, emit: Emit) -> int:
    """Print the result of a campaign, emit it as a JSON event, and return the exit code.

    Raises
    ------
    CampaignError
        More was lost than may be, or scores are not as they should be.
    """
    total = summarise(result.ledger.done.values())
    drifts = compare_with_reference(campaign.folder, total.quality, total.warnings, campaign.spec.reference)
    bill = make_bill(campaign.folder, total.pools)
    print_stages(console, total)
    print_bill(console, [row for row in bill if row.charged])
    lost, skipped = _lost_and_skipped(campaign, result)
    print_bad(console, lost, f"failed: {100 * result.bad_fraction:.4g} % of all events")
    print_bad(console, skipped, _skipped_title(campaign.plan))
    print_quality(console, total.warnings)
    if total.events or result.complete:
        print_outcome(console, _outcome(campaign, result, total, sum(row["events"] for row in lost)))
    facts = {"events": total.events, **total.facts(), "bad_fraction": result.bad_fraction}
    facts |= {"complete": result.complete, "folder": str(campaign.folder), "bill": bill_facts(bill)}
    emit({"what": "result"} | facts)
    if not result.complete:
        print_result(console, kept_message(campaign, result))
        return INTERRUPTED
    _check_losses(campaign, result)
    limits = (campaign.spec.max_nan_fraction, campaign.spec.max_drift)
    check_limits(campaign.folder, total.quality, drifts, limits)
    print_next(console, campaign.folder)
    return 0


def _outcome(campaign: Campaign, result: RunResult, total: Summary, lost: int) -> Outcome:
    urls = [file.url for file in campaign.plan.files]
    left = 0 if result.complete else max(0, campaign.plan.events - total.events)
    note = DEMO_SCORES if demo_note(campaign.tagger.model.sha256, urls) else ""
    run = (result.events, result.seconds)
    skipped = len(campaign.plan.skipped)
    return Outcome(campaign.folder, total, lost, result.bad_fraction, left, *run, note, skipped)


@contextmanager
def stop_on_signal(campaign: Campaign, console: Console, signals: Signals) -> Iterator[Event]:
    """Give the event that the first signal sets; print what a signal does, and at the end what was kept."""
    with report_kept(campaign, console), signals.graceful(lambda: _print_stopping(console)) as stop:
        yield stop


def _print_stopping(console: Console) -> None:
    text = "stopping: letting running chunks finish; Ctrl-C again to stop now"
    console.print(text)


@contextmanager
def report_kept(campaign: Campaign, console: Console) -> Iterator[None]:
    """Print what was kept where an interrupt ends the block."""
    try:
        yield
    except KeyboardInterrupt:
        counts = count_folder(campaign.folder)
        if counts is not None:
            console.print(_kept(counts.events_done, campaign))
        raise


def kept_message(campaign: Campaign, result: RunResult) -> str:
    """Return the line of a campaign that was stopped: what is done, and what became of running chunks."""
    late, cut = result.finished_late, result.cut_off
    parts = [f"{counted(late, 'chunk')} finished after the signal"] if late else []
    parts += [counted(cut, "chunk was cut off", "chunks were cut off")] if cut else []
    return _kept(result.ledger.events_done, campaign, f" ({', '.join(parts)})" if parts else "")


def _kept(done: int, campaign: Campaign, more: str = "") -> str:
    whole = counted(campaign.plan.events, "event")
    kept = counted(done, f"of {whole} is done and kept", f"of {whole} are done and kept")
    return f"stopped: {kept if done else 'no event is done yet'}{more}: the same command does the rest"


def _lost_and_skipped(campaign: Campaign, result: RunResult) -> tuple[list[dict[str, Any]], ...]:
    """Return the rows of ``bad.parquet`` that are losses, and those of files that were skipped on request."""
    lost, skipped = list[dict[str, Any]](), list[dict[str, Any]]()
    for row in result.bad:
        asked = row["uuid"] is None and campaign.plan.skip_bad_files
        (skipped if asked else lost).append(row)
    return lost, skipped


def _skipped_title(plan: Plan) -> str:
    skipped = len(plan.skipped)
    whole = counted(len(plan.files) + skipped, "input file")
    files = counted(skipped, f"of {whole} was skipped", f"of {whole} were skipped")
    return f"warning: {files}, as --skip-bad-files asks (see bad.parquet)"


def _check_losses(campaign: Campaign, result: RunResult) -> None:
    advice = "The same command tries them again."
    if any(RENEW in row["reason"] for row in result.bad):
        advice = f"{RENEW} {advice}"
    if campaign.plan.skipped and not campaign.plan.skip_bad_files:
        advice += " Files that were skipped at planning need a campaign of their own, or --fresh."
    check_losses(str(campaign.folder), result.bad_fraction, campaign.spec.max_bad_fraction, advice)


def notify(command: str, facts: dict[str, Any], console: Console, *, hurried: bool = False) -> None:
    """Run a command of the user's with the result of the campaign on stdin; its faults are warnings.

    ``E2EDIST_STATE`` is done, stopped or failed, ``E2EDIST_FOLDER`` the output folder. Where the process is
    `hurried`, it gets less time.
    """
    state = {"E2EDIST_STATE": str(facts["state"]), "E2EDIST_FOLDER": str(facts["folder"])}
    limit_s = _HURRIED_S if hurried else _NOTIFY_S
    try:
        code, message = _call(command, json.dumps(facts), os.environ | state, limit_s)
    except (OSError, ValueError) as error:  # a command line may hold what no command line can
        fault = str(error)
    except subprocess.TimeoutExpired:
        fault = f"it did not end in {limit_s:.0f} s, and was ended"
    else:
        last = (message.strip() or "no output").splitlines()[-1]
        fault = f"exit code {code}: {last}" if code else ""
    if fault:
        console.print(f"warning: --notify failed: {fault}")


def _call(command: str, text: str, environment: dict[str, str], limit_s: float) -> tuple[int, str]:
    """Run a command line with `text` on stdin; return its exit code and stderr, or else stdout."""
    with subprocess.Popen(  # noqa: S602 - the user's own command line
        command,
        shell=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=environment,
        # A group of its own, which is ended as a whole: a shell leaves its own children behind.
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(text, limit_s)
        except BaseException as error:
            # It ended, and what it left in the background has the pipes still: that is its own affair.
            if isinstance(error, subprocess.TimeoutExpired) and process.poll() is not None:
                return process.returncode, ""
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, err if err.strip() else out
