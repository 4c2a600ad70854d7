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

#: Seconds between looks, on a terminal and elsewhere.
_SCREEN_S, _LINES_S = 5.0, 60.0
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
        Between two looks; None: 5 s on a terminal, 60 s elsewhere.
    """
    on_screen = console.is_terminal and not console.is_dumb_terminal and not console.quiet
    pause_s = seconds or (_SCREEN_S if on_screen else _LINES_S)
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
    """Print a line whenever something has changed."""
    last = ""
    while True:
        state, wait_s = _timed(read, pause_s)
        if not state.under_way:
            return state
        line = one_line(state)
        if line != last:
            console.print(f"{time.strftime('%H:%M:%S')} {line}")
            last = line
        time.sleep(wait_s)


def _timed(read: Callable[[], State], pause_s: float) -> tuple[State, float]:
    """Return what `read` sees, and how long to wait before it is called again."""
    start = time.monotonic()
    state = read()
    took_s = time.monotonic() - start
    return state, max(pause_s, took_s / _SHARE, _QUEUE_S if state.state == "queued" else 0.0)
