"""The last lines of a campaign on the screen: what it came to, where that is, what can be done next."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from e2edist.cli.console import print_result
from e2edist.counted import counted
from e2edist.install_hint import verb_command

if TYPE_CHECKING:
    from rich.console import Console

    from e2edist.accounting.summary import Summary

#: What the extra ``report`` installs.
_FOR_REPORT = ("matplotlib", "mplhep", "jinja2")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a campaign came to.

    Attributes
    ----------
    folder : Path
        Where its output is.
    total : Summary
        Sums over all runs.
    lost, fraction : int, float
        Events that were given up or are in files that were skipped, and their fraction of all events.
    left : int
        Events that are still to be done.
    events, seconds : int, float
        Events that this run did, and its time from the first worker on.
    note : str
        What is to be said of the scores (`e2edist.demo.networks.demo_note`).
    skipped : int
        Input files that could not be used.
    """

    folder: Path
    total: Summary
    lost: int
    fraction: float
    left: int
    events: int
    seconds: float
    note: str = ""
    skipped: int = 0


def print_outcome(console: Console, outcome: Outcome) -> None:
    """Print the result, numbers below each other; one line of it with ``--quiet``."""
    if console.quiet:
        print_result(console, _one_line(outcome), *_no_rows(outcome.total))
        return
    rows = _rows(outcome)
    names = max(len(name) for name, *_ in rows)
    numbers = max(len(number) for _, number, _ in rows)
    console.print(Text("result", style="bold"))
    for name, number, about in rows:
        style = "bold red" if name == "lost" and outcome.lost else "bold"
        number_text = Text(f"{number:>{numbers}}", style=style)
        console.print(Text.assemble(f"  {name:{names}}  ", number_text, f"  {about}" if about else ""))
    console.print(f"output  {outcome.folder}")
    console.print(f"read    {_reading(outcome.folder)}")
    if outcome.note:
        console.print(f"note: {outcome.note}")


def print_next(console: Console, folder: Path, *, aggregated: bool = False) -> None:
    """Say which command continues from a campaign that is done, or `aggregated` already."""
    verb = "report" if all(map(find_spec, _FOR_REPORT)) else "aggregate"
    if aggregated and verb == "aggregate":
        return
    console.print(f"next: {verb_command(verb, _short(folder))}")


def _rows(outcome: Outcome) -> list[tuple[str, str, str]]:
    """Return (name, number, what there is to say) of each line."""
    total, good = outcome.total, outcome.total.status.get("ok", 0)
    rate = f"{outcome.events / outcome.seconds:,.0f} per second in this run" if outcome.seconds > 0 else ""
    share = f"{100 * good / total.objects:.1f} % of the objects" if total.objects else ""
    rejected = {status: number for status, number in total.status.most_common() if status != "ok"}
    why = ", ".join(f"{status} {number:,}" for status, number in rejected.items())
    lost = f"{100 * outcome.fraction:.4g} % of all events: see bad.parquet" if outcome.lost else ""
    mask = (
        [] if total.events_in_mask is None else [("in the lumi mask", f"{total.events_in_mask:,}", "events")]
    )
    rows = [
        ("events", f"{total.events:,}", rate if outcome.events else ""),
        *mask,
        ("objects", f"{total.objects:,}", ""),
        ("with scores", f"{good:,}", share),
        ("rejected", f"{sum(rejected.values()):,}", why),
        ("lost", f"{outcome.lost:,}", lost),
    ]
    if outcome.left:
        rows.append(("left", f"{outcome.left:,}", "events that are not done yet"))
    if total.peak_mib:
        rows.append(("memory", f"{total.peak_mib:,}", "MiB of the largest worker"))
    return rows


def _one_line(outcome: Outcome) -> str:
    total, good = outcome.total, outcome.total.status.get("ok", 0)
    counts = f"{counted(total.events, 'event')}, {good:,} of {counted(total.objects, 'object')} with scores"
    skipped = f", {counted(outcome.skipped, 'input file')} skipped" if outcome.skipped else ""
    return f"{counts}, {counted(outcome.lost, 'event')} lost{skipped} -> {outcome.folder}"


def _no_rows(total: Summary) -> list[str]:
    """Return why there are no rows at all, which nobody should miss."""
    return [] if total.objects else [f"warning: {line}" for line in total.warnings]


def _reading(folder: Path) -> str:
    return f"e2edist.open_results({_short(folder)!r}).table()"


def _short(folder: Path) -> str:
    """Return a folder as people name it: from the current one, if it is below that."""
    here = Path.cwd()
    return str(folder.relative_to(here)) if folder != here and folder.is_relative_to(here) else str(folder)
