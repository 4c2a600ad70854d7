"""What stands on a terminal's screen: real processes on pseudo-terminals, read by a terminal in memory."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pyte
import pytest

POOLS = {"gpu": (8, 2, 6, 6), "gpu_shared": (4, 4, 0, 0), "preempt": (16, 9, 7, 7), "cpu": (128, 28, 99, 99)}
RUN = f"""
import sys, time
from e2edist.accounting.progress import Progress
from e2edist.cli.console import make_console
from e2edist.cli.progress import show_progress

console = make_console()
numbers = dict(rate=12345.6, rate_now=20000.4, eta_s=36001, pools={POOLS}, done_by={{"gpu": 1}})
with show_progress(console, "eg") as show:
    show(Progress(123456, 10**9, done=60000, failed=3, workers=9, **numbers))
    time.sleep(0.3)
    console.print("pool gpu: a line in between")
    time.sleep(float(sys.argv[1]))
console.print("the end")
"""


class Terminal:
    """A process on a pseudo-terminal of some columns."""

    def __init__(self, command, columns, environment=None):
        self.screen = pyte.Screen(columns, 40)
        self._stream = pyte.ByteStream(self.screen)
        self.master, slave = pty.openpty()
        self._size(slave, columns)
        clean = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        clean |= {"TERM": "xterm-256color"} | (environment or {})
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=clean, start_new_session=True
        )
        os.close(slave)
        self.raw = b""

    def _size(self, fd, columns):
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))

    def resize(self, columns):
        self._size(self.master, columns)
        self.screen.resize(columns=columns)
        os.kill(self.process.pid, signal.SIGWINCH)

    def read(self, until, seconds=20.0):
        """Read until `until` holds of the text on the screen; return the lines."""
        end = time.monotonic() + seconds
        while not until("\n".join(self.lines())):
            assert time.monotonic() < end, self.lines()
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    data = os.read(self.master, 65536)
                except OSError:  # the other side is closed
                    break
                self.raw += data
                self._stream.feed(data)
        return self.lines()

    def write(self, text):
        os.write(self.master, text.encode())

    def lines(self):
        return [line.rstrip() for line in self.screen.display if line.strip()]

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.master)


@pytest.fixture
def terminal():
    started = []

    def start(*arguments, **options):
        started.append(Terminal(*arguments, **options))
        return started[-1]

    yield start
    for one in started:
        one.close()


FIRST = {
    60: r"^. eg [━╸╺]+ 60,003/123,456 chunks, 0:00:0\d, ETA 10:00:01$",
    80: r"^. eg [━╸╺]{20,} 60,003/123,456 chunks, 0:00:0\d, ETA 10:00:01$",
    140: r"^. eg [━╸╺]{40} 60,003/123,456 chunks, 0:00:0\d, ETA 10:00:01$",
}
SECOND = {
    60: "  12,346 events/s, 3 failed, 4 pools 112/156 +43 queued",
    80: "  12,346 events/s, now 20,000/s, 3 failed, 4 pools 112/156 +43 queued",
    140: "  12,346 events/s, now 20,000/s, 3 failed, gpu 6/8 +2 queued, gpu_shared 0/4 +4 queued, "
    "preempt 7/16 +9 queued, cpu 99/128 +28 queued",
}


def _shown(run, columns):
    """Return the last two lines, once they are those of a width."""
    return run.read(
        lambda text: re.search(f"{FIRST[columns][:-1]}\n{re.escape(SECOND[columns])}", text, re.M)
    )


@pytest.mark.parametrize("columns", [60, 80, 140])
def test_the_progress_of_a_run_is_whole_on_every_width(terminal, columns):
    run = terminal([sys.executable, "-c", RUN, "0.3"], columns)
    lines = run.read(lambda text: "the end" in text)
    above, first, second, below = lines[-4:]
    assert (above, below) == ("pool gpu: a line in between", "the end")
    assert re.match(FIRST[columns], first), first
    assert second == SECOND[columns]
    assert run.process.wait(10) == 0


def test_the_progress_follows_a_terminal_that_changes_its_width(terminal):
    run = terminal([sys.executable, "-c", RUN, "3"], 140)
    for columns in (140, 60, 80):
        run.resize(columns)
        _shown(run, columns)


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"NO_COLOR": "1"}])
def test_terminals_that_know_no_colour_get_none(terminal, environment):
    run = terminal([sys.executable, "-c", RUN, "0.2"], 80, environment)
    text = "\n".join(run.read(lambda text: "the end" in text))
    assert not re.search(rb"\x1b\[[\d;]*3[0-7]", run.raw)
    assert ("━" in text) == ("NO_COLOR" in environment)
    if "TERM" in environment:
        assert b"\x1b[" not in run.raw
