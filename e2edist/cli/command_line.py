"""The command line of a verb: argparse, with errors of one line and help that keeps its examples."""

from __future__ import annotations

import argparse
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from e2edist import __version__
from e2edist.errors import ConfigError
from e2edist.install_hint import verb_command

#: Lines of help are no longer, however wide the terminal is; where the meaning of an option begins.
_WIDEST, _COLUMN = 100, 28


class _HelpFormatter(argparse.HelpFormatter):
    """Wraps paragraphs, and leaves those that are indented by four spaces, the examples, as they are."""

    def __init__(self, prog: str) -> None:
        width = min(shutil.get_terminal_size().columns, _WIDEST) - 2
        super().__init__(prog, max_help_position=_COLUMN, width=width)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = text.split("\n\n")
        kept = (part if part.startswith("    ") else textwrap.fill(part, width) for part in paragraphs)
        return textwrap.indent("\n\n".join(kept), indent)


class CommandLine(argparse.ArgumentParser):
    """A parser whose errors are `ConfigError` of one line, with the option that was meant.

    Parameters
    ----------
    verb : str
    description, epilog : str
        Paragraphs apart by empty lines; those indented by four spaces are not wrapped.
    """

    def __init__(self, verb: str, description: str, epilog: str) -> None:
        self.verb = verb
        super().__init__(
            prog=verb_command(verb),
            description=description,
            epilog=epilog,
            allow_abbrev=False,
            formatter_class=_HelpFormatter,
            add_help=False,
        )
        version = f"e2edist {__version__}"
        self.common = self.add_argument_group("of every command")
        self.common.add_argument("-h", "--help", action="help", help="print this")
        self.common.add_argument(
            "-V", "--version", action="version", version=version, help="print the version"
        )

    def format_help(self) -> str:
        """Return the help, whose first line names only what must be given."""
        words = []
        for action in self._actions:
            value = action.metavar or action.dest.upper()
            if action.option_strings and action.required:
                words.append(f"{action.option_strings[-1]} {value}")
            elif not action.option_strings:
                shown = {"?": f"[{value}]", "+": f"{value} ...", "*": f"[{value} ...]"}
                words.append(shown.get(str(action.nargs), str(value)))
        self.usage = " ".join(["%(prog)s", "[OPTION ...]", *words])
        self._action_groups.sort(key=lambda group: group is self.common)  # last: everybody knows them
        return super().format_help()

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> argparse.Namespace:
        """Return what the command line says.

        Raises
        ------
        ConfigError
            It can't be understood.
        """
        words = sys.argv[1:] if args is None else list(args)
        self._check_options(words)  # a mistyped one is told before what is missing because of it
        found: argparse.Namespace
        found, unknown = self.parse_known_args(words, namespace)
        if unknown:
            raise ConfigError(" ".join(unknown), f"is not understood by {self.verb}", self._more())
        return found

    def error(self, message: str) -> NoReturn:
        """Raise the error for a fault that argparse found."""
        name, colon, what = message.removeprefix("argument ").partition(": ")
        if not colon or not message.startswith("argument "):
            name, what = "", message
        raise ConfigError(name, what, self._more())

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        left_out = value == []  # what argparse has for words that may be left out
        if action.choices is not None and not left_out and value not in action.choices:
            known = [str(choice) for choice in action.choices]
            name = "/".join(action.option_strings) or action.metavar or action.dest
            todo = f"{did_you_mean(str(value), known)}Known: {', '.join(known)}."
            raise ConfigError(str(name), f"there is no {value!r}", todo)

    def _check_options(self, words: list[str]) -> None:
        for i, word in enumerate(words):
            name = word.partition("=")[0]
            if word == "--":
                return
            if not word.startswith("--") or " " in name or name in self._option_string_actions:
                continue
            value = words[i + 1] if word == name and len(words) > i + 1 else ""
            shown = word if not value or value.startswith("-") else f"{word} {value}"
            known = [option for option in self._option_string_actions if option.startswith("--")]
            todo = did_you_mean(name, known) + self._more()
            raise ConfigError(shown, f"{self.verb} has no such option", todo)

    def _more(self) -> str:
        return f"All options: {self.prog} --help"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``Did you mean X?`` and a space for the nearest of `known`; empty if none is near."""
    close = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"Did you mean {close[0]}? " if close else ""
