"""Where a file is tried: which servers, in which order, how often; a server that failed is asked last."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from e2edist.errors import BranchError, E2EError, InputError, UnsplitError
from e2edist.urls import host, local_path, replicas

from ._remote_files import forget
from .read_attempts import Action, AttemptLog, InputOptions, is_refused

T = TypeVar("T")
#: Pauses between tries grow to this many seconds.
_LONGEST_PAUSE = 30.0
#: The file was read well and is not what it should be: no other server has another one.
CONTENT_ERRORS = (BranchError, UnsplitError)
#: A server that failed is asked last for so many seconds: else every chunk waits for a dead one first.
_AVOIDED_S = 300.0
_failed_at: dict[str, float] = {}


def first_success(attempts: AttemptLog, options: InputOptions, action: Action, use: Callable[[str], T]) -> T:
    """Return ``use(address)`` of the first address of a file where that works.

    Raises
    ------
    InputError
        None worked; it names all tries.
    """
    last: E2EError | None = None
    ruled_out: set[str] = set()
    for address in _tries(attempts.url, options, ruled_out):
        try:
            with attempts.attempt(address, action):
                answer = use(address)
            _failed_at.pop(host(address), None)
            return answer  # noqa: TRY300 what follows an error is another address
        except CONTENT_ERRORS as error:
            raise attempts.error(error) from error.__cause__
        except InputError as error:
            # The earlier one counts if only that may pass: its server may be the good one.
            last = last if last is not None and last.retryable and not error.retryable else error
            if not error.retryable or is_refused(error):  # it would be so again
                ruled_out.add(address)
            elif server := host(address):
                _failed_at[server] = time.monotonic()
    assert last is not None  # noqa: S101 there is at least one address
    raise attempts.error(last) from last.__cause__


def is_local(url: str) -> bool:
    """Return whether a file is on a disk of this machine."""
    path = local_path(url)
    # /store/... is a path where a site mounts it, else a name for redirectors.
    return path is not None and (path.exists() or not url.startswith("/store/"))


def _addresses(url: str, options: InputOptions) -> list[str]:
    if is_local(url):
        return [str(local_path(url))]
    found = [address for address in replicas(url, options.redirectors) if local_path(address) is None]
    if not found:
        # Another host may see it, or this one in a moment, when its network disk is back.
        todo = "Name redirectors in [inputs] of the site."
        raise InputError(url, "there is no such file here", todo, retryable=True)
    return sorted(found, key=_failed_lately)


def _failed_lately(address: str) -> bool:
    """Return whether the server of an address lately did not answer this process."""
    return time.monotonic() - _failed_at.get(host(address), -_AVOIDED_S) < _AVOIDED_S


def _tries(url: str, options: InputOptions, ruled_out: set[str]) -> Iterator[str]:
    """Yield every address several times unless it is ruled out, with a pause before each repetition."""
    for address in _addresses(url, options):
        for number in range(1 if local_path(address) is not None else options.tries):
            if address in ruled_out:
                break
            if number:
                pause = min(_LONGEST_PAUSE, options.backoff_s * 2 ** (number - 1))
                time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 no secret
                forget(address)
            yield address
