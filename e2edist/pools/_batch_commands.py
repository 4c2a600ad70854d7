"""Commands of batch systems, run so that they end, and the logs that their jobs wrote."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Collection
from pathlib import Path

from e2edist.errors import ResourceError

#: A batch system that does not answer in so many seconds is asked again later.
CALL_S = 60
_ELSEWHERE = "Submit from a host of that batch system."


def call(
    *words: str,
    text: str | None = None,
    stderr_too: bool = False,
    also_good: Collection[int] = (),
) -> str:
    """Run a command of a batch system with `text` on its standard input; return what it printed.

    Parameters
    ----------
    stderr_too : bool
        Whether to return what it printed on stderr behind its standard output.
    also_good : collection of int
        Exit codes besides 0 that are no failure.

    Raises
    ------
    ResourceError
        It is not there, fails, or does not answer.
    """
    try:
        # In a session of its own: Ctrl-C is ours to answer, and must not cut off a submission.
        done = subprocess.run(  # noqa: S603 - our own words
            words,
            input=text,
            capture_output=True,
            text=True,
            timeout=CALL_S,
            check=False,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise ResourceError(words[0], "there is no such command here", _ELSEWHERE) from error
    except subprocess.TimeoutExpired as error:
        raise ResourceError(words[0], f"did not answer in {CALL_S} s") from error
    if done.returncode not in {0, *also_good}:
        why = _in_one_line(words[0], done.stderr.strip() or done.stdout.strip())
        raise ResourceError(words[0], f"failed ({done.returncode}): {why}")
    return done.stdout + done.stderr if stderr_too else done.stdout


def _in_one_line(command: str, text: str) -> str:
    """Return what a command said of its failure, without its own name, which stands before that."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "; ".join(line.removeprefix(f"{command}: ").removeprefix("error: ") for line in lines)


def log_to(path: Path | str, number: str = "") -> str:
    """Return the shell line after which a script writes into a file, whatever is in its name.

    Parameters
    ----------
    number : str
        Shell text behind the path, as "$JOB_ID.out".
    """
    return f"exec >>{shlex.quote(str(path))}{number} 2>&1"


def log_tail(folder: Path, *names: str, lines: int = 10) -> str:
    """Return the last lines of the first of some log files in `folder` that has any; empty if none has."""
    for name in names:
        try:
            text = (folder / name).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            continue
        if text:
            return "\n".join(text.splitlines()[-lines:])
    return ""
