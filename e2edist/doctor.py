"""``python -m e2edist.doctor --site X``: whether a site can run campaigns, and if not, why and what to do."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from e2edist.cli.arguments import add_shared, add_site_options, make_parser, site_words, to_path
from e2edist.cli.console import run_verb
from e2edist.cli.signals import run_process
from e2edist.install_hint import verb_command

if TYPE_CHECKING:
    from rich.console import Console

    from e2edist.checks import Finding

#: Exit code where a check failed.
_FAILED = 2


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = make_parser(
        "doctor",
        "Check batch system, images, folders, network and clock of a site, and run one demo "
        "chunk on one worker of each of its pools, or of its default ones.",
        "Exit codes: 0 all is well, 1 warnings only, 2 the user must fix something.",
        "--site local",
        "--site mysite.toml --no-run",
    )
    add_site_options(p)
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
    from e2edist.cli.findings import exit_code, print_findings

    code = exit_code(print_findings(console, _findings(args)))
    console.print(_next(args, code))
    return code


def _next(args: argparse.Namespace, code: int) -> str:
    """Return what to do now."""
    if code == _FAILED:
        return "next: mend what failed, and run the same line again"
    if args.no_run:
        return "next: the same line without --no-run sends a demo chunk through each pool"
    words = (*site_words(args), "--input", "FILES", "--output", "DIR", "--dry-run")
    return f"next: {verb_command('submit', *words)}"


def _findings(args: argparse.Namespace) -> Iterator[Finding]:
    from e2edist.checks.site_checks import Asked, check_site
    from e2edist.checks.smoke_test import Demo, run_smoke_tests
    from e2edist.cli.arguments import site_options
    from e2edist.config.site_facts import find_fact_faults
    from e2edist.config.site_options import make_site, make_sources

    options = site_options(args)
    site = make_site(options)
    sources = make_sources(options)
    asked = Asked(options.site, args.output, tuple(args.input))
    yield from check_site(site, replace(asked, advise=sources.advise) if sources is not None else asked)
    if not args.no_run and not find_fact_faults(site):  # else no job would start
        demo = Demo(args.tagger, args.model, tuple(args.input), args.output, args.timeout_s)
        yield from run_smoke_tests(site, demo)


if __name__ == "__main__":
    run_process(main)
