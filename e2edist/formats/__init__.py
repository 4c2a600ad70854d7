"""ROOT files -> EventBatch; one module a format, and its file name is the format's name (see `api`).

>>> info = inspect("events.root")                                             # doctest: +SKIP
>>> with open_events(info, {"EB": frozenset({"detid", "energy"})}) as reader:  # doctest: +SKIP
...     batch = reader.read(0, info.edges[1])
"""

from __future__ import annotations

from e2edist.input_file import FileInfo

from ._file import approximation, inspect
from ._file_cache import read_events
from ._reader import Reader, open_events

__all__ = ["FileInfo", "Reader", "approximation", "inspect", "open_events", "read_events"]
