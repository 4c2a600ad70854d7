"""Signals that are the driver's alone to answer."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker


@contextmanager
def signals_blocked() -> Iterator[None]:
    """Block signals in what this thread starts meanwhile: they are the driver's alone to answer."""
    # Starting multiprocessing's tracker unblocks signals in the thread that does it: start it before.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
