"""Getting at input files: tries, other servers, and copies on the node's own disk."""

from __future__ import annotations

import hashlib
import logging
import os
import random
import re
import tempfile
import time
from collections.abc import Callable, Container, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from e2edist.errors import BranchError, E2EError, InputError, UnsplitError
from e2edist.process import expand_home
from e2edist.urls import host, identity, local_path, public, replicas

from ._input_cache import Cache, Copy, ScratchError
from ._remote_files import connect, forget, prepare
from .read_attempts import RENEW, Attempt, AttemptLog, InputOptions, attempts_of, is_refused

__all__ = [
    "RENEW",
    "Attempt",
    "InputOptions",
    "Source",
    "attempts_of",
    "is_refused",
    "open_input",
    "read_input",
    "stage",
]

T = TypeVar("T")
log = logging.getLogger(__name__)
_GIB = 2**30
#: Pauses between tries grow to this many seconds.
_LONGEST_PAUSE = 30.0
#: Evicted between being copied and being opened so many times in a row: the cache is far too small.
_ROUNDS = 5
#: The file was read well and is not what it should be: no other server will tell otherwise.
_VERDICTS = (BranchError, UnsplitError)
_warned: set[str] = set()
#: A server that failed is asked last for so many seconds: else every chunk waits for a dead one first.
_SHUNNED_S = 300.0
_failed_at: dict[str, float] = {}


@dataclass(frozen=True, slots=True)
class Source:
    """Where to read an input from.

    Attributes
    ----------
    path : str
        Local path or url to open.
    url : str
        What was asked for, without secrets.
    staged : bool
        `path` is a copy on the node's own disk.
    attempts : tuple of Attempt
        What was tried, the last one with success.
    """

    path: str
    url: str
    staged: bool
    attempts: tuple[Attempt, ...]


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
    journal = AttemptLog(url)
    copy_first, copy_last = _copies(url, options)
    if copy_first:
        try:
            return _use_copy(journal, options, use)
        except ScratchError as error:
            _warn(error)
    try:
        return _use_direct(journal, options, use)
    except _VERDICTS:
        raise
    except InputError as error:
        # A file that was read well and is not what it should be is no better as a copy.
        if not (copy_last and error.retryable):
            raise
        try:
            return _use_copy(journal, options, use)
        except ScratchError as full:
            _warn(full)
            raise error from error.__cause__


@contextmanager
def open_input(url: str, options: InputOptions) -> Iterator[Source]:
    """Give a `Source` that answered: its size was told and its header is that of a whole ROOT file.

    What breaks later, inside the block, is not tried again; `read_input` does that.

    Raises
    ------
    InputError
        Nothing answered.
    """
    journal = AttemptLog(url)
    copy_first, copy_last = _copies(url, options)
    with ExitStack() as held:

        def copied() -> str:
            try:
                return str(held.enter_context(_staged(journal, options)).path)
            except ScratchError as error:
                _warn(error)
                return ""

        def probe(path: str) -> str:
            if local_path(path) is None:
                connect(path, options.timeout_s).check()
            return path

        path = copied() if copy_first else ""
        staged = bool(path)
        if not path:
            try:
                path = _use_direct(journal, options, probe)
            except InputError as error:
                path = copied() if copy_last and error.retryable else ""
                staged = True
                if not path:
                    raise
        yield Source(path, public(url), staged, tuple(journal.attempts))


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


def _copies(url: str, options: InputOptions) -> tuple[bool, bool]:
    """Return whether to copy first, and whether to copy when all else failed."""
    local = _is_local(url)
    first = options.stage == "always" or (options.stage == "remote" and not local)
    return first, options.stage == "fallback" and not local


def _is_local(url: str) -> bool:
    path = local_path(url)
    # /store/... is a path where a site mounts it, else a name for redirectors.
    return path is not None and (path.exists() or not url.startswith("/store/"))


def _places(url: str, options: InputOptions) -> list[str]:
    if _is_local(url):
        return [str(local_path(url))]
    places = [place for place in replicas(url, options.redirectors) if local_path(place) is None]
    if not places:
        # Another host may see it, or this one in a moment, when its network disk is back.
        todo = "Name redirectors in [inputs] of the site."
        raise InputError(url, "there is no such file here", todo, retryable=True)
    return sorted(places, key=_shunned)


def _shunned(place: str) -> bool:
    """Return whether this process lately tried the server of `place` in vain."""
    return time.monotonic() - _failed_at.get(host(place), -_SHUNNED_S) < _SHUNNED_S


def _blame(place: str, error: InputError, settled: set[str]) -> None:
    """Note what a failed try says about a place."""
    # The file was read and found wanting, or access to it is refused: it would be again.
    if not error.retryable or is_refused(error):
        settled.add(place)
    elif server := host(place):
        _failed_at[server] = time.monotonic()


def _more_hopeful(last: E2EError | None, error: E2EError) -> E2EError:
    """Return the later error, or the earlier one if only that may pass: that place may be the good one."""
    return last if last is not None and last.retryable and not error.retryable else error


def _tries(journal: AttemptLog, options: InputOptions, settled: Container[str] = ()) -> Iterator[str]:
    """Yield every place several times unless it is `settled`, with a pause before each repetition."""
    for place in _places(journal.url, options):
        for number in range(1 if local_path(place) is not None else options.tries):
            if place in settled:
                break
            if number:
                pause = min(_LONGEST_PAUSE, options.backoff_s * 2 ** (number - 1))
                time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 no secret
                forget(place)
            yield place


def _use_direct(journal: AttemptLog, options: InputOptions, use: Callable[[str], T]) -> T:
    last: E2EError | None = None
    settled: set[str] = set()
    for place in _tries(journal, options, settled):
        try:
            with journal.attempt(place, "open"):
                prepare(place, options.timeout_s)
                answer = use(place)
            _failed_at.pop(host(place), None)
            return answer  # noqa: TRY300 what follows an error is another place
        except _VERDICTS as error:
            raise journal.error(error) from error.__cause__
        except InputError as error:
            last = _more_hopeful(last, error)
            _blame(place, error, settled)
    assert last is not None  # noqa: S101 there is at least one place
    raise journal.error(last) from last.__cause__


def _use_copy(journal: AttemptLog, options: InputOptions, use: Callable[[str], T]) -> T:
    """Use a copy; one that was there before and fails is fetched once more: the original may be newer."""
    bad: int | None = None
    while True:
        with _staged(journal, options, bad) as copy:
            try:
                with journal.attempt(str(copy.path), "open"):
                    return use(str(copy.path))
            except InputError as error:
                if copy.fresh or bad is not None or isinstance(error, _VERDICTS):
                    raise journal.error(error) from error.__cause__
                bad = copy.inode


@contextmanager
def _staged(journal: AttemptLog, options: InputOptions, bad: int | None = None) -> Iterator[Copy]:
    cache, name = _cache(options), _name(journal.url)
    cache.prepare()
    fresh = False
    for _ in range(_ROUNDS):
        with cache.reading(name, bad) as copy:
            if copy is not None:
                yield Copy(copy.path, fresh, copy.inode)
                return
        with cache.writing(name):
            if cache.has(name, bad) is None:
                _fetch(journal, options, cache, name)
                fresh = True
    raise ScratchError(str(cache.folder), "evicts copies before they can be read", "Give more cache_gib.")


def _fetch(journal: AttemptLog, options: InputOptions, cache: Cache, name: str) -> None:
    last: E2EError | None = None
    settled: set[str] = set()
    for place in _tries(journal, options, settled):
        try:
            with journal.attempt(place, "copy"):
                cache.fill(name, connect(place, options.timeout_s))
                return
        except InputError as error:
            last = _more_hopeful(last, error)
            _blame(place, error, settled)
    assert last is not None  # noqa: S101 there is at least one place
    raise journal.error(last) from last.__cause__


def _cache(options: InputOptions) -> Cache:
    folder = expand_home(os.path.expandvars(options.scratch or tempfile.gettempdir()))
    if "$" in str(folder):
        raise ScratchError(
            str(folder), "names a variable that is not set here", "Change scratch in [inputs]."
        )
    return Cache(folder / f"e2edist-inputs-{os.getuid()}", int(options.cache_gib * _GIB))


def _name(url: str) -> str:
    """Return a safe file name that is the file's alone, with whatever token it is asked for."""
    tail = re.sub(r"[^A-Za-z0-9._-]+", "_", public(url).rpartition("/")[2])[-80:]
    text = "\n".join(identity(url))
    return f"{hashlib.sha256(text.encode()).hexdigest()[:24]}-{tail}"


def _warn(error: ScratchError) -> None:
    """Say it once per process and cache: every chunk will meet it again."""
    if error.where not in _warned:
        _warned.add(error.where)
        log.warning("inputs are read in place: %s", error)
