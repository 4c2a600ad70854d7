"""Whether a site can run campaigns, found out before one is started: one finding a line."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

#: A command that takes longer than this is as bad as none.
CALL_S = 60.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes
    ----------
    level : str
        ok, warn: it works, or may; fail: campaigns can't run so.
    topic : str
        What was looked at.
    text : str
        What was seen.
    todo : str
        What to do about it.
    """

    level: Literal["ok", "warn", "fail"]
    topic: str
    text: str
    todo: str = ""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a command printed, and how it ended; code -1: there is no such command, or it did not end."""

    code: int
    out: str
    seconds: float

    @property
    def last(self) -> str:
        """The last line, which mostly says why."""
        lines = self.out.strip().splitlines()
        return lines[-1] if lines else f"it printed nothing and ended with code {self.code}"


def run_command(words: Sequence[str], text: str | None = None) -> CommandResult:
    """Run a command and return what it printed, on either stream."""
    began = time.monotonic()
    try:
        done = subprocess.run(  # noqa: S603 - words of the site file and ours
            words,
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=CALL_S,
            check=False,
        )
    except OSError as error:
        return CommandResult(-1, f"{words[0]}: {error.strerror}", 0.0)
    except subprocess.TimeoutExpired:
        return CommandResult(-1, f"{words[0]} did not end in {CALL_S:.0f} s", CALL_S)
    return CommandResult(done.returncode, done.stdout, time.monotonic() - began)
