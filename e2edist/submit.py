"""``python -m e2edist.submit``: run a tagger over ROOT files, on this machine or a cluster."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e2edist.cli.arguments import with_advice
from e2edist.cli.console import known_error, loud, print_error, print_result, run_verb
from e2edist.cli.signals import INTERRUPTED, Signals, catch_signals, run_process
from e2edist.cli.submit_options import parser
from e2edist.counted import counted
from e2edist.install_hint import verb_command

if TYPE_CHECKING:
    from rich.console import Console

    from e2edist.accounting.progress import Progress
    from e2edist.campaign.campaign import Campaign
    from e2edist.pools import Pool

#: By exit code; every other one is failed.
_STATES = {0: "done", 1: "incomplete", INTERRUPTED: "stopped"}


class _JsonEvents:
    """Prints one JSON event per line on stdout, with ``--json``; remembers the result of the campaign."""

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled
        self.result: dict[str, Any] = {"folder": ""}
        self.command = ""

    def __call__(self, event: dict[str, Any]) -> None:
        if event["what"] == "result":
            self.result |= event
        if self._enabled:
            sys.stdout.write(json.dumps(event) + "\n")
            sys.stdout.flush()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb; return the exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    with catch_signals() as signals:
        return run_verb(
            parser(), lambda args, console: _submit_and_report(args, words, console, signals), words
        )


def _submit_and_report(args: argparse.Namespace, words: list[str], console: Console, signals: Signals) -> int:
    """Submit, print the last JSON event, and run ``--notify`` with how it ended."""
    emit, error = _JsonEvents(enabled=args.json), ""
    try:
        code = _submit(args, words, console, emit, signals)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception as caught:
        known = with_advice(known_error(caught), args)
        code, error = print_error(known), str(known)
    if code == INTERRUPTED:
        _print_resume(words, console, emit)
    state = _STATES.get(code, "failed")
    code = INTERRUPTED if signals.received else code
    if args.access not in (None, "-") and code != INTERRUPTED:  # a job that was evicted may be started again
        Path(args.access).unlink(missing_ok=True)
    end = {"state": state, "exit_code": code, "error": error}
    emit({"what": "end"} | end)
    if emit.command:
        from e2edist.cli.closing import notify

        notify(emit.command, emit.result | end, console, hurried=bool(signals.received))
    return INTERRUPTED if signals.received else code


def _print_resume(words: list[str], console: Console, emit: _JsonEvents) -> None:
    """Print the line that continues an interrupted campaign; nobody pastes that of a controller."""
    from e2edist.campaign.heartbeat import CONTROLLER_TOKEN
    from e2edist.control.resume_line import resume_line

    if emit.result["folder"] and CONTROLLER_TOKEN not in os.environ:
        console.print(f"next: {resume_line(words)}")


def _submit(
    args: argparse.Namespace, words: list[str], console: Console, emit: _JsonEvents, signals: Signals
) -> int:
    from e2edist.cli.campaign_setup import set_up_campaign
    from e2edist.cli.what_to_run import choose

    (site, spec), access = choose(args, console), None
    if args.access:
        from e2edist.control.secret_addresses import read_access

        access = read_access(args.access)
    campaign = set_up_campaign(spec, site, console.print, access)
    if args.dry_run:
        from e2edist.cli.demo_campaign import as_it_will_be
        from e2edist.cli.dry_run import DryRun, show

        campaign, missing = as_it_will_be(campaign) if args.demo else (campaign, "")
        dry = DryRun(campaign, words, args.detach, args.estimate, missing)
        with loud(console):  # the plan is what was asked for
            show(dry, console, emit if args.json else None)
        return 0
    if args.detach:
        return _detach(campaign, words, console)
    emit.result["folder"], emit.command = str(campaign.folder), spec.notify
    return _run(campaign, console, emit, signals, estimating=args.estimate)


def _detach(campaign: Campaign, words: list[str], console: Console) -> int:
    from e2edist.cli.outcome import print_next
    from e2edist.control.detach import detach
    from e2edist.records.ledger import is_done

    plan, folder = campaign.plan, campaign.folder
    size = f"{counted(plan.events, 'event')} in {counted(len(plan.chunks()), 'chunk')} -> {folder}"
    if campaign.resumed and is_done(folder, plan.fingerprint, plan.chunks()):
        print_result(console, f"all done: {size}")
        print_next(console, folder)
        return 0
    controller = detach(campaign, words)
    console.print(f"{size}{_done_before(campaign)}")
    print_result(console, f"detached as {controller.name}, log {controller.log}")
    console.print(f"next: {verb_command('status', str(folder), '--watch')}")
    console.print(f"to stop it: {verb_command('cancel', str(folder))}")
    return 0


def _done_before(campaign: Campaign) -> str:
    """Return what to say of events that earlier runs have done."""
    from e2edist.accounting.folder_counts import count_folder

    counts = count_folder(campaign.folder) if campaign.resumed else None
    return f", {counts.events_done:,} of them done already" if counts and counts.events_done else ""


def _run(
    campaign: Campaign, console: Console, emit: _JsonEvents, signals: Signals, *, estimating: bool
) -> int:
    from e2edist.campaign.resume import changed_files
    from e2edist.campaign.run import run_campaign
    from e2edist.cli.closing import close, report_kept, stop_on_signal
    from e2edist.cli.dashboards import dashboard_lines
    from e2edist.cli.estimate import run_sample, show_estimate
    from e2edist.cli.progress import emit_progress, show_progress
    from e2edist.config.lumi_mask import describe_mask
    from e2edist.demo.networks import demo_note

    def on_pool_ready(pool: Pool) -> None:
        for line in dashboard_lines(pool, campaign.site.pools[pool.name].kind):
            console.print(line)

    plan = campaign.plan
    again = ", as planned before" if campaign.resumed else ""
    console.print(f"{counted(plan.events, 'event')} -> {campaign.folder}{again}{_done_before(campaign)}")
    if plan.lumi_mask:
        console.print(f"lumi mask: {describe_mask(plan.lumi_mask)}")
    if note := demo_note(campaign.tagger.model.sha256, (file.url for file in plan.files)):
        console.print(f"note: {note}")
    for url in changed_files(plan) if campaign.resumed else ():
        text = f"warning: {url} is not the file that was planned: its parts are of the old one"
        console.print(text)
    with show_progress(console, campaign.tagger.name) as show:
        emit_counts = emit_progress(emit)

        def on_progress(progress: Progress) -> None:
            show(progress)
            emit_counts(progress)

        with stop_on_signal(campaign, console, signals) as stop:
            if estimating:
                sample = run_sample(campaign, (on_progress, on_pool_ready), stop)
            else:
                result = run_campaign(campaign, on_progress, stop, on_pool_ready)
    if estimating:  # below the progress, which is gone now
        return show_estimate(campaign, sample, console, emit, interrupted=bool(signals.received))
    with report_kept(campaign, console):
        return close(campaign, result, console, emit)


if __name__ == "__main__":
    run_process(main)
