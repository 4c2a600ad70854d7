"""``python -m e2edist.status DIR``: how far a campaign is, from its folder alone."""

from __future__ import annotations

import argparse
import gc
import json
import sys
from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING

from e2edist.cli.arguments import add_folder, campaign_folder, make_parser
from e2edist.cli.console import print_result, run_verb
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
        "results --watch",
        "results --json --offline",
    )
    add_folder(p)
    p.add_argument("--json", action="store_true", help="print all that is known as one JSON object")
    p.add_argument(
        "--watch",
        nargs="?",
        type=_seconds,
        const=0.0,
        metavar="S",
        help="look again every S seconds until it ends (default: 5)",
    )
    p.add_argument("--offline", action="store_true", help="from disk alone: ask no batch system")
    return p


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < inf:
        raise argparse.ArgumentTypeError(f"{text} is no time to wait; give seconds, as 10")
    return seconds


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb; return the exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    return run_verb(parser(), _status, _watch_without_seconds(words))


def _watch_without_seconds(words: list[str]) -> list[str]:
    """Return `words` with the folder first where ``--watch DIR`` would be taken for seconds."""
    if "--watch" in words[:-1] and not words[at := words.index("--watch") + 1].startswith("-"):
        try:
            float(words[at])
        except ValueError:
            return [words[at], *words[:at], *words[at + 1 :]]
    return words


def _status(args: argparse.Namespace, console: Console) -> int:
    from e2edist.control.state import read_state

    folder = args.folder or campaign_folder(console)

    def read() -> State:
        # Collecting finds nothing among the many small things of a large plan, and takes half of the time.
        gc.disable()
        try:
            state = read_state(folder, ask_queue=not args.offline)
        finally:
            gc.enable()
        if args.json:
            indent = 1 if args.watch is None else None  # with --watch one object per line
            facts = state.facts() | {"exit_code": exit_code(state)}
            sys.stdout.write(json.dumps(facts, indent=indent) + "\n")
            sys.stdout.flush()
        return state

    from e2edist.cli.outcome import print_next
    from e2edist.control.status_screen import one_line, show

    if args.watch is None:
        state = read()
    else:
        from e2edist.cli.watch import watch

        console.quiet |= args.json
        state = watch(console, folder, read, args.watch)
    if not args.json and console.quiet:
        print_result(console, one_line(state))
    elif not args.json:
        show(console, folder, state)
        if state.state == "done" and not exit_code(state):
            print_next(console, folder)
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
