"""``python -m e2edist.list taggers``: what there is by name, plug-ins included."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from e2edist.cli.arguments import make_parser
from e2edist.cli.console import run_verb
from e2edist.cli.signals import run_process

if TYPE_CHECKING:
    from rich.console import Console

#: As in `e2edist.cli.catalogue.KINDS`, which takes long to import.
KINDS = ("taggers", "sites", "layers", "seeds", "formats", "engines", "pools")


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = make_parser(
        "list",
        "List taggers, sites, image layers, ways to find seeds, input formats, engines that run models, and "
        "kinds of pools: ours, your own sites, and plug-ins of other packages.",
        "show NAME says more of one of them.",
        "taggers",
        "sites --json",
    )
    p.add_argument(
        "kinds", nargs="*", choices=KINDS, metavar="KIND", help=f"{', '.join(KINDS)} (default: all)"
    )
    p.add_argument("--json", action="store_true", help="print one JSON list of all")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb; return the exit code."""
    return run_verb(parser(), _list, argv)


def _list(args: argparse.Namespace, console: Console) -> int:
    from rich.text import Text

    from e2edist.cli.catalogue import KINDS as MAKERS
    from e2edist.cli.catalogue import print_entries

    found = {kind: list(MAKERS[kind]()) for kind in args.kinds or KINDS}
    if args.json:
        facts = [entry.facts() for entries in found.values() for entry in entries]
        sys.stdout.write(json.dumps(facts, indent=1) + "\n")
        return 0
    console.quiet = False  # nothing else is printed
    for number, (kind, entries) in enumerate(found.items()):
        if len(found) > 1:
            console.print(Text(f"{chr(10) if number else ''}{kind}", style="bold"))
        print_entries(console, entries)
    return 0


if __name__ == "__main__":
    run_process(main)
