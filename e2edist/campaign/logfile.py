"""``submit.log``: the driver's own log, one line per chunk that ended."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from e2edist.redaction import redact


class _LogFile(logging.FileHandler):
    """A log that ignores a full or read-only disk: the driver's own error reports it, once."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, and open the file for the first one, if that can be done."""
        with suppress(OSError):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Drop a line that can't be written."""

    def close(self) -> None:
        """Close the file, and drop lines that are not written yet."""
        with suppress(OSError):
            super().close()


class _Lines(logging.Formatter):
    """Lines without secrets: what a library or a plug-in raises may quote addresses in full."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and the traceback if there is one."""
        return redact(super().format(record))


@contextmanager
def log_to(path: Path) -> Iterator[None]:
    """Append the driver's log to a file of the campaign."""
    logger = logging.getLogger("e2edist")
    handler = _LogFile(path, encoding="utf-8", delay=True)
    handler.setFormatter(_Lines("%(asctime)s %(levelname)s %(message)s"))
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.propagate = propagate
        logger.removeHandler(handler)
        handler.close()
