"""Copies of input files on a node's own disk, shared by all processes and threads there.

Every entry is three names in one folder: ``NAME`` (whole, always), ``.NAME.draft`` (being copied) and
``.NAME.lock``. Readers share the lock, writers hold it alone; the kernel frees the locks of killed
processes, so a killed worker can neither block others nor leave a half-written entry.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from e2edist.errors import InputError, ResourceError

from ._remote_files import HEADER, Remote, check_header

_DRAFT, _LOCK, _SPACE = ".draft", ".lock", ".space"
_GIB = 2**30
_TODO = "Give more cache_gib or another scratch in [inputs] of the site; inputs are read in place meanwhile."


class ScratchError(ResourceError):
    """The node's disk can't take a copy; the input itself may be fine."""


@contextmanager
def _locked(path: Path, how: int) -> Iterator[bool]:
    """Hold a lock; False where ``LOCK_NB`` is asked for and somebody else has it."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, how)
        except BlockingIOError:
            os.close(handle)
            yield False
            return
        except BaseException:
            os.close(handle)
            raise
        if os.fstat(handle).st_nlink:
            break
        os.close(handle)  # removed while we waited: that lock guards nothing any more
    try:
        yield True
    finally:
        os.close(handle)


@dataclass(frozen=True, slots=True)
class CachedCopy:
    """An entry in use: `fresh` if this call made it, `inode` identifies it."""

    path: Path
    fresh: bool
    inode: int


@dataclass(frozen=True, slots=True)
class InputCache:
    """A folder of copies that together stay below `bound` bytes."""

    folder: Path
    bound: int

    def prepare(self) -> None:
        """Make the folder, for this user alone."""
        with _scratch(self.folder):
            self.folder.mkdir(mode=0o700, exist_ok=True)
            owner = self.folder.stat().st_uid
        if owner != os.getuid():
            raise ScratchError(str(self.folder), "belongs to somebody else", "Choose another scratch.")

    @contextmanager
    def writing(self, name: str) -> Iterator[None]:
        """Hold `name` alone: nobody reads, copies or removes it."""
        with _scratch(self.folder), _locked(self._lock(name), fcntl.LOCK_EX):
            yield

    @contextmanager
    def reading(self, name: str, rejected: int | None) -> Iterator[CachedCopy | None]:
        """Hold `name` for reading, None if it is not there; it isn't evicted before the block ends."""
        with _locked_for_use(self._lock(name)):
            inode = self.has(name, rejected)
            path = self.folder / name
            if inode is not None:
                os.utime(path)
            yield None if inode is None else CachedCopy(path, fresh=False, inode=inode)

    def has(self, name: str, rejected: int | None) -> int | None:
        """Return the inode of a whole entry; None if there is none, or only the `rejected` one."""
        try:
            with (self.folder / name).open("rb") as stream:
                facts = os.fstat(stream.fileno())
                check_header(name, stream.read(HEADER), facts.st_size)
        except (OSError, InputError):
            return None
        return None if facts.st_ino == rejected else facts.st_ino

    def fill(self, name: str, remote: Remote) -> None:
        """Copy `remote` to the entry `name`, which the caller holds alone.

        Raises
        ------
        ScratchError
            No room, even without all copies that nobody uses.
        InputError
            The file can't be read, or is not whole.
        """
        remote.check()  # before gigabytes are copied for nothing
        draft = self.folder / f".{name}{_DRAFT}"
        try:
            self._reserve(draft, remote.size, self.bound)
            try:
                _write(draft, remote)
            except ScratchError:
                # Others use this disk too: once more, without any copy that is idle.
                self._reserve(draft, remote.size, remote.size)
                _write(draft, remote)
            with self._locked_folder():
                # Over a rejected entry, which is never unlinked first: so the new one has another inode.
                draft.replace(self.folder / name)
        finally:
            draft.unlink(missing_ok=True)

    def _reserve(self, draft: Path, size: int, bound: int) -> None:
        """Make room for a draft and let it take its size at once, so that it counts for all others."""
        if size > self.bound:
            what = (
                f"a file of {size / _GIB:.3g} GiB is larger than the whole cache, {self.bound / _GIB:.3g} GiB"
            )
            raise ScratchError(str(self.folder), what, _TODO)
        with self._locked_folder():
            draft.unlink(missing_ok=True)
            self._evict(size, bound)
            with draft.open("wb") as stream:
                stream.truncate(size)

    @contextmanager
    def _locked_folder(self) -> Iterator[None]:
        """Hold the lock of the folder: nothing else is added to it meanwhile."""
        with _scratch(self.folder), _locked(self.folder / f"{_SPACE}{_LOCK}", fcntl.LOCK_EX):
            yield

    def _evict(self, size: int, bound: int) -> None:
        """Remove what killed processes left, then the least recently used copies, until `size` bytes fit."""
        self._sweep()
        facts = self._facts("")
        used = sum(fact.st_size for one in (facts, self._facts(_DRAFT)) for fact in one.values())
        for path in sorted(facts, key=lambda path: facts[path].st_mtime_ns):
            if used + size <= bound and shutil.disk_usage(self.folder).free >= size:
                return
            if self._remove(path):
                used -= facts[path].st_size
        free = shutil.disk_usage(self.folder).free
        if used + size > bound or free < size:
            held = f"{used / _GIB:.3g} GiB are in use, the disk has {free / _GIB:.3g} GiB"
            what = f"no room for {size / _GIB:.3g} GiB: {held}"
            raise ScratchError(str(self.folder), what, _TODO)

    def _sweep(self) -> None:
        """Remove drafts and locks of killed processes."""
        for draft in self._files(_DRAFT):
            self._remove(self.folder / draft.name[1 : -len(_DRAFT)], draft)
        for lock in self._files(_LOCK):
            path = self.folder / lock.name[1 : -len(_LOCK)]
            if lock.name != f"{_SPACE}{_LOCK}" and not path.exists():
                self._remove(path)

    def _remove(self, path: Path, draft: Path | None = None) -> bool:
        """Remove an entry, or only its `draft`, unless somebody holds it."""
        lock = self._lock(path.name)
        with _locked(lock, fcntl.LOCK_EX | fcntl.LOCK_NB) as got:
            if got:
                (draft or path).unlink(missing_ok=True)
                if not path.exists():
                    lock.unlink(missing_ok=True)
        return got

    def _facts(self, ending: str) -> dict[Path, os.stat_result]:
        found = {}
        for path in self._files(ending):
            with suppress(FileNotFoundError):  # a draft that was given up meanwhile
                found[path] = path.stat()
        return found

    def _files(self, ending: str) -> list[Path]:
        """Return the drafts, the locks, or with "" the copies."""
        hidden = bool(ending)
        return [
            path
            for path in self.folder.iterdir()
            if path.name.startswith(".") == hidden and path.name.endswith(ending)
        ]

    def _lock(self, name: str) -> Path:
        return self.folder / f".{name}{_LOCK}"


@contextmanager
def _scratch(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ScratchError(str(folder), f"can't be used ({error.strerror or error})", _TODO) from error


@contextmanager
def _locked_for_use(lock: Path) -> Iterator[None]:
    """Hold `lock` shared; only taking it can be the disk's fault, not what happens in the block."""
    holder = _locked(lock, fcntl.LOCK_SH)
    with _scratch(lock.parent):
        holder.__enter__()
    try:
        yield
    finally:
        holder.__exit__(None, None, None)


def _write(draft: Path, remote: Remote) -> None:
    """Copy piece by piece; what fails on reading is an InputError, on writing a ScratchError."""
    with _scratch(draft.parent):
        stream = draft.open("r+b", buffering=0)
    with stream:
        for piece in remote.pieces():
            with _scratch(draft.parent):
                rest = memoryview(piece)
                while rest:
                    rest = rest[stream.write(rest) :]
    with draft.open("rb") as written:
        check_header(remote.url, written.read(HEADER), remote.size)
