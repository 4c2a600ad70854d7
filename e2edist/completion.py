"""``python -m e2edist.completion bash``: the script that completes ``e2edist`` in a shell."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from e2edist.cli.arguments import make_parser
from e2edist.cli.console import run_verb
from e2edist.cli.signals import run_process

if TYPE_CHECKING:
    from rich.console import Console

#: Shell -> where its script belongs.
SHELLS = {
    "bash": "~/.local/share/bash-completion/completions/e2edist",
    "zsh": "a file _e2edist in a folder of $fpath",
    "fish": "~/.config/fish/completions/e2edist.fish",
}


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = make_parser(
        "completion",
        "Print the script with which a shell completes commands, options, files, and the names of taggers, "
        "sites and pools of e2edist. It starts no Python: write it again after an update.",
        "Where it belongs: " + "; ".join(f"{name}: {place}" for name, place in SHELLS.items()) + ".",
        "bash",
        "zsh",
    )
    p.add_argument("shell", choices=list(SHELLS), metavar="SHELL", help=", ".join(SHELLS))
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb; return the exit code."""
    return run_verb(parser(), _completion, argv)


def _completion(args: argparse.Namespace, console: Console) -> int:  # noqa: ARG001
    from e2edist.cli.shell_script import shell_script
    from e2edist.cli.verbs import VERBS

    sys.stdout.write(shell_script(args.shell, VERBS))
    return 0


if __name__ == "__main__":
    run_process(main)
