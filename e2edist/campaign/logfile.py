"""``submit.log``: the driver's own log, one line per chunk that ended."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class _LogFile(logging.FileHandler):
    """A log that a full disk silences: the driver's own error says it, without a traceback a line."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Let go of a line that can't be written."""

    def close(self) -> None:
        """Let go of lines that are not written yet, too."""
        with suppress(OSError):
            super().close()


@contextmanager
def log_to(path: Path) -> Iterator[None]:
    """Append the driver's log to a file of the campaign."""
    logger = logging.getLogger("e2edist")
    handler = _LogFile(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    level, spread = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.propagate = spread
        logger.removeHandler(handler)
        handler.close()
