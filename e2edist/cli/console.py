"""How every verb runs: its command line, what it prints, its errors as one line, its exit code."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from e2edist.errors import (
    MORE_THREADS,
    NO_THREAD,
    ConfigError,
    E2EError,
    InputError,
    ProgrammingError,
    ResourceError,
)
from e2edist.redaction import redact

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from typing import IO

    from rich.console import Console
    from rich.text import Text

    from e2edist.cli.plain_console import PlainConsole

#: Environment variable that asks for the tracebacks of bugs.
TRACEBACK = "E2EDIST_TRACEBACK"
#: Narrower tables can't be read; a terminal that says so does not know its width.
_NARROWEST = 40


def run_verb(
    parser: argparse.ArgumentParser,
    work: Callable[[argparse.Namespace, Console], int],
    argv: Sequence[str] | None = None,
) -> int:
    """Run a verb, print an error that a person can mend as one line, and return the exit code.

    Parameters
    ----------
    work : callable
        Is given the command line and a console, which is stderr where stdout is for machines (``--json``).
    """
    try:
        _check_folder()
        args = parser.parse_args(argv)
        console = make_console(stderr=getattr(args, "json", False) is True)
        console.quiet = getattr(args, "quiet", False)
        with _log_lines(console, shown=getattr(args, "verbose", False)):
            return work(args, console)
    except KeyboardInterrupt:
        return 130
    except Exception as caught:
        return print_error(known_error(caught))


class _LogLines(logging.Handler):
    """Prints log lines, above the progress bar where there is one."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))

    def emit(self, record: logging.LogRecord) -> None:
        """Print a line, without the secrets of addresses."""
        self._console.print(redact(self.format(record)), style="dim")


@contextmanager
def _log_lines(console: Console, *, shown: bool) -> Iterator[None]:
    """Print what this program logs meanwhile, with ``--verbose``."""
    if not shown:
        yield
        return
    logger, handler = logging.getLogger(__package__.partition(".")[0]), _LogLines(console)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


@contextmanager
def loud(console: Console, *, when: bool = True) -> Iterator[None]:
    """Print meanwhile with ``--quiet`` too: what a verb comes to, or what nobody should miss."""
    quiet = console.quiet
    console.quiet = quiet and not when
    try:
        yield
    finally:
        console.quiet = quiet


def print_result(console: Console, *lines: str | Text) -> None:
    """Print what a verb comes to, with ``--quiet`` too."""
    with loud(console):
        for line in lines:
            console.print(line)


def print_error(error: E2EError) -> int:
    """Print an error, a bug's traceback before it if that is asked for; return the exit code.

    It is one line, or one for each fault of a file with those that say where and what to do.
    """
    line = f"e2edist: {error}"
    if isinstance(error, InputError) and error.faults:
        faults = "".join(f"\n- {fault}" for fault in error.faults)
        line = f"e2edist: {error.where} can't be used:{faults}\n{error.todo}"
    trace = error.traceback if isinstance(error, ProgrammingError) else ""
    if trace and os.environ.get(TRACEBACK):
        sys.stderr.write(trace)
    elif isinstance(error, ProgrammingError) and trace:
        line += f" The traceback is in {error.log}." if error.log else f" {TRACEBACK}=1 shows the traceback."
    make_console(stderr=True).print(line)
    return error.exit_code


def known_error(error: Exception) -> E2EError:
    """Return any error as one of ours: as it is, from the system, or a bug."""
    if isinstance(error, E2EError):
        return error
    if isinstance(error, OSError):
        from e2edist.plugins import mark_plugin, plugin_location

        mark_plugin(error)
        where = "" if error.filename is None else str(error.filename)
        todo = f"The plug-in {place} wants it." if (place := plugin_location(error)) else ""
        return E2EError(where, error.strerror or str(error) or type(error).__name__, todo)
    if isinstance(error, MemoryError):
        return ResourceError("", f"not enough memory{f' ({error})' if str(error) else ''}")
    if isinstance(error, RuntimeError) and str(error) == NO_THREAD:
        return ResourceError("", NO_THREAD, MORE_THREADS)
    from e2edist.plugins import as_bug

    return as_bug(error)


def make_console(
    *, stderr: bool = False, file: IO[str] | None = None, width: int | None = None
) -> PlainConsole:
    """Return a console for people, on stdout unless `stderr` or `file` is given."""
    from e2edist.cli.plain_console import PlainConsole

    console = PlainConsole(stderr=stderr, file=file, width=width)
    too_narrow = console.width < _NARROWEST
    if too_narrow:  # else it follows its terminal
        console.width = _NARROWEST
    return console


def _check_folder() -> None:
    try:
        Path.cwd()
    except OSError as error:
        what = f"can't be used ({error.strerror or os.strerror(error.errno or 0)})"
        raise ConfigError("the current folder", what, "Go to another one (cd).") from error
