"""What SIGINT, SIGTERM and SIGHUP do: a verb ends within seconds with exit code 130, and no process stays.

The first signal asks for an end in good order where somebody looks at `Signals.stop`, as the driver of a
campaign does. Anywhere else, and the second time, KeyboardInterrupt is raised in the main thread.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from e2edist.process import prepare_process

#: Exit code of a verb that was stopped by a signal.
INTERRUPTED = 130
#: ``timeout`` and shells that hang up send one signal twice: within so many seconds it is the same.
_SAME_S = 0.1
#: An interrupted process that has not ended after so many seconds is ended the hard way.
_PATIENCE_S = 15.0
#: An interrupt that got lost inside a destructor is raised again after so long.
_AGAIN_S = 0.02


class Signals:
    """The signals that this process got.

    Attributes
    ----------
    stop : Event
        Set by the first signal. The main thread must only look at it, never wait for it: the handler runs
        in the main thread too, and the event's lock is not reentrant.
    received, number : int
        How many signals there were, and the number of the last one.
    ending : bool
        Whether the first one was left to those who look at `stop`, and no other came.
    over : bool
        Nothing is left to interrupt.
    """

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.received = self.number = 0
        self.ending = self.over = False
        self._graceful = self._raise_again = False
        self._last = -float("inf")

    @contextmanager
    def graceful(self, announce: Callable[[], None]) -> Iterator[threading.Event]:
        """Let the first signal only set `stop` meanwhile, at which somebody looks all the time.

        Parameters
        ----------
        announce : callable
            Says to people what a second signal would do. Called soon after the first one, whatever the main
            thread does: not by the handler, which may have come in the midst of a print.
        """
        over = threading.Event()
        threading.Thread(
            target=self._announce, args=(announce, over), name="e2edist-stop", daemon=True
        ).start()
        self._graceful = True
        try:
            yield self.stop
        finally:
            self._graceful = False
            over.set()

    def _announce(self, announce: Callable[[], None], over: threading.Event) -> None:
        while not over.wait(_SAME_S):
            if self.ending:
                over.wait(_SAME_S)  # whoever reads it may send the second one at once
                announce()
                return

    def handle(self, number: int, frame: Any) -> None:  # noqa: ARG002 - as Python calls it
        """Answer a signal; runs in the main thread."""
        if self._raise_again:
            self._raise_again = False
            if self.over:
                return
            raise KeyboardInterrupt
        now = time.monotonic()
        same, self._last = now - self._last < _SAME_S, now
        if same:
            return
        self.received, self.number = self.received + 1, number
        self.stop.set()
        self.ending = self.received == 1 and self._graceful
        # A third one would only cut off the closing, which is bounded.
        if not (self.ending or self.over) and self.received <= 2:
            raise KeyboardInterrupt

    def unraisable(self, lost: Any) -> None:
        """Raise an interrupt again that came while a destructor ran, where Python drops and prints it."""
        if not issubclass(lost.exc_type, KeyboardInterrupt):
            sys.__unraisablehook__(lost)
            return
        self._raise_again = True
        timer = threading.Timer(_AGAIN_S, signal.raise_signal, (signal.SIGINT,))
        timer.daemon = True
        timer.start()


_current: Signals | None = None


@contextmanager
def catch_signals() -> Iterator[Signals]:
    """Answer signals meanwhile; inside `run_process` it is that process's own answer."""
    global _current
    if _current is not None:
        yield _current
        return
    found, hook = Signals(), sys.unraisablehook
    before = _install(found)
    try:
        yield found
    finally:
        _current, sys.unraisablehook = None, hook
        for number, handler in before.items():
            signal.signal(number, handler)


def _install(signals: Signals) -> dict[signal.Signals, Any]:
    """Have `signals` answer; return who did so before."""
    global _current
    _current, sys.unraisablehook = signals, signals.unraisable
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as ``nohup`` wants it
        numbers.append(signal.SIGHUP)
    return {number: signal.signal(number, signals.handle) for number in numbers}


def run_process(main: Callable[[], int]) -> NoReturn:
    """Run a verb as this process, and end it: after a signal at once, whatever runs in other threads."""
    prepare_process()
    signals = Signals()
    try:
        _install(signals)
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        # Gets a byte for each signal, even while the main thread is in a library's code.
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        threading.Thread(target=_end_late, args=(signals, reader), daemon=True).start()
        code = main()
        signals.over = True
    except BaseException as error:
        signals.over = True
        # After an interrupt, whatever else is raised comes of it: imports turn it into errors of theirs.
        if not signals.received and not isinstance(error, KeyboardInterrupt):
            raise
        code = INTERRUPTED
    if signals.received or code == INTERRUPTED:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        _end_now()
    # Nothing is left to be stopped, and Python's own end is not to be cut off.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.exit(code)


def _end_late(signals: Signals, reader: int) -> None:
    """End this process when a signal should have interrupted it and it is still there much later."""
    deadline: float | None = None
    while True:
        left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
        if select.select([reader], [], [], left_s)[0]:
            os.read(reader, 1)
            if deadline is None or signals.ending:
                deadline = time.monotonic() + _PATIENCE_S
        elif signals.ending:
            deadline = None
        else:
            _end_now()


def _end_now() -> NoReturn:
    """End this process without Python's own end, which waits for threads and worker processes.

    Threads may be opening files of servers that don't answer, workers may import for minutes. No other place
    does so: whatever is to be written is written by now.
    """
    multiprocessing = sys.modules.get("multiprocessing")
    for child in multiprocessing.active_children() if multiprocessing else ():
        child.kill()
    os._exit(INTERRUPTED)
