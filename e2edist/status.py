"""``python -m e2edist.status DIR``: how far a campaign is, from its folder alone."""

from __future__ import annotations

import argparse
import gc
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from e2edist.cli.arguments import add_folder, make_parser
from e2edist.cli.console import run_verb
from e2edist.cli.signals import run_process

if TYPE_CHECKING:
    from rich.console import Console

    from e2edist.control.state import State


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = make_parser(
        "status",
        "Say how a campaign stands: running here, elsewhere or in a batch job, done, stopped.",
        "Exit codes: 0 under way, or done without loss; 1 entries were lost, or it stopped before "
        "its end; 2 the user must fix something, or no campaign there.",
        "results",
        "results --json --offline",
    )
    add_folder(p)
    p.add_argument("--json", action="store_true", help="print all that is known as one JSON object")
    p.add_argument("--offline", action="store_true", help="from disk alone: ask no batch system")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb; return the exit code."""
    return run_verb(parser(), _status, argv)


def _status(args: argparse.Namespace, console: Console) -> int:
    # Collecting finds nothing among the many small things of a large plan, and takes half of the time.
    gc.disable()
    try:
        from e2edist.control.state import read_state

        state = read_state(args.folder, ask_queue=not args.offline)
    finally:
        gc.enable()
    if args.json:
        sys.stdout.write(json.dumps(state.facts() | {"exit_code": exit_code(state)}, indent=1) + "\n")
    else:
        from e2edist.control.status_screen import show

        show(console, args.folder, state)
    return exit_code(state)


def exit_code(state: State) -> int:
    """Return 0 under way or done, 1 lost or stopped, 2 failed by an error that somebody must fix."""
    if state.under_way:
        return 0
    if state.state == "failed":
        return 2
    lost = state.counts.failed or (state.counts.skipped and not state.counts.skip_bad_files)
    return 1 if lost or not state.counts.complete else 0


if __name__ == "__main__":
    run_process(main)
