"""``e2edist VERB ...`` is ``python -m e2edist.VERB ...``."""

from __future__ import annotations

import sys
from importlib import import_module

from e2edist import __version__
from e2edist.cli.signals import run_process
from e2edist.errors import ConfigError, nearest

#: Verb -> what it does.
VERBS = {
    "submit": "run a tagger over ROOT files",
    "status": "say how far a campaign is",
    "cancel": "stop a campaign and its jobs",
    "init": "write a site file with your account, image and pools",
    "doctor": "check that a site can run campaigns",
    "aggregate": "check the output of campaigns, and lay it into few sorted files",
    "report": "tell what campaigns found and took, as one page with figures",
    "validate": "compare a model's scores over all ways to run it",
    "convert": "make an ONNX file of a trained model, and validate it",
    "tune": "find the fastest settings of a site's pools for a tagger",
    "list": "list taggers, sites, layers, formats, engines, kinds of pools",
    "show": "say what a tagger, site, layer or plug-in is made of",
}
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

    return print_error(ConfigError("", f"there is no verb {verb!r}", nearest(verb, VERBS)))


def run() -> None:
    """Run a verb as this process."""
    run_process(main)


if __name__ == "__main__":
    run()
