"""The console of all verbs, which prints text as it is."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

#: First words of lines that people should not overlook, and how they look on a terminal.
_STYLES = {"warning:": "bold yellow", "note:": "yellow", "next:": "bold green", "stopped:": "bold yellow"}


def _with_first_word(line: str) -> Text | str:
    word = line.partition(" ")[0]
    return Text.assemble((word, _STYLES[word]), line[len(word) :]) if word in _STYLES else line


class PlainConsole(Console):
    """Prints text as it is: names may hold what looks like markup or an emoji.

    Lines are never wrapped, so that paths in them can be copied; tables fit the width.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(emoji=False, markup=False, highlight=False, **options)

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as `rich` does, without wrapping text."""
        objects = tuple(_with_first_word(item) if isinstance(item, str) else item for item in objects)
        only_text = all(isinstance(item, str | Text) for item in objects)
        super().print(*objects, **({"soft_wrap": only_text} | options))
