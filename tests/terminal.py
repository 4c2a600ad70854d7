"""A process on a pseudo-terminal, and a terminal in memory that reads its screen."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time

import pyte


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
