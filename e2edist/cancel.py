"""``python -m e2edist.cancel DIR``: end a campaign that runs, here or as a batch job, in good order."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from e2edist.cli.console import print_result, run_verb

if TYPE_CHECKING:
    from rich.console import Console

from e2edist.cli.arguments import add_folder, campaign_folder, make_parser
from e2edist.cli.signals import run_process
from e2edist.counted import counted


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = make_parser(
        "cancel",
        "Stop the controller of a campaign and all of its jobs. What is done is kept: the same "
        "submit does the rest.",
        "Exit codes: 0 nothing runs any more, 2 it can't be ended from here.",
        "results",
    )
    add_folder(p)
    p.add_argument(
        "--timeout-s",
        type=float,
        default=240.0,
        metavar="S",
        help="time for an end in good order; then it is ended in any case (default: 240)",
    )
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb; return the exit code."""
    return run_verb(parser(), _cancel, argv)


def _cancel(args: argparse.Namespace, console: Console) -> int:
    from e2edist.control.state import read_state
    from e2edist.control.stop import cancel

    folder = args.folder or campaign_folder(console)
    emit = console.print
    acted = cancel(folder, args.timeout_s, emit)
    counts = read_state(folder, ask_queue=False).counts
    if not acted:
        emit("nothing runs")
    done, whole = counts.events_done, counted(counts.events, "event")
    print_result(console, counted(done, f"of {whole} is done and kept", f"of {whole} are done and kept"))
    return 0


if __name__ == "__main__":
    run_process(main)
