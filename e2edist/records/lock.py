"""One driver per folder: a second submit is refused, the lock of a dead driver is taken over."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from e2edist.errors import OutputError

from .folder import CampaignFolder

#: The holder touches its lock so often; where the file system knows no locks between hosts, a lock
#: of another host that was not touched for long counts as dead.
_BEAT_S = 30.0
_STALE_S = 300.0


@dataclass(frozen=True, slots=True)
class Holder:
    """The driver that holds a folder's lock; `here`: on this host."""

    host: str
    pid: int
    here: bool


def find_holder(folder: Path) -> Holder | None:
    """Return who works on a campaign, as far as can be seen without touching the lock.

    A driver of this host must live and have the lock open; one of another host must have touched it lately.
    """
    path = CampaignFolder(folder).lock
    try:
        with path.open("rb") as stream:
            found, age = _holder(stream.fileno()), time.time() - os.fstat(stream.fileno()).st_mtime
    except OSError:
        return None
    if found is None or not isinstance(found["pid"], int):
        return None
    holder = Holder(str(found["host"]), found["pid"], found["host"] == platform.node())
    alive = _has_open(holder.pid, path) if holder.here else age < _STALE_S
    return holder if alive else None


def _has_open(pid: int, path: Path) -> bool:
    """Return whether a process has a file open; of another user's process it is only known that it lives."""
    if not Path("/proc/self/fd").exists():
        return _lists_open(pid, path)
    try:
        return any(fd.samefile(path) for fd in Path(f"/proc/{pid}/fd").iterdir() if fd.exists())
    except PermissionError:
        return True
    except OSError:
        return False


def _lists_open(pid: int, path: Path) -> bool:
    """Return what `_has_open` does where there is no /proc, as on macOS."""
    import psutil

    try:
        return any(Path(one.path).samefile(path) for one in psutil.Process(pid).open_files())
    except psutil.AccessDenied:
        return True
    except (psutil.Error, OSError):
        return False


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a campaign's folder.

    The kernel drops it when the process ends, however it ends, so nothing is ever left to clean up.

    Raises
    ------
    OutputError
        Another driver works on this folder; says on which host and with which pid.
    """
    path = CampaignFolder(folder).lock
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise OutputError(
            str(path), f"can't be made ({error.strerror})", "Choose another --output."
        ) from error
    stop, mine = Event(), False
    try:
        _take(path, handle)
        beat = Thread(target=_beat, args=(path, stop), name="e2edist-lock", daemon=True)
        beat.start()
        mine = True
        yield
    finally:
        stop.set()
        if mine:
            # Empty is free for all hosts at once; after a crash others wait until the lock is stale.
            with suppress(OSError):
                os.ftruncate(handle, 0)
        os.close(handle)


def _take(path: Path, handle: int) -> None:
    me = {"host": platform.node(), "pid": os.getpid()}
    holder = _holder(handle)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise _refused(path, holder) from error
    except OSError:
        # No locks on this file system: what stands in the file must do.
        if holder and holder["host"] == me["host"] and _lives(holder["pid"]):
            raise _refused(path, holder) from None
    age = time.time() - os.fstat(handle).st_mtime
    if holder and holder["host"] != me["host"] and age < _STALE_S:
        raise _refused(path, holder)
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(me).encode(), 0)
    except OSError as error:
        todo = "Free space or choose another --output."
        raise OutputError(str(path), f"can't be written ({error.strerror})", todo) from error


def _lives(pid: object) -> bool:
    import psutil

    return isinstance(pid, int) and psutil.pid_exists(pid)


def _holder(handle: int) -> dict[str, object] | None:
    with suppress(ValueError, TypeError):
        found = json.loads(os.pread(handle, 4096, 0))
        return {"host": found["host"], "pid": found["pid"]}
    return None


def _refused(path: Path, holder: dict[str, object] | None) -> OutputError:
    who = f"pid {holder['pid']} on {holder['host']}" if holder else "another process"
    todo = "Wait for it or stop it; if that host is gone, wait five minutes."
    return OutputError(str(path.parent), f"another submit works on it: {who}", todo)


def _beat(path: Path, stop: Event) -> None:
    while not stop.wait(_BEAT_S):
        with suppress(OSError):
            os.utime(path)
