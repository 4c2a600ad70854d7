"""The command line of ``submit``: many options, in groups."""

from __future__ import annotations

import argparse

from e2edist.cli.arguments import add_shared, add_site_options, make_parser


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = make_parser(
        "submit",
        "Run an end-to-end tagger over ROOT files: those that are named, or those of campaign.toml in the "
        "current folder.",
        "Run the same line again after any interruption: what is done stays done. "
        "Exit codes: 0 all done, 1 some entries failed, 2 the user must fix something, 130 interrupted.",
        "--demo",
        "--tagger eg --input 'data/*.root' --output results",
        "--site perlmutter --workflow my.toml --dry-run",
        "--site perlmutter --workflow my.toml --detach",
    )
    _add_what(p.add_argument_group("what to run"))
    _add_how(p.add_argument_group("how to run it; changes no number"))
    _add_limits(p.add_argument_group("what may be lost, and when to stop"))
    _add_mode(p.add_argument_group("try it, resume it, start anew"))
    _add_output(p.add_argument_group("for programs"))
    p.add_argument("--access", help=argparse.SUPPRESS)  # of a controller: see `control.access`
    return p


def _add_mode(p: argparse._ArgumentGroup) -> None:
    p.add_argument("--dry-run", action="store_true", help="print the plan, run nothing, write nothing")
    p.add_argument(
        "--estimate", action="store_true", help="run a few chunks per pool and extrapolate time and cost"
    )
    mode = p.add_mutually_exclusive_group()
    mode.add_argument(
        "--resume", dest="mode", action="store_const", const="resume", help="only resume, never start"
    )
    mode.add_argument(
        "--fresh",
        dest="mode",
        action="store_const",
        const="fresh",
        help="delete what --output holds, and start anew",
    )


def _add_output(p: argparse._ArgumentGroup) -> None:
    p.add_argument(
        "--json", action="store_true", help="print one JSON event per line on stdout, all else on stderr"
    )
    p.add_argument("--notify", metavar="COMMAND", help="run it at the end, with the result as JSON on stdin")


def _add_what(p: argparse._ArgumentGroup) -> None:
    p.add_argument("--workflow", metavar="FILE", help="campaign as TOML; options below override it")
    p.add_argument("--tagger", metavar="NAME", help="name of a tagger, or a tagger's TOML file (default: eg)")
    p.add_argument(
        "--input",
        nargs="+",
        metavar="FILE",
        dest="inputs",
        help="files, globs, folders, lists (text, DAS, Rucio, coffea), addresses; - for a list on stdin",
    )
    p.add_argument(
        "--dataset",
        action="append",
        metavar="NAME=PATTERN",
        dest="datasets",
        help="inputs as --input, of a dataset whose name goes into the tables; may be repeated",
    )
    p.add_argument(
        "--lumi-mask", metavar="FILE", help="golden JSON: only events of its luminosity blocks get rows"
    )
    p.add_argument("--demo", action="store_true", help="made-up events, on the smallest pool of the site")
    p.add_argument("--group", metavar="K/N", help="every N-th input file only, from the K-th on")
    add_shared(p, "model")
    p.add_argument("--output", metavar="DIR", help="folder for plan, predictions and timing")
    add_shared(p, "format", "tree")
    p.add_argument(
        "--accept-failed-validation",
        action="store_true",
        default=None,
        help="run a model that failed validation or mixes images of a batch; plan and receipts record it",
    )


def _add_how(p: argparse._ArgumentGroup) -> None:
    add_site_options(p)
    p.add_argument(
        "--scheduler", metavar="URL", help="use this running Dask scheduler in place of the site's pools"
    )
    p.add_argument("--tls-folder", metavar="DIR", help="ca.pem, key.pem, cert.pem for a tls:// scheduler")
    p.add_argument(
        "--workers",
        metavar="N",
        help="workers of each pool, or the pools to use: gpu=4,cpu=8; cpu=0 leaves that pool out",
    )
    p.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="threads of each worker (0: 1 in batch jobs; on this machine its cores, shared out)",
    )
    p.add_argument("--chunk-events", type=int, metavar="N", help="about so many events in a chunk")
    p.add_argument("--batch", type=int, metavar="N", help="images in one model call")
    p.add_argument(
        "--detach", action="store_true", help="run in the background, or as a job: see [controller] of a site"
    )


def _add_limits(p: argparse._ArgumentGroup) -> None:
    p.add_argument("--max-bad-fraction", type=float, metavar="X", help="allowed fraction of failed events")
    p.add_argument(
        "--skip-bad-files",
        action="store_true",
        default=None,
        help="leave out input files that can't be used, which are listed in bad.parquet",
    )
    p.add_argument(
        "--chunk-limit-min",
        type=float,
        metavar="MIN",
        help="time limit of a chunk; its worker is stopped then",
    )
    p.add_argument(
        "--stall-limit-min", type=float, metavar="MIN", help="end the run after so long without any worker"
    )
    p.add_argument(
        "--reference", metavar="DIR", help="an earlier --output: warn of scores and inputs that drift"
    )
    p.add_argument(
        "--max-nan-fraction", type=float, metavar="F", help="allowed fraction of NaN or infinite scores"
    )
    p.add_argument(
        "--max-drift",
        type=float,
        metavar="PSI",
        help="fail if scores or inputs drift from --reference by more",
    )
