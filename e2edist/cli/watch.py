"""``status --watch``: the state of a campaign until it ends, redrawn on a terminal, else as lines."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.live import Live

from e2edist.control.status_screen import one_line, screen

if TYPE_CHECKING:
    from rich.console import Console

    from e2edist.control.state import State

#: Seconds between looks.
_PAUSE_S = 5.0
#: A batch system is asked for the queue at most so often.
_QUEUE_S = 30.0
#: Looking takes at most this fraction of the time: ledgers may be long, and disks slow.
_SHARE = 0.2


def watch(console: Console, folder: Path, read: Callable[[], State], seconds: float | None) -> State:
    """Show a campaign until nothing works on it any more; return how it stands then.

    Parameters
    ----------
    read : callable
        Looks at the campaign.
    seconds : float or None
        Between two looks; None: 5 s.
    """
    on_screen = console.is_terminal and not console.is_dumb_terminal and not console.quiet
    pause_s = seconds or _PAUSE_S
    if not on_screen:
        return _lines(console, read, pause_s)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            state, wait_s = _timed(read, pause_s)
            if not state.under_way:
                return state
            live.update(screen(folder, state), refresh=True)
            time.sleep(wait_s)


def _lines(console: Console, read: Callable[[], State], pause_s: float) -> State:
    """Print a line whenever something has changed; rates alone, which always do, are no change."""
    last: tuple[object, ...] = ()
    while True:
        state, wait_s = _timed(read, pause_s)
        if not state.under_way:
            return state
        waits = state.heartbeat.progress.waiting if state.heartbeat else ""
        facts = (state.state, state.why, state.counts.ended, state.counts.events_done, waits)
        if facts != last:
            console.print(f"{time.strftime('%H:%M:%S')} {one_line(state)}")
            last = facts
        time.sleep(wait_s)


def _timed(read: Callable[[], State], pause_s: float) -> tuple[State, float]:
    """Return what `read` sees, and how long to wait before it is called again."""
    start = time.monotonic()
    state = read()
    took_s = time.monotonic() - start
    return state, max(pause_s, took_s / _SHARE, _QUEUE_S if state.state == "queued" else 0.0)
