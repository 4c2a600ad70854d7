"""Signals that are the driver's alone to answer."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker

#: Semaphores of workers that were killed are removed in any case, and nothing to worry people with.
_SILENT = "ignore::UserWarning:multiprocessing.resource_tracker"


@contextmanager
def signals_blocked() -> Iterator[None]:
    """Block signals in what this thread starts meanwhile: they are the driver's alone to answer."""
    # A terminal that goes ends multiprocessing's tracker, which knows no answer to that signal alone.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        # Starting it unblocks the others in the thread that does it: start it before.
        _start_tracker()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_tracker() -> None:
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = f"{before},{_SILENT}" if before else _SILENT
    try:
        resource_tracker.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before
