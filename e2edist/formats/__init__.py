"""ROOT files -> EventBatch; one module a format, and its file name is the format's name.

>>> info = inspect("events.root")                                             # doctest: +SKIP
>>> with open_events(info, {"EB": frozenset({"detid", "energy"})}) as reader:  # doctest: +SKIP
...     batch = reader.read(0, info.edges[1])

A format is a module with ``TREES`` (names its tree usually has), ``detect(names) -> bool`` and
``bind(request) -> BranchMap``. Reading itself is the same for all formats.

Of their own code only an `EntriesError` says that entries hold what can't be; any other exception is a bug of
the format, and a campaign in which nothing else happens stops (calls of libraries: see `errors.guarded`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._file import FileInfo
    from ._file_cache import forget_files, read_events
    from ._reader import Reader, open_events

__all__ = ["FileInfo", "Reader", "forget_files", "inspect", "open_events", "read_events"]

_HOME = {
    "FileInfo": "_file",
    "Reader": "_reader",
    "forget_files": "_file_cache",
    "open_events": "_reader",
    "read_events": "_file_cache",
}


def __getattr__(name: str) -> Any:
    """Import uproot only when something of it is used: a verb that opens no file answers at once."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def inspect(url: str, format: str | None = None, tree: str | None = None) -> FileInfo:  # noqa: A002
    """Return what a plan must know about a file, without reading events.

    Parameters
    ----------
    url : str
        Local path, ``file://``, ``root://`` or ``https://``.
    format, tree : str, optional
        Found out where not given.

    Raises
    ------
    InputError
        If the file is missing, not ROOT, cut short, or of no known format; it says what to do.
    """
    from ._file import open_tree

    opened = open_tree(url, format, tree)
    opened.close()
    return opened.info
