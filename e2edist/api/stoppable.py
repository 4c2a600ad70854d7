"""Interrupts of a call from Python: it ends in good order, and who answered signals before hears of them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from e2edist.cli.signals import Signals, catch_signals


@contextmanager
def stoppable(stop: threading.Event | None) -> Iterator[Signals]:
    """Give the signals that come meanwhile, with `stop` as their event; hand them on at the end.

    Python answers signals in the main thread alone: in other threads there is the event, and no signal.
    """
    if threading.current_thread() is not threading.main_thread():
        signals = Signals()
        signals.stop = stop or signals.stop
        yield signals
        return
    interrupted = False
    with catch_signals() as signals:
        signals.stop = stop or signals.stop
        try:
            yield signals
        except KeyboardInterrupt:
            interrupted = True
    if signals.received:
        signal.raise_signal(signals.number)  # by default an interrupt, or the end of the process
    if interrupted:
        raise KeyboardInterrupt
