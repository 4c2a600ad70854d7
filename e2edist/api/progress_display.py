"""Progress in a notebook's cell, on a terminal, or in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

from e2edist.accounting.progress import Progress
from e2edist.cli import progress as cli_progress
from e2edist.cli.console import make_console
from e2edist.counted import counted

OnProgress = Callable[[Progress], None]
#: A cell is drawn again after so long.
_CELL_S = 0.3


@contextmanager
def show_progress(progress: bool | OnProgress, title: str) -> Iterator[OnProgress]:
    """Give a callback that shows progress: the caller's own, a bar, or for False none."""
    if callable(progress):
        yield progress
    elif not progress:
        yield lambda _: None
    elif in_notebook():
        yield _cell(title)
    else:
        with cli_progress.show_progress(make_console(stderr=True), title) as show:
            yield show


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook, which shows HTML."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return getattr(shell, "kernel", None) is not None


def _cell(title: str) -> OnProgress:
    """Return a callback that draws a bar in the output of the present cell, and again in its place."""
    from IPython.display import display

    handle: Any = display(_bar(title, Progress(0, 0)), raw=True, display_id=True)
    drawn = [0.0]

    def update(progress: Progress) -> None:
        now = time.monotonic()
        if progress.ended == progress.chunks or now - drawn[0] >= _CELL_S:
            drawn[0] = now
            handle.update(_bar(title, progress), raw=True)

    return update


def _bar(title: str, progress: Progress) -> dict[str, str]:
    counts = f"{progress.events_done:,} of {counted(progress.events, 'event')}"
    more = cli_progress.details(progress)
    text = ", ".join(part for part in (counts, cli_progress.describe(progress), more) if part)
    most = max(1, progress.chunks)
    bar = f'<progress value="{progress.ended}" max="{most}" style="width: 20em"></progress>'
    return {"text/plain": f"{title}: {text}", "text/html": f"{escape(title)} {bar} {escape(text)}"}
