"""Progress of a running campaign: a bar on a terminal, a line now and then elsewhere, events for machines."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from e2edist.accounting.progress import Progress

#: Plain lines, where the output is not a terminal, come so often.
_PLAIN_S = 10.0
#: Lines for machines.
_MACHINE_S = 2.0


def describe(progress: Progress) -> str:
    """Return rate and forecast; earlier runs do not count for them."""
    if progress.stopping:
        return f"stopping, {progress.in_flight} in flight"
    if not progress.done_by and progress.done == progress.chunks:
        return "all done before"
    if not progress.workers and progress.rate is None:
        return "waiting for workers"
    if not progress.rate:
        return "-- events/s, ETA --"
    return f"{progress.rate:,.0f} events/s, ETA {timedelta(seconds=progress.eta_s or 0)}"


def details(progress: Progress) -> str:
    """Return the rate of late, the workers of each pool, and what was given up."""
    found = [f"now {progress.rate_now:,.0f}/s"] if progress.rate_now else []
    for name, (wanted, queued, _, joined) in progress.pools.items():
        found.append(f"{name} {joined}/{wanted}" + (f" +{queued} queued" if queued else ""))
    return ", ".join(found + ([f"{progress.failed} failed"] if progress.failed else []))


@contextmanager
def show_progress(console: Console, title: str) -> Iterator[Callable[[Progress], None]]:
    """Give a callback for `run_campaign` that shows a bar on a terminal, else a line now and then."""
    if not console.is_terminal:
        yield _now_and_then(lambda progress: _plain(console, progress), _PLAIN_S)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        MofNCompleteColumn(),
        TextColumn("chunks, {task.fields[message]}"),
        TextColumn("{task.fields[more]}"),
    )
    with Bar(*columns, console=console) as bar:
        task = bar.add_task(title, total=None, message="", more="")

        def update(progress: Progress) -> None:
            message, more = describe(progress), details(progress)
            bar.update(task, total=progress.chunks, completed=progress.ended, message=message, more=more)

        yield update


def _now_and_then(show: Callable[[Progress], None], seconds: float) -> Callable[[Progress], None]:
    """Return a callback that shows every so many seconds, and when all ended."""
    last = [time.monotonic()]

    def look(progress: Progress) -> None:
        now = time.monotonic()
        if progress.ended == progress.chunks or now - last[0] >= seconds:
            last[0] = now
            show(progress)

    return look


def _plain(console: Console, progress: Progress) -> None:
    text = f"{progress.done}/{progress.chunks} chunks, {progress.failed} failed, {describe(progress)}"
    more = details(progress)
    console.print(f"{text} ({more})" if more else text)


def emit_progress(emit: Callable[[dict[str, Any]], None]) -> Callable[[Progress], None]:
    """Return a callback for `run_campaign` that says the counts to a machine now and then."""
    return _now_and_then(lambda progress: emit({"what": "progress"} | progress.facts()), _MACHINE_S)
