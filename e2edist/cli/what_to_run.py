"""What ``submit`` runs over and where: named files, a workflow file, or demo events."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e2edist.cli.arguments import WORKFLOW, site_options
from e2edist.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from e2edist.config.campaign import CampaignSpec
    from e2edist.config.site import SiteSpec

_CHOICES = f"Name files with --input, a workflow file with --workflow or as {WORKFLOW} here, or give --demo."


def choose(args: argparse.Namespace, console: Console) -> tuple[SiteSpec, CampaignSpec]:
    """Return the site and the campaign of a command line; makes demo events where they are asked for.

    Raises
    ------
    E2EError
        Nothing is named to run over, the site lacks facts that only the user knows, or there are faults.
    """
    from e2edist.cli.demo_campaign import demo_keys, smallest_pool
    from e2edist.config.campaign import load_campaign
    from e2edist.config.site_facts import require_facts
    from e2edist.config.site_options import make_site

    spec = _named_campaign(args, console)
    options = site_options(args, spec.site if spec is not None and spec.site else "local")
    site = smallest_pool(options, console) if args.demo else make_site(options)
    nothing = spec is None and not args.demo
    try:
        require_facts(site, options.site, detached=args.detach)
    except ConfigError as error:
        if not nothing:
            raise
        what = f"{error.what}, and there is nothing to run over"  # both at once
        raise ConfigError(error.where, what, f"{error.todo} {_CHOICES}") from error
    if nothing:
        raise ConfigError("", "there is nothing to run over", _CHOICES)
    return site, spec or load_campaign(None, _given(args) | demo_keys(args, site, console))


def _named_campaign(args: argparse.Namespace, console: Console) -> CampaignSpec | None:
    """Return the campaign of files or of a workflow file; None: of neither."""
    from e2edist.config.campaign import load_campaign

    ways = {"--workflow": args.workflow, "--input": args.inputs, "--dataset": args.datasets}
    named = [way for way, value in ways.items() if value is not None]
    if args.demo:
        if named:
            what = f"has its own events, and {named[0]} names others"
            raise ConfigError("--demo", what, "Leave one of them out.")
        return None
    if not named:
        if not Path(WORKFLOW).is_file():
            return None
        console.print(f"workflow {WORKFLOW} of this folder")
        return load_campaign(WORKFLOW, _given(args))
    given = _given(args)
    if args.workflow is None:
        given["tagger"] = args.tagger or "eg"
        if args.output is None:
            raise ConfigError("--output", "is missing", "Name the folder for the results.")
    return load_campaign(args.workflow, given)


def _given(args: argparse.Namespace) -> dict[str, Any]:
    from e2edist.config.campaign import CampaignSpec

    return {name: getattr(args, name) for name in CampaignSpec.model_fields}
