"""What the handler of signals does, and pools that are given up while they start."""

import signal
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from e2edist.cli.signals import Signals, catch_signals
from e2edist.pools import PoolEnvironment, StoppedError, _pool_start


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on when it is told to; signals within a tenth of a second of it are one."""
    now = SimpleNamespace(s=1000.0)
    monkeypatch.setattr("e2edist.cli.signals.time", SimpleNamespace(monotonic=lambda: now.s))
    return now


def test_a_signal_interrupts_where_nobody_looks_for_it():
    signals = Signals()
    with pytest.raises(KeyboardInterrupt):
        signals.handle(signal.SIGTERM, None)
    assert signals.stop.is_set()


def test_where_somebody_looks_only_the_second_signal_interrupts(clock):
    signals = Signals()
    with signals.graceful(lambda: None) as stop:
        signals.handle(signal.SIGTERM, None)
        assert stop.is_set()
        clock.s += 0.15
        with pytest.raises(KeyboardInterrupt):
            signals.handle(signal.SIGINT, None)
        clock.s += 0.15
        signals.handle(signal.SIGINT, None)  # the closing that it began is not cut off
    assert signals.received == 3


def test_a_signal_that_is_sent_twice_at_once_counts_once(clock):
    """As ``timeout`` does it, and a shell whose terminal goes."""
    signals = Signals()
    with signals.graceful(lambda: None):
        for _ in range(2):
            signals.handle(signal.SIGTERM, None)
            clock.s += 0.05
    assert signals.received == 1


def test_handlers_are_put_back():
    before = signal.getsignal(signal.SIGTERM)
    with catch_signals() as signals:
        assert signal.getsignal(signal.SIGTERM) == signals.handle
        with catch_signals() as inner:
            assert inner is signals
    assert signal.getsignal(signal.SIGTERM) == before


class Interrupted:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)


def test_an_interrupt_that_a_destructor_swallows_comes_again(capsys, monkeypatch):
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
    with catch_signals(), pytest.raises(KeyboardInterrupt):  # noqa: PT012 - when it comes again is not known
        Interrupted()
        for _ in range(200):
            time.sleep(0.02)
    assert capsys.readouterr().err == ""


class SomePool:
    def __init__(self):
        self.closed = threading.Event()

    def close(self):
        self.closed.set()


def test_a_pool_that_is_there_too_late_is_closed(tmp_path, monkeypatch):
    monkeypatch.setattr(_pool_start, "_GIVE_UP_S", 0.1)
    stop, go, pool = threading.Event(), threading.Event(), SomePool()
    place = PoolEnvironment(tmp_path, stop)

    def make():
        stop.set()
        assert go.wait(60)
        return pool

    with pytest.raises(StoppedError):
        place.start(make)
    assert place.giving_up
    go.set()
    assert pool.closed.wait(60)


def test_whatever_a_pool_raises_while_it_starts_is_raised(tmp_path):
    def make():
        raise OSError("no such thing")

    with pytest.raises(OSError, match="no such thing"):
        PoolEnvironment(tmp_path).start(make)
