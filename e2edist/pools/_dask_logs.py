"""What Dask logs in our processes: nothing where a person looks on, and no dumps after an ordinary end."""

from __future__ import annotations

import logging

#: What they say of tasks that raise and connections that break, the driver says once and in our words.
_LOGGERS = ("distributed", "tornado", "asyncio")
_NOTHING = logging.CRITICAL + 1
#: How lines begin or end with which Dask, or our nanny, begins to end.
_BEGINS = ("Closing Nanny", "Reason: scheduler-is-gone")


def silence_dask_logs() -> dict[str, int]:
    """Silence Dask and what it is built on in this process; return the levels of loggers before."""
    known = [name for name in logging.root.manager.loggerDict if name.split(".", maxsplit=1)[0] in _LOGGERS]
    before = {name: logging.getLogger(name).level for name in {*known, *_LOGGERS}}
    for name, level in before.items():
        # The others ask the one above them.
        if level != logging.NOTSET or name in _LOGGERS:
            logging.getLogger(name).setLevel(_NOTHING)
    return before


def restore_dask_logs(levels: dict[str, int]) -> None:
    """Give loggers their levels back."""
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


class OrdinaryEnd(logging.Filter):
    """Lets through what a worker logs until its end begins, and from then on no warnings and dumps.

    Tasks and connections that are cut then are what ending is. Why it ends was said before.

    Attributes
    ----------
    signalled : bool
        Whether the worker was told to end.
    """

    def __init__(self, *, begun: bool = False) -> None:
        super().__init__()
        self.signalled, self._begun = False, begun

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is to be written."""
        self.signalled = self.signalled or record.name == "distributed._signals"
        self._begun = self._begun or self.signalled or any(word in record.getMessage() for word in _BEGINS)
        if self._begun:
            record.exc_info = record.exc_text = None
        return not self._begun or record.levelno <= logging.INFO

    def watch(self) -> None:
        """Filter what Dask writes in this process from now on."""
        for name in _LOGGERS:
            logger = logging.getLogger(name)
            logger.addFilter(self)
            for handler in logger.handlers:
                handler.addFilter(self)
