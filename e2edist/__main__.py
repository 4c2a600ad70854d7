"""``e2edist VERB ...`` is ``python -m e2edist.VERB ...``."""

from __future__ import annotations

import sys
from importlib import import_module

from e2edist import __version__
from e2edist.cli.signals import run_process
from e2edist.cli.verbs import VERBS
from e2edist.errors import ConfigError, advise_nearest

_WIDTH = max(map(len, VERBS))


def main() -> int:
    """Run a verb; return its exit code."""
    verb = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if verb in ("--version", "-V"):
        sys.stdout.write(f"e2edist {__version__}\n")
        return 0
    words = sys.argv[2:]
    if verb == "help" and words:
        verb, words = words[0], ["--help"]
    if verb in VERBS:
        code: int = import_module(f"e2edist.{verb}").main(words)
        return code
    if verb in ("--help", "-h", "help"):
        lines = [f"  {name:{_WIDTH}}  {text}\n" for name, text in VERBS.items()]
        sys.stdout.write(f"usage: e2edist VERB ...\n\n{''.join(lines)}\ne2edist help VERB says more.\n")
        return 0
    from e2edist.cli.console import print_error

    return print_error(ConfigError("", f"there is no verb {verb!r}", advise_nearest(verb, VERBS)))


def run() -> None:
    """Run a verb as this process."""
    run_process(main)


if __name__ == "__main__":
    run()
