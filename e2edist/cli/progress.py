"""Progress of a run: two lines on a terminal, a line now and then elsewhere, events for machines."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console, ConsoleOptions, RenderResult

    from e2edist.accounting.progress import Progress

#: Plain lines, where the output is not a terminal, come so often.
_PLAIN_S = 10.0
#: Lines for machines.
_MACHINE_S = 2.0
#: Columns of the bar; on narrow terminals it gives way to numbers.
_LEAST_BAR, _MOST_BAR = 8, 40
#: Redrawn so often.
_PER_SECOND = 8


def describe(progress: Progress) -> str:
    """Return rate and forecast; earlier runs do not count for them."""
    if message := _special(progress):
        return message
    return ", ".join([*_rate(progress), *([f"ETA {_span(progress.eta_s)}"] if progress.rate else [])])


def _rate(progress: Progress) -> list[str]:
    return [f"{progress.rate:,.0f} events/s"] if progress.rate else []


def _special(progress: Progress) -> str:
    """Return what is to be said while there is neither rate nor forecast."""
    if progress.stopping:
        return f"stopping, {progress.in_flight} in flight"
    if not progress.done_by and progress.done == progress.chunks:
        return "all done before"
    return progress.waiting


def _span(seconds: float | None) -> str:
    return "--" if seconds is None else str(timedelta(seconds=round(seconds)))


def details(progress: Progress) -> str:
    """Return the rate of late, the workers of each pool, and what was given up."""
    return ", ".join([*_now(progress), *pool_counts(progress), *_failed(progress)])


def _now(progress: Progress) -> list[str]:
    return [f"now {progress.rate_now:,.0f}/s"] if progress.rate_now else []


def _failed(progress: Progress) -> list[str]:
    return [f"{progress.failed:,} failed"] if progress.failed else []


def pool_counts(progress: Progress, *, together: bool = False) -> list[str]:
    """Return how many workers of those wanted each pool has, or all pools together."""
    pools = {name: (wanted, queued, joined) for name, (wanted, queued, _, joined) in progress.pools.items()}
    if together and len(pools) > 1:
        sums = [sum(numbers) for numbers in zip(*pools.values(), strict=True)]
        pools = {f"{len(pools)} pools": (sums[0], sums[1], sums[2])}
    return [
        f"{name} {joined}/{wanted}" + (f" +{queued} queued" if queued else "")
        for name, (wanted, queued, joined) in pools.items()
    ]


class _Screen:
    """The lines of a campaign, fitted to the terminal's width at each redraw."""

    def __init__(self, title: str) -> None:
        self.progress: Progress | None = None
        self._title, self._start = title, time.monotonic()
        self._spinner = Spinner("dots")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        progress, width = self.progress, options.max_width
        if progress is None:
            return
        name = Text(self._title)
        name.truncate(max(4, width // 4), overflow="ellipsis")
        numbers, bar = self._numbers(progress, width - len(name) - 3)
        line = Table.grid(padding=(0, 1, 0, 0))
        parts: list[Any] = [self._spinner, name]
        if bar:
            parts.append(ProgressBar(max(1, progress.chunks), progress.ended, width=bar))
        line.add_row(*parts, numbers)
        yield line
        below = Text("  " + second_line(progress, width - 2), no_wrap=True, overflow="ellipsis")
        below.truncate(width, overflow="ellipsis")
        yield below

    def _numbers(self, progress: Progress, width: int) -> tuple[Text, int]:
        """Return counts and times, as many as leave room for a bar, and the bar's width, 0 for none."""
        took, eta = _span(time.monotonic() - self._start), _span(progress.eta_s)
        count = f"{progress.ended:,}/{progress.chunks:,}"
        ending = progress.ended == progress.chunks or progress.stopping
        times = took if ending or progress.eta_s is None else f"{took}, ETA {eta}"
        for text in (f"{count} chunks, {times}", f"{count}, {times}", f"{count}, {took}"):
            bar = min(_MOST_BAR, width - len(text) - 1)
            if bar >= _LEAST_BAR:
                return Text(text, no_wrap=True), bar
        return Text(text, no_wrap=True, overflow="ellipsis"), 0


def second_line(progress: Progress, width: int) -> str:
    """Return rates, losses and pools; less of them where `width` columns do not hold all."""
    rate, now = _rate(progress), _now(progress)
    if message := _special(progress):
        rate, now = [message], []
    failed, together = _failed(progress), pool_counts(progress, together=True)
    choices = (
        [*rate, *now, *failed, *pool_counts(progress)],
        [*rate, *now, *failed, *together],
        [*rate, *failed, *together],
    )
    lines = [", ".join(words) for words in choices]
    return next((line for line in lines if len(line) <= width), lines[-1])


@contextmanager
def show_progress(console: Console, title: str) -> Iterator[Callable[[Progress], None]]:
    """Give a callback for `run_campaign`: a bar on a terminal that vanishes, else a line now and then."""
    if not console.is_terminal or console.is_dumb_terminal:
        yield _now_and_then(lambda progress: _plain(console, progress), _PLAIN_S)
        return
    screen = _Screen(title)

    def update(progress: Progress) -> None:
        screen.progress = progress

    # What it said at the end, the closing tables say.
    with Live(screen, console=console, refresh_per_second=_PER_SECOND, transient=True):
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
    count = f"{progress.done:,}/{progress.chunks:,} chunks"
    more = details(progress)
    console.print(", ".join(filter(None, (count, describe(progress)))) + (f" ({more})" if more else ""))


def emit_progress(emit: Callable[[dict[str, Any]], None]) -> Callable[[Progress], None]:
    """Return a callback for `run_campaign` that says the counts to a machine now and then."""
    return _now_and_then(lambda progress: emit({"what": "progress"} | progress.facts()), _MACHINE_S)
