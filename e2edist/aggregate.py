"""``python -m e2edist.aggregate DIR [DIR2 ...]``: check campaigns, and add them up into few sorted files."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from e2edist.cli.arguments import add_folder, campaign_folder, make_parser, to_path
from e2edist.cli.console import print_result, run_verb
from e2edist.cli.signals import run_process
from e2edist.counted import counted
from e2edist.errors import CampaignError, ConfigError, OutputError

if TYPE_CHECKING:
    from rich.console import Console

    from e2edist.aggregation.aggregated_files import AggregationResult
    from e2edist.records.plan import Plan
    from e2edist.records.verify import Verification

#: Faults of a kind that are shown.
_SHOWN = 20
#: What to do about events that failed.
_RETRY = "The same submit tries them again."


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = make_parser(
        "aggregate",
        "Check that every planned entry is in the output exactly once, with the values it was "
        "written with, and write one sorted table, timing, losses and sums of one or more campaigns.",
        "Exit codes: 0 whole and right, 1 something is missing, damaged, foreign or lost, 2 the user must "
        "fix something.",
        "results",
        "results --dataset top='*/TTTo*' --friend",
        "results-a results-b --output both",
        "results --verify",
    )
    add_folder(p, many=True)
    p.add_argument("--output", type=to_path, metavar="DIR", help="where to write (default: DIR/aggregated)")
    p.add_argument(
        "--file-mib", type=float, default=256.0, metavar="MIB", help="size of a file (default: 256)"
    )
    _add_tables(p)
    p.add_argument("--partial", action="store_true", help="some groups of submit --group may be missing")
    p.add_argument(
        "--max-bad-fraction",
        type=float,
        default=0.0,
        metavar="X",
        help="fraction of events that may be given up (default: 0)",
    )
    p.add_argument("--verify", action="store_true", help="only check, write nothing")
    p.add_argument(
        "--discard",
        action="store_true",
        help="with --verify: remove damaged and foreign parts; submit makes them again",
    )
    return p


def _add_tables(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--dataset",
        action="append",
        default=[],
        metavar="NAME=PATTERN",
        help="make a table of the input files whose url matches, as top='*/TTTo*'; may be repeated "
        "(default: one table of all)",
    )
    p.add_argument(
        "--friend",
        action="store_const",
        const="ttree",
        help="write a tree of each input file too, entry by entry, for AddFriend of ROOT",
    )
    p.add_argument(
        "--friend-rntuple",
        dest="friend",
        action="store_const",
        const="rntuple",
        help="the same as an RNTuple",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb; return the exit code."""
    return run_verb(parser(), _run, argv)


def _run(args: argparse.Namespace, console: Console) -> int:
    args.folders = args.folders or [campaign_folder(console)]
    if args.discard and not args.verify:
        raise ConfigError("--discard", "goes with --verify", "Add --verify.")
    if not args.file_mib > 0:
        raise ConfigError("--file-mib", f"{args.file_mib:g} is no size", "Name MiB, as 256.")
    if args.verify:
        for folder in args.folders:
            _verify(folder, console, args.max_bad_fraction, discard=args.discard)
        return 0
    if len(args.folders) > 1 and args.output is None:
        raise ConfigError("--output", "is missing", "Name the folder for what several campaigns come to.")
    return _write(args, console)


def _write(args: argparse.Namespace, console: Console) -> int:
    from e2edist.aggregation.aggregated_files import write_aggregated
    from e2edist.aggregation.datasets import make_datasets
    from e2edist.aggregation.finished_campaigns import open_campaigns
    from e2edist.records.folder import AggregatedFolder, CampaignFolder
    from e2edist.records.losses import check_losses

    folder = args.output or CampaignFolder(args.folders[0]).aggregated
    campaigns = open_campaigns(args.folders, partial=args.partial)
    totals = write_aggregated(campaigns, make_datasets(campaigns, args.dataset, args.file_mib), folder)
    _print_totals(totals, console)
    if args.friend:
        from e2edist.aggregation.friend import write_friends

        friends = write_friends(campaigns, folder, args.friend)
        text = f"{len(friends)} friends of input files in {AggregatedFolder(folder).friends}"
        console.print(text)
    check_losses(str(folder), totals.lost_fraction, args.max_bad_fraction, _RETRY)
    if len(args.folders) == 1:
        from e2edist.cli.outcome import print_next

        print_next(console, args.folders[0], aggregated=True)
    return 0


def _print_totals(totals: AggregationResult, console: Console) -> None:
    total = totals.total
    events = totals.events
    about = " (and an unknown number in skipped files)" if events["skipped"] else ""
    lost = f", {'about ' if events['skipped'] else ''}{events['lost']:,} lost" if events["lost"] else ""
    masked = total.events_in_mask
    in_mask = "" if masked is None else f", {masked:,} of them in the lumi mask"
    print_result(
        console,
        f"{counted(total.chunks, 'good part')}, {counted(total.objects, 'row')}, "
        f"{events['done']:,} of {counted(events['planned'], 'event')}{in_mask}{about}{lost}",
    )
    files = f"{counted(len(totals.files), 'file')} below {totals.folder}/table"
    print_result(console, f"{files}, sorted by uuid, entry, kind, object")
    for line in (
        f"and timing.parquet, bad.parquet, summary.json in {totals.folder}",
        *_lumi_lines(totals),
        *(f"worth a look: campaigns differ in {key}: the first counts" for key in totals.metadata_conflicts),
        *(f"worth a look: {text}" for text in total.warnings[:_SHOWN]),
    ):
        console.print(line)
    if len(totals.datasets) > 1:
        from e2edist.cli.tables import print_datasets

        print_datasets(console, totals.datasets)


def _lumi_lines(totals: AggregationResult) -> list[str]:
    from e2edist.records.folder import AggregatedFolder

    path = AggregatedFolder(totals.folder).lumis
    if totals.lumis_unknown:
        events = counted(totals.lumis_unknown, "event is", "events are")
        return [f"no {path.name}: run and lumi of {events} not known"]
    return [f"and {path.name}, for brilcalc"] if path.exists() else []


def _verify(folder: Path, console: Console, limit: float, *, discard: bool) -> None:
    from e2edist.records.chunk import is_chunk_id
    from e2edist.records.lock import locked
    from e2edist.records.losses import check_losses, skipped_events, unwanted_skips
    from e2edist.records.plan import require_plan
    from e2edist.records.verify import verify

    plan = require_plan(folder)
    with locked(folder) if discard else nullcontext():
        found = verify(folder, plan)
        wrong = [path for path, _ in (*found.damaged, *found.foreign) if is_chunk_id(path.stem)]
        if discard:
            _remove(wrong)
    skipped = skipped_events(plan)
    _print_verification(found, plan, console)
    if discard and wrong:
        console.print("removed what is damaged or foreign: submit again")
    if not found.good:
        raise CampaignError(str(folder), found.counts, found.todo("" if discard else "--discard"))
    fraction = (found.given_up + unwanted_skips(plan)) / max(1, plan.events + skipped)
    check_losses(str(folder), fraction, limit, _RETRY)


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(
                str(path), f"can't be removed ({error.strerror})", "Remove it yourself."
            ) from error


def _print_verification(found: Verification, plan: Plan, console: Console) -> None:
    files = counted(len(plan.skipped), "file")
    about = f" (and an unknown number in {files} that could not be opened)" if plan.skipped else ""
    parts = f"{counted(found.parts, 'good part')}, {counted(found.rows, 'row')}"
    print_result(console, f"{parts}, {found.events:,} of {counted(plan.events, 'event')}{about}")
    if found.given_up:
        given_up = counted(found.given_up, "event was", "events were")
        console.print(f"{given_up} given up: see bad.parquet")
    for line in found.faults(_SHOWN):
        console.print(line)


if __name__ == "__main__":
    run_process(main)
