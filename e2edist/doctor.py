"""``python -m e2edist.doctor --site X``: whether a site can run campaigns, and if not, why and what to do."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from e2edist.cli.arguments import add_shared, make_parser, to_path
from e2edist.cli.console import run_verb
from e2edist.cli.signals import run_process

if TYPE_CHECKING:
    from rich.console import Console

    from e2edist.checks import Finding

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = make_parser(
        "doctor",
        "Check batch system, images, folders, network and clock of a site, and run one demo "
        "chunk on one worker of each of its pools.",
        "Exit codes: 0 all is well, 1 warnings only, 2 the user must fix something.",
        "--site local",
        "--site mysite.toml --no-run",
    )
    add_shared(p, "site")
    p.add_argument("--tagger", metavar="NAME", default="eg", help="tagger of the demo chunk (default: eg)")
    add_shared(p, "model")
    p.add_argument(
        "--input",
        nargs="+",
        default=[],
        metavar="URL",
        help="file for the demo chunk in place of made-up events, as for workers that don't see this disk",
    )
    p.add_argument(
        "--output", type=to_path, default=Path(), metavar="DIR", help="folder that a campaign would write to"
    )
    p.add_argument("--no-run", action="store_true", help="leave out the demo chunks: nothing is submitted")
    p.add_argument(
        "--timeout-s",
        type=float,
        default=600.0,
        metavar="S",
        help="patience with each pool's demo chunk, its time in the queue included (default: 600)",
    )
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb; return the exit code."""
    return run_verb(parser(), _doctor, argv)


def _doctor(args: argparse.Namespace, console: Console) -> int:
    worst = 0
    for finding in _findings(args):
        _print_finding(console, finding)
        worst = max(worst, ["ok", "warn", "fail"].index(finding.level))
    return worst


def _findings(args: argparse.Namespace) -> Iterator[Finding]:
    from e2edist.checks.batch_systems import check_batch
    from e2edist.checks.container_images import check_images
    from e2edist.checks.host import check_folders, check_gpus, check_network
    from e2edist.checks.smoke_test import Demo, run_smoke_tests
    from e2edist.config.site import load_site

    site = load_site(args.site)
    yield from check_folders(site, args.output)
    yield from check_network(site)
    yield from check_gpus(site)
    yield from check_batch(site, args.output.absolute())
    yield from check_images(site)
    if not args.no_run:
        demo = Demo(args.tagger, args.model, tuple(args.input), args.output, args.timeout_s)
        yield from run_smoke_tests(site, demo)


def _print_finding(console: Console, finding: Finding) -> None:
    from rich.text import Text

    line = Text(f"{finding.level:5}", style=_STYLES[finding.level])
    line.append(f"{finding.topic:18} ", style="bold" if finding.level != "ok" else "")
    line.append(finding.text, style="none")
    console.print(line)
    if finding.todo:
        console.print(f"     -> {finding.todo}")


if __name__ == "__main__":
    run_process(main)
