"""Parts of a command line that several verbs share."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e2edist.errors import ConfigError, E2EError, RefusedJobError
from e2edist.urls import named_path

from .command_line import CommandLine

if TYPE_CHECKING:
    from rich.console import Console

    from e2edist.config.site_options import SiteOptions

#: Taken from the current folder where nothing else is named.
WORKFLOW = "campaign.toml"
#: Options that mean the same in every verb that has them.
_SHARED: dict[str, dict[str, Any]] = {
    "site": {"metavar": "NAME", "help": "name of a site, or a site's TOML file (default: local)"},
    "tagger": {"metavar": "NAME", "help": "name of a tagger, or a tagger's TOML file"},
    "model": {"metavar": "ONNX", "help": "in place of the tagger's own model"},
    "format": {"help": "edm, hits or another of `list formats` (default: detected from the file)"},
    "tree": {"help": "tree to read (default: the format's own)"},
}


def to_path(text: str) -> Path:
    """Return the absolute path that a word of a command line names: ``type=`` of argparse."""
    try:
        return named_path(text, "")
    except E2EError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def make_parser(verb: str, description: str, epilog: str, *examples: str) -> CommandLine:
    """Return the command line of a verb, with the options of all verbs.

    Parameters
    ----------
    examples : str
        What may follow the verb, a line each.
    """
    p = CommandLine(verb, description, epilog)
    lines = "\n".join(f"    {p.prog} {line}" for line in examples)
    p.epilog = f"{epilog}\n\nExamples:\n\n{lines}" if examples else epilog
    volume = p.common.add_mutually_exclusive_group()
    volume.add_argument("-q", "--quiet", action="store_true", help="print errors and the result only")
    volume.add_argument("-v", "--verbose", action="store_true", help="print log lines too, as of submit.log")
    return p


def add_shared(p: argparse.ArgumentParser | argparse._ArgumentGroup, *names: str, **changes: Any) -> None:
    """Add options that mean the same in several verbs, with `changes` to their keywords, as ``default``."""
    for name in names:
        p.add_argument(f"--{name}", **(_SHARED[name] | changes))


def add_site_options(p: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add the options that say which site to use, and what is other than its files say."""
    add_shared(p, "site")
    add_site_changes(p)


def add_site_changes(p: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add the options that say what of a site is other than its files say."""
    p.add_argument("--account", metavar="NAME", help="account or project that is charged ($E2EDIST_ACCOUNT)")
    p.add_argument(
        "--image",
        action="append",
        default=[],
        dest="images",
        metavar="IMAGE",
        help="container image, or POOL=IMAGE for that of one pool; repeatable ($E2EDIST_IMAGE)",
    )
    p.add_argument(
        "--pools", metavar="NAMES", help="pools to use, as gpu,cpu or all (default: as the site says)"
    )
    p.add_argument(
        "--set",
        action="append",
        default=[],
        dest="settings",
        metavar="KEY=VALUE",
        help="any key of the site, as pools.cpu.job.walltime_min=240; repeatable",
    )


def site_words(args: argparse.Namespace) -> list[str]:
    """Return the options of `add_site_options` as they were given, for the line of another verb."""
    found = [("--site", args.site), ("--account", args.account), *(("--image", one) for one in args.images)]
    found += [("--pools", args.pools), *(("--set", one) for one in args.settings)]
    return [word for option, value in found if value for word in (option, value)]


def site_options(args: argparse.Namespace, default: str = "local") -> SiteOptions:
    """Return what a command line says of its site, in options of `add_site_options` and of ``submit``.

    Parameters
    ----------
    default : str
        The site where ``--site`` names none.
    """
    from e2edist.config.site_options import SiteOptions

    return SiteOptions(
        site=args.site or default,
        account=args.account,
        images=tuple(args.images),
        pools=() if args.pools is None else to_pools(args.pools),
        settings=tuple(args.settings),
        workers=_workers(getattr(args, "workers", None)),
        threads=getattr(args, "threads", None),
        scheduler=getattr(args, "scheduler", None) or "",
        tls_folder=getattr(args, "tls_folder", None) or "",
    )


def with_advice(error: E2EError, args: argparse.Namespace) -> E2EError:
    """Return an error with what to change where, if it is about a job of the site of a command line."""
    if not isinstance(error, RefusedJobError):
        return error
    from e2edist.config.site_options import make_sources

    sources = make_sources(site_options(args))
    return error.with_advice(sources.advise(error.keys)) if sources is not None else error


def to_pools(text: str) -> tuple[str, ...]:
    """Return the names in the text of ``--pools``."""
    names = split_names(text)
    if not names:
        raise ConfigError("--pools", "names no pool", "Write gpu,cpu, or all; or leave it out.")
    return names


def split_names(text: str) -> tuple[str, ...]:
    """Return the names in a text, apart by commas or blanks; none for an empty one."""
    return tuple(filter(None, re.split(r"[\s,]+", text)))


def _workers(text: str | None) -> int | dict[str, int] | None:
    """Return the workers of ``--workers``: a number for all pools, or ``gpu=4,cpu=8``."""
    if text is None:
        return None
    try:
        if "=" not in text:
            return int(text)
        pairs = [item.split("=") for item in text.split(",")]
        return {name.strip(): int(number) for name, number in pairs}
    except ValueError as error:
        raise ConfigError("--workers", f"{text!r} is not understood", "Write 4, or gpu=4,cpu=8.") from error


def add_folder(p: argparse.ArgumentParser, *, many: bool = False) -> None:
    """Add the output folder of a campaign as ``folder``, or of one or more of them as ``folders``."""
    default = f"(default: that of {WORKFLOW} here)"
    if many:
        text = f"output folders of campaigns {default}"
        p.add_argument("folders", type=to_path, nargs="*", metavar="DIR", help=text)
    else:
        text = f"output folder of a campaign {default}"
        p.add_argument("folder", type=to_path, nargs="?", metavar="DIR", help=text)


def campaign_folder(console: Console) -> Path:
    """Return the output folder of the workflow file of the current folder, where none is given.

    Raises
    ------
    ConfigError
        There is no such file, or it names no output.
    """
    if not Path(WORKFLOW).is_file():
        raise ConfigError("DIR", f"is missing, and there is no {WORKFLOW} here", "Name the output folder.")
    from e2edist.config.toml_models import read_toml

    output = read_toml(Path(WORKFLOW)).get("output")
    if not isinstance(output, str) or not output:
        raise ConfigError("DIR", f"is missing, and {WORKFLOW} names no output", "Name the output folder.")
    folder = named_path(output, f"{WORKFLOW}: output")
    console.print(f"campaign {folder} of {WORKFLOW} in this folder")
    return folder
