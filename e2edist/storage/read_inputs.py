"""Getting at input files: tries, other servers, and copies on the node's own disk."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from e2edist.errors import InputError
from e2edist.process import expand_home
from e2edist.urls import identity, public

from ._input_cache import CachedCopy, InputCache, ScratchError
from ._remote_files import connect, fetch, prepare, require_packages
from ._servers import CONTENT_ERRORS, first_success, is_local
from .read_attempts import RENEW, Attempt, AttemptLog, InputOptions, attempts_of, is_refused

__all__ = [
    "RENEW",
    "Attempt",
    "InputOptions",
    "attempts_of",
    "is_local",
    "is_refused",
    "read_input",
    "read_whole",
    "require_packages",
    "stage",
]

T = TypeVar("T")
log = logging.getLogger(__name__)
_GIB = 2**30
#: Evicted between being copied and being opened so many times in a row: the cache is far too small.
_ROUNDS = 5
_warned: set[str] = set()


def read_input(url: str, options: InputOptions, use: Callable[[str], T]) -> T:
    """Return ``use(path)`` from the first place where that works.

    `use` opens and reads: only so does a server that dies in the middle lead to another try. It is
    called again from the start, so it must have no other effect. A path is read as it is.

    Raises
    ------
    InputError
        Nothing worked: it is about `url`, names all tries, and `attempts_of` gives them as data. Errors
        about what is in the file keep their type.
    """
    attempts, local = AttemptLog(url), is_local(url)
    if options.stage == "always" or (options.stage == "remote" and not local):
        try:
            return _use_copy(attempts, options, use)
        except ScratchError as error:
            _warn(error)
    try:
        return _use_direct(attempts, options, use)
    except CONTENT_ERRORS:
        raise
    except InputError as error:
        # A file that was read well and is not what it should be is no better as a copy.
        if local or options.stage != "fallback" or not error.retryable:
            raise
        try:
            return _use_copy(attempts, options, use)
        except ScratchError as full:
            _warn(full)
            raise error from error.__cause__


def read_whole(url: str, options: InputOptions) -> bytes:
    """Return a small file, from the first place where that works.

    Raises
    ------
    InputError
        Nothing worked; it names all tries.
    """
    return first_success(AttemptLog(url), options, "open", lambda one: fetch(one, options.timeout_s))


@contextmanager
def stage(url: str, options: InputOptions) -> Iterator[Path]:
    """Give the path of a copy on the node's own disk, which stays there while the block runs.

    All processes and threads of a node share the copies, and each file is fetched once.

    Raises
    ------
    InputError
        The file can't be had.
    ResourceError
        The disk can't take it.
    """
    with _staged(AttemptLog(url), options) as copy:
        yield copy.path


def _use_direct(attempts: AttemptLog, options: InputOptions, use: Callable[[str], T]) -> T:
    def prepared(address: str) -> T:
        prepare(address, options.timeout_s)
        return use(address)

    return first_success(attempts, options, "open", prepared)


def _use_copy(attempts: AttemptLog, options: InputOptions, use: Callable[[str], T]) -> T:
    """Use a copy; one that was there before and fails is fetched once more: the original may be newer."""
    rejected: int | None = None
    while True:
        with _staged(attempts, options, rejected) as copy:
            try:
                with attempts.attempt(str(copy.path), "open"):
                    return use(str(copy.path))
            except InputError as error:
                if copy.fresh or rejected is not None or isinstance(error, CONTENT_ERRORS):
                    raise attempts.error(error) from error.__cause__
                rejected = copy.inode


@contextmanager
def _staged(attempts: AttemptLog, options: InputOptions, rejected: int | None = None) -> Iterator[CachedCopy]:
    cache, name = _cache(options), _cached_name(attempts.url)
    cache.prepare()
    fresh = False
    for _ in range(_ROUNDS):
        with cache.reading(name, rejected) as copy:
            if copy is not None:
                yield CachedCopy(copy.path, fresh, copy.inode)
                return
        with cache.writing(name):
            if cache.has(name, rejected) is None:

                def fetch(address: str) -> None:
                    cache.fill(name, connect(address, options.timeout_s))

                first_success(attempts, options, "copy", fetch)
                fresh = True
    raise ScratchError(str(cache.folder), "evicts copies before they can be read", "Give more cache_gib.")


def _cache(options: InputOptions) -> InputCache:
    folder = expand_home(os.path.expandvars(options.scratch or tempfile.gettempdir()))
    if "$" in str(folder):
        what = "names a variable that is not set here"
        raise ScratchError(str(folder), what, "Change scratch in [inputs].")
    return InputCache(folder / f"e2edist-inputs-{os.getuid()}", int(options.cache_gib * _GIB))


def _cached_name(url: str) -> str:
    """Return a safe file name that is the file's alone, with whatever token it is asked for."""
    tail = re.sub(r"[^A-Za-z0-9._-]+", "_", public(url).rpartition("/")[2])[-80:]
    text = "\n".join(identity(url))
    return f"{hashlib.sha256(text.encode()).hexdigest()[:24]}-{tail}"


def _warn(error: ScratchError) -> None:
    """Say it once per process and cache: every chunk will meet it again."""
    if error.where not in _warned:
        _warned.add(error.where)
        log.warning("inputs are read in place: %s", error)
