"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import filecmp
import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from e2edist.errors import OutputError

#: Bytes that a file system gives a name; a draft's own ending takes some.
_LONGEST = 255
#: Readers skip names that begin with a dot; this ending keeps globs for ``*.parquet`` away too.
DRAFT_ENDING = ".draft"
#: Answers of file systems (FUSE, network disks) that have no fsync for a file or folder.
_NO_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF})
#: Folders of names that stand for devices and open files.
_DEVICES = (Path("/dev"), Path("/dev/fd"), Path("/proc/self/fd"))


@contextmanager
def publish(path: Path, *, keep_same: bool = False) -> Iterator[Path]:
    """Give a draft to write, and rename it to `path` when the block ends without an error.

    Parameters
    ----------
    keep_same : bool
        Leave a file alone that holds the same bytes already.

    The draft lies in the same folder, is synced to disk before the rename, and is removed on any
    error; what a killed process leaves behind is swept by `sweep`. A name that exists is replaced
    by the same content, so a chunk that runs twice does no harm. A device or a pipe, as ``/dev/stdout``, is
    written to and never replaced.

    Raises
    ------
    OutputError
        The folder can't be written, or the disk is full.
    """
    try:
        with _appended(path) if _is_stream(path) else _replacing(path, keep_same) as draft:
            yield draft
    except OSError as error:
        todo = "Free space or choose another --output; what is done is kept."
        # Libraries put paths and details of theirs into strerror.
        why = os.strerror(error.errno) if error.errno else str(error)
        raise OutputError(str(path), f"can't be written ({why})", todo) from error


@contextmanager
def _replacing(path: Path, keep_same: bool) -> Iterator[Path]:
    ending = f".{uuid4().hex[:12]}{DRAFT_ENDING}"
    draft = path.with_name(f".{cut_name(path.name, _LONGEST - 1 - len(ending))}{ending}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield draft
        if not (keep_same and _same(draft, path)):
            _sync(draft)
            draft.replace(path)
            _sync(path.parent)
    finally:
        # On a disk that has become read-only this fails too, and is not what went wrong.
        with suppress(OSError):
            draft.unlink(missing_ok=True)


@contextmanager
def _appended(path: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="e2edist-") as folder:
        draft = Path(folder) / path.name
        yield draft
        with path.open("ab") as stream:
            stream.write(draft.read_bytes())


def _is_stream(path: Path) -> bool:
    """Return whether a name is that of a device, a pipe or an open file: a rename would take its place."""
    if path.parent in _DEVICES:
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def cut_name(name: str, most: int) -> str:
    """Return the beginning of a name that has at most so many bytes.

    >>> cut_name("abc", 2), cut_name("ab", 9)
    ('ab', 'ab')
    """
    return name.encode(errors="surrogateescape")[:most].decode(errors="ignore")


def write_first(paths: Sequence[Path], text: str) -> Path:
    """Write a file in the first of several places that takes it, and return its path.

    Raises
    ------
    OutputError
        None of them can be written; it is about the last one.
    """
    refused = OutputError("", "no folder for what is kept between runs", "Set HOME or XDG_CACHE_HOME.")
    for path in paths:
        try:
            with publish(path) as draft:
                draft.write_text(text, encoding="utf-8")
        except OutputError as error:
            refused = error
        else:
            return path
    raise refused


def _same(draft: Path, path: Path) -> bool:
    try:
        return filecmp.cmp(draft, path, shallow=False)
    except OSError:  # none there, or it can't be read: it is replaced
        return False


def _sync(path: Path) -> None:
    """Have a file or folder written to disk, where its file system knows how to."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        if path.is_dir():  # one that may be written and not read; its file is synced
            return
        raise
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(handle)


def sweep(folder: Path) -> int:
    """Remove the drafts that killed processes left in `folder`; return how many there were."""
    drafts = list(folder.glob(f".*{DRAFT_ENDING}"))
    for draft in drafts:
        with suppress(OSError):  # readers skip it, and the next writer reports what is wrong
            draft.unlink(missing_ok=True)
    return len(drafts)
