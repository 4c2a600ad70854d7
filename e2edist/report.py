"""``python -m e2edist.report DIR [DIR2 ...]``: campaigns as one page, figures and the paper's table."""

from __future__ import annotations

import argparse
import os
import shlex
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from e2edist.cli.arguments import add_folder, campaign_folder, make_parser, to_path
from e2edist.cli.console import print_result, run_verb
from e2edist.cli.signals import run_process
from e2edist.errors import ConfigError, ResourceError
from e2edist.install_hint import pip_install
from e2edist.records.folder import CampaignFolder

if TYPE_CHECKING:
    from rich.console import Console

    from e2edist.reporting.campaign_stats import CampaignStats
    from e2edist.reporting.mean_images import MeanImages
    from e2edist.reporting.scores import ScoreTable


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = make_parser(
        "report",
        "Tell what campaigns found and what they took: scores, ROC, mean images, time per "
        "module, throughput, efficiency, losses, provenance, bill. One page that needs no network, and the "
        "figures beside it.",
        "Exit codes: 0 written, 2 the user must fix something.",
        "results",
        "results-a results-b --output both",
    )
    add_folder(p, many=True)
    default = f"DIR/{CampaignFolder.report.name}"
    p.add_argument("--output", type=to_path, metavar="DIR", help=f"where to write (default: {default})")
    p.add_argument(
        "--cmssw",
        type=to_path,
        metavar="JSON",
        nargs="+",
        default=[],
        help="resources.json of CMSSW, to compare",
    )
    p.add_argument(
        "--scaling",
        type=to_path,
        metavar="JSON",
        nargs="+",
        default=[],
        help="strong and weak scaling, measured or simulated, to draw",
    )
    p.add_argument("--export-cmssw", type=to_path, metavar="JSON", help="write our timing in that form")
    p.add_argument("--no-images", action="store_true", help="leave the mean images out: no input is read")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb; return the exit code."""
    return run_verb(parser(), _report, argv)


def _report(args: argparse.Namespace, console: Console) -> int:
    args.folders = args.folders or [campaign_folder(console)]
    page = _write(args)
    print_result(console, f"{page}: {_how_to_open(page)}")
    return 0


def _how_to_open(page: Path) -> str:
    """Return how a page is opened from where this runs: on another host it is copied first."""
    path = shlex.quote(str(page.absolute()))
    if os.environ.get("SSH_CONNECTION"):
        return f"on your own machine, scp {socket.gethostname()}:{path} . and open it in a browser"
    return f"open it with {'open' if sys.platform == 'darwin' else 'xdg-open'} {path}"


def _write(args: argparse.Namespace) -> Path:
    if len(args.folders) > 1 and args.output is None:
        raise ConfigError("--output", "is missing", "Name the folder for a report on several campaigns.")
    if len(args.folders) > 1 and args.export_cmssw:
        raise ConfigError("--export-cmssw", "is for one campaign", "Name one folder.")
    try:
        from e2edist.reporting.figures import all_figures, by_tagger
        from e2edist.reporting.page import Content, save_figures, write_page
    except ModuleNotFoundError as error:
        raise ResourceError(str(error.name), "is not installed", f"Run {pip_install('report')}.") from error
    from e2edist.reporting.campaign_stats import read_stats
    from e2edist.reporting.cmssw_table import (
        campaign_columns,
        read_cmssw,
        table_rows,
        write_cmssw,
        write_table,
    )
    from e2edist.reporting.names import folder_names
    from e2edist.reporting.scaling import read_scaling

    folder = args.output or CampaignFolder(args.folders[0]).report
    others = [read_cmssw(path) for path in args.cmssw]
    scaling = [series for path in args.scaling for series in read_scaling(path)]
    folders = list(dict.fromkeys(args.folders))
    campaigns = [read_stats(*both) for both in zip(folders, folder_names(folders), strict=True)]
    tables = [_scores(campaign) for campaign in campaigns]
    wanted = not args.no_images
    both = zip(campaigns, tables, strict=True)
    mean_images = [_mean_images(campaign, some, wanted=wanted) for campaign, some in both]
    module_times = table_rows([*campaign_columns(campaigns), *others])
    scores = by_tagger(campaigns, tables)
    pictures = save_figures(folder, all_figures(campaigns, scores, mean_images, scaling))
    write_table(folder, module_times)
    if args.export_cmssw:
        write_cmssw(args.export_cmssw, campaigns[0])
    return write_page(folder, Content(campaigns, scores, mean_images, module_times, scaling), pictures)


def _scores(campaign: CampaignStats) -> list[ScoreTable]:
    from e2edist.reporting.scores import read_scores

    return read_scores(campaign.folder, campaign.total.quality, campaign.parts)


def _mean_images(campaign: CampaignStats, scores: list[ScoreTable], *, wanted: bool) -> MeanImages:
    from e2edist.reporting.mean_images import Grouping, MeanImages, make_mean_images

    if not wanted or not scores:
        return MeanImages(())
    middle = float(scores[0].edges[[0, -1]].mean())
    grouping = Grouping(campaign.classes, scores[0].column, middle)
    return make_mean_images(campaign.folder, campaign.plan, campaign.chunks(), grouping)


if __name__ == "__main__":
    run_process(main)
