"""What checks of a site found, for people: a line each, wrapped on a terminal; and their sum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.text import Text

from e2edist.cli.console import loud, print_result
from e2edist.cli.plain_console import wrapped
from e2edist.counted import counted

if TYPE_CHECKING:
    from rich.console import Console

    from e2edist.checks import Finding

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}
#: Exit codes, by level.
_CODES = {"ok": 0, "warn": 1, "fail": 2}
#: Columns of level, and of level and topic; behind them stands the text.
_LEVEL, _TOPIC = 5, 24


def print_findings(console: Console, findings: Iterable[Finding]) -> list[str]:
    """Print findings as they come, and their sum; return the level of each."""
    levels = list[str]()
    for finding in findings:
        with loud(console, when=finding.level != "ok"):
            _print(console, finding)
        levels.append(finding.level)
    console.print()
    print_result(console, summary(levels))
    return levels


def exit_code(levels: Iterable[str]) -> int:
    """Return the exit code of the worst level."""
    return max((_CODES[level] for level in levels), default=0)


def summary(levels: list[str]) -> str:
    """Return the sum of some levels in words.

    >>> summary(["ok", "warn", "fail"]), summary(["ok", "ok"])
    ('1 of 3 checks failed, 1 warning', 'all 2 checks passed')
    """
    failed, warned = levels.count("fail"), levels.count("warn")
    warnings = counted(warned, "warning") if warned else ""
    if failed:
        return f"{failed} of {len(levels)} checks failed" + (f", {warnings}" if warned else "")
    return f"{len(levels)} checks, none failed, {warnings}" if warned else f"all {len(levels)} checks passed"


def _print(console: Console, finding: Finding) -> None:
    first, *more = wrapped(console, finding.text, max(_TOPIC, _LEVEL + len(finding.topic) + 1))
    topic = "bold" if finding.level != "ok" else ""
    line = Text.assemble(
        (f"{finding.level:{_LEVEL}}", _STYLES[finding.level]),
        (f"{finding.topic:{_TOPIC - _LEVEL - 1}} ", topic),
        first,
    )
    console.print(line)
    for text in more:
        console.print(f"{'':{_TOPIC}}{text}")
    todo = wrapped(console, finding.todo, _LEVEL + 3) if finding.todo else []
    for i, text in enumerate(todo):
        console.print(f"{'':{_LEVEL}}{'   ' if i else '-> '}{text}")
