"""The console of all verbs, which prints text as it is."""

from __future__ import annotations

from textwrap import wrap
from typing import Any

from rich.console import Console
from rich.text import Text

#: First words of lines that people should not overlook, and how they look on a terminal.
_STYLES = {
    "e2edist:": "bold red",
    "warning:": "bold yellow",
    "note:": "yellow",
    "next:": "bold green",
    "stopped:": "bold yellow",
    "stopping:": "bold yellow",
    "FAIL": "bold red",
    "refused:": "bold red",
    "against": "",
    "validation": "",
}
#: Those of commands, which are to be copied.
_COMMANDS = ("next:",)


class PlainConsole(Console):
    """Prints text as it is: names may hold what looks like markup or an emoji.

    Sentences, which are known by their first word, are wrapped at blanks on a terminal. Other lines never
    are, so that paths and commands in them can be copied; tables fit the width.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(emoji=False, markup=False, highlight=False, **options)

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as `rich` does, without wrapping other text than sentences, and without blanks at ends."""
        objects = tuple(self._with_first_word(item) if isinstance(item, str) else item for item in objects)
        if all(isinstance(item, str | Text) for item in objects):
            super().print(*objects, **({"soft_wrap": True} | options))
        elif self.is_terminal:
            super().print(*objects, **options)
        else:
            with self.capture() as drawn:
                super().print(*objects, **options)
            lines = drawn.get().split("\n")
            super().print("\n".join(line.rstrip() for line in lines), end="", soft_wrap=True)

    def _with_first_word(self, text: str) -> Text | str:
        word = text.partition(" ")[0]
        if word not in _STYLES:
            return text
        if word not in _COMMANDS:
            text = "\n".join(part for line in text.split("\n") for part in wrapped(self, line, indent="  "))
        return Text.assemble((word, _STYLES[word]), text[len(word) :])


def wrapped(console: Console, text: str, taken: int = 0, indent: str = "") -> list[str]:
    """Return the lines of a text: as wide as a terminal, where names of files stay whole to be copied.

    Parameters
    ----------
    taken : int
        Columns that something else stands in.
    indent : str
        What all lines but the first begin with.
    """
    if not console.is_terminal:
        return [text]
    width = max(20, console.width - taken)
    return wrap(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False) or [""]
