"""Files that stay open between ranges: to open one costs as much as to read some hundred events of it."""

from __future__ import annotations

import os
from collections import deque
from threading import Lock
from typing import TYPE_CHECKING

from e2edist.errors import InputError
from e2edist.input_file import InputFile
from e2edist.urls import local_path, public

from ._reader import Reader, open_events

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from e2edist.imaging.event_batch import Columns, EventBatch
    from e2edist.imaging.lumi_mask import LumiMask

#: So many files stay open for their next range, those used last; one thread uses a file at a time.
_MOST_FILES = 4
_open_files: deque[tuple[Hashable, Reader]] = deque()
_lock = Lock()


def read_events(
    file: InputFile,
    columns: Columns,
    collections: Mapping[str, tuple[str, ...]],
    start: int,
    stop: int,
    mask: LumiMask | None = None,
) -> EventBatch:
    """Return the entries ``start:stop`` of a planned file, which stays open for the next of its ranges.

    Parameters are those of `open_events` and `Reader.read`. What fails on a file that was open before
    (a server that hung up) is tried once on one that is opened anew.

    Raises
    ------
    InputError
        As `open_events` and `Reader.read`.
    """
    key = _key(file, columns, collections)
    reader = _pop(key)
    if reader is not None:
        try:
            return _read(reader, key, (start, stop, mask))
        except InputError as error:
            if not error.retryable:
                raise
    return _read(open_events(file, columns, collections), key, (start, stop, mask))


def _key(file: InputFile, columns: Columns, collections: Mapping[str, tuple[str, ...]]) -> Hashable:
    """Return what must be the same for an open file to do."""
    path = local_path(file.url)
    found: tuple[int, ...] = ()
    if path is not None and path.exists():
        stat = path.stat()  # of the file that has the name now
        found = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
    wanted = tuple(sorted((name, tuple(sorted(items))) for name, items in columns.items()))
    # A process that was forked has the file, but not the thread that reads it.
    planned = (os.getpid(), public(file.url), file.uuid, file.tree, file.format)
    return (planned, found, wanted, tuple(sorted(collections.items())))


def _pop(key: Hashable) -> Reader | None:
    """Return an open file, which is this thread's from now on."""
    with _lock:
        for entry in _open_files:
            if entry[0] == key:
                _open_files.remove(entry)
                return entry[1]
    return None


def _read(reader: Reader, key: Hashable, wanted: tuple[int, int, LumiMask | None]) -> EventBatch:
    try:
        batch = reader.read(*wanted)
    except BaseException:
        reader.close()
        raise
    if batch.stop == reader.info.entries:  # the rest, if there is any, is with other workers
        reader.close()
        return batch
    with _lock:
        _open_files.append((key, reader))
        old = [_open_files.popleft()[1]] if len(_open_files) > _MOST_FILES else []
    for other in old:
        other.close()
    return batch
