"""Parts of a command line that several verbs share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from e2edist.errors import E2EError
from e2edist.urls import named_path

from .command_line import CommandLine

#: Options that mean the same in every verb that has them.
_SHARED: dict[str, dict[str, Any]] = {
    "site": {
        "default": "local",
        "metavar": "NAME",
        "help": "name of a site, or a site's TOML file (default: local)",
    },
    "tagger": {"metavar": "NAME", "help": "name of a tagger, or a tagger's TOML file"},
    "model": {"metavar": "ONNX", "help": "in place of the tagger's own model"},
    "format": {"help": "edm or hits (default: detected from the file)"},
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
    lines = "\n".join(f"    python -m e2edist.{verb} {line}" for line in examples)
    p = CommandLine(verb, description, f"{epilog}\n\nExamples:\n\n{lines}" if examples else epilog)
    volume = p.add_mutually_exclusive_group()
    volume.add_argument("-q", "--quiet", action="store_true", help="print errors and the result only")
    volume.add_argument("-v", "--verbose", action="store_true", help="print log lines too, as of submit.log")
    return p


def add_shared(p: argparse.ArgumentParser | argparse._ArgumentGroup, *names: str, **changes: Any) -> None:
    """Add options that mean the same in several verbs, with `changes` to their keywords, as ``default``."""
    for name in names:
        p.add_argument(f"--{name}", **(_SHARED[name] | changes))


def add_folder(p: argparse.ArgumentParser, *, many: bool = False) -> None:
    """Add the output folder of a campaign as ``folder``, or of one or more of them as ``folders``."""
    if many:
        p.add_argument("folders", type=to_path, nargs="+", metavar="DIR", help="output folders of campaigns")
    else:
        p.add_argument("folder", type=to_path, metavar="DIR", help="output folder of a campaign")
