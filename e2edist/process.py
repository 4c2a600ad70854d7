"""What a process of ours needs before all else: streams that take what is written, a home, its own files.

Nothing here raises: what an environment lacks (a terminal, a home folder, a place for caches) is replaced.
"""

from __future__ import annotations

import errno
import io
import os
import pwd
import resource
import select
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

#: Open files are allowed up to so many: some programs look through all that may be open.
_FILES = 65536
#: A reader that is gone wanted no more: nobody has to be told.
_UNWANTED = (errno.EPIPE, errno.EBADF)


class _Descriptor(io.FileIO):
    """A descriptor that takes whatever is written; what the system refuses is left out, and told once."""

    _told = False

    def write(self, data: Any) -> int:
        """Write all of `data`, as far as that can be done."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            while rest:
                count = super().write(rest)
                if count is None:  # shared with a program that made it non-blocking, and its reader is slow
                    select.select((), (self,), ())
                rest = rest[count or 0 :]
        except (OSError, ValueError) as error:
            self._tell(error)
        return size

    def _tell(self, error: Exception) -> None:
        if not self._told and self.fileno() == 1 and getattr(error, "errno", None) not in _UNWANTED:
            self._told = True
            why = getattr(error, "strerror", None) or error
            with suppress(OSError):
                os.write(2, f"e2edist: what is printed can't be written ({why}) and is left out\n".encode())


def prepare_process() -> None:
    """Make ready for work in any environment; may be called again."""
    raise_file_limit()
    # Whoever takes all rights from new files (umask 0777) takes them from the next program of ours too.
    os.umask(os.umask(0o077) & ~0o700)
    _open_descriptors()
    sys.stdout = _guarded(sys.stdout, sys.__stdout__)
    sys.stderr = _guarded(sys.stderr, sys.__stderr__)
    _name_user()


def usable_cores() -> int:
    """Return the cores that this process may use; macOS can't say, and all of the machine are meant."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def peak_memory_mib() -> int:
    """Return the most memory that this process had: kernels count it in KiB, that of macOS in bytes."""
    unit = 1024**2 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit


def raise_file_limit() -> None:
    """Allow more open files where the system lets us: each worker takes a dozen, often 1024 are allowed."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if most == resource.RLIM_INFINITY else min(most, _FILES)
    if now != resource.RLIM_INFINITY and now < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _open_descriptors() -> None:
    """Open what is closed of stdin, stdout and stderr: else the next file takes its place and its output."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def _guarded(stream: Any, original: Any) -> Any:
    """Return a stream whose writing can't fail in place of the `original` one; others are their owner's."""
    if stream is None:
        return Path(os.devnull).open("w", encoding="utf-8")
    if stream is not original:
        return stream
    with suppress(OSError, ValueError):
        stream.flush()
    try:
        raw = _Descriptor(stream.fileno(), "wb", closefd=False)
    except (OSError, ValueError):
        return stream
    raw.name = stream.name
    buffer: Any = raw if stream.write_through else io.BufferedWriter(raw)
    # Names of files that are no text, and terminals that know ASCII alone, are no reason to stop.
    return io.TextIOWrapper(
        buffer,
        stream.encoding,
        "backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _name_user() -> None:
    """Give a user without an entry in the system's list a name and a home: libraries ask for both."""
    try:
        known = pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        known = ""
        if not any(os.environ.get(name) for name in ("LOGNAME", "USER", "LNAME", "USERNAME")):
            os.environ["LOGNAME"] = str(os.getuid())
    if not os.environ.get("HOME"):
        home = known or private_folder()
        if home:
            os.environ["HOME"] = str(home)


def private_folder() -> Path | None:
    """Return a folder for temporary files that is this user's alone, None where there can't be one."""
    with suppress(OSError):
        folder = Path(tempfile.gettempdir()) / f"e2edist-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        facts = folder.lstat()
        if stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid() and not facts.st_mode & 0o022:
            return folder
    return None


def expand_home(path: str) -> Path:
    """Return a path in which ``~`` and ``~user`` are replaced, as it is where there is no such user."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises


def cache_folders(kind: str, chosen: str | None = None) -> list[Path]:
    """Return where files of a `kind` are kept that can be made again, the best place first; may be empty.

    Parameters
    ----------
    chosen : str, optional
        The folder that the user named for this kind.
    """
    found = [Path(chosen)] if chosen else []
    with suppress(RuntimeError):  # nobody knows where the home is
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        found.append(Path(base) / "e2edist" / kind)
    private = private_folder()
    return [*found, private / "cache" / kind] if private is not None else found


def writable_cache(kind: str, chosen: str | None = None) -> Path | None:
    """Return the first of `cache_folders` that is there or can be made, and can be written."""
    for folder in cache_folders(kind, chosen):
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK):
                return folder
    return None
