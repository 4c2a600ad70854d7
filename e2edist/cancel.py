"""``python -m e2edist.cancel DIR``: end a campaign that runs, here or as a batch job, in good order."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from e2edist.cli.console import print_line, run_verb

if TYPE_CHECKING:
    from rich.console import Console

from e2edist.cli.signals import run_process
from e2edist.cli.submit_options import to_path


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = argparse.ArgumentParser(
        prog="python -m e2edist.cancel",
        description="Stop the controller of a campaign and all of its jobs. What is done is kept: the same "
        "submit does the rest.",
        epilog="Exit codes: 0 nothing runs any more, 2 it can't be ended from here.",
    )
    p.add_argument("folder", type=to_path, metavar="DIR", help="output folder of a campaign")
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
    from e2edist.control.state import look
    from e2edist.control.stop import cancel

    say = partial(print_line, console)
    acted = cancel(args.folder, args.timeout_s, say)
    counts = look(args.folder, ask_queue=False).counts
    if not acted:
        say("nothing runs")
    say(f"{counts.events_done:,} of {counts.events:,} events are done and kept")
    return 0


if __name__ == "__main__":
    run_process(main)
