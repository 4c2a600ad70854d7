"""What was tried to read an input file, for messages and for the table of losses."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from e2edist.errors import E2EError, InputError
from e2edist.urls import public, redact

#: What is tried at an address.
Action = Literal["open", "copy", "list"]
RENEW = (
    "Access is refused: a token, proxy or certificate may have expired. Give the same line with a new one."
)
#: What XRootD says where HTTP says 401 or 403.
_REFUSED = re.compile(r"\[3010\]|not authorized|auth failed|permission denied", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class InputOptions:
    """How to get at input files; the fields mean what they do in ``[inputs]`` of a site file.

    Attributes
    ----------
    redirectors : tuple of str
        Other servers that have the same paths.
    stage : {"never", "fallback", "remote", "always"}
        Which inputs are copied to node-local disk; "fallback": those that can't be read in place.
    scratch : str or None
        Folder for the copies; $VARIABLES are expanded where it is used.
    cache_gib : float
        Bound of all copies of this node.
    tries : int
        Per server.
    timeout_s : float
        Seconds that a server may be silent.
    backoff_s : float
        Pause before the second try; doubles with each, and is randomised: workers do not retry together.
    """

    redirectors: tuple[str, ...] = ()
    stage: Literal["never", "fallback", "remote", "always"] = "never"
    scratch: str | None = None
    cache_gib: float = 20.0
    tries: int = 3
    timeout_s: float = 60.0
    backoff_s: float = 0.5

    def in_place(self) -> InputOptions:
        """Return the options for planning, which reads little of each file, and wants it as it is now."""
        return self if self.stage == "fallback" else replace(self, stage="never")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at one address, of which `url` is what may be shown; `error` is "" if it worked."""

    url: str
    action: Action
    seconds: float
    error: str


@dataclass(slots=True)
class AttemptLog:
    """All tries at one file; `url` opens it, and only its public part is shown."""

    url: str = field(repr=False)
    attempts: list[Attempt] = field(default_factory=list)

    @contextmanager
    def attempt(self, url: str, action: Action) -> Iterator[None]:
        """Note one try, with its time and what became of it."""
        started, fault = time.monotonic(), ""
        try:
            yield
        except E2EError as error:
            fault = redact(error.what, url)
            raise
        finally:
            seconds = round(time.monotonic() - started, 3)
            self.attempts.append(Attempt(public(url), action, seconds, fault))

    def error(self, last: E2EError) -> E2EError:
        """Return the error to raise after `last`: about the file that was asked for, naming all tries.

        The attempts are data of it (`attempts_of`), which survives pickling.
        """
        failed, url = [one for one in self.attempts if one.error], public(self.url)
        what = failed[-1].error if failed else last.what
        if len(failed) > 1:
            what = f"can't be read from anywhere: {self._summary(failed)}"
        where = last.where
        for one in failed:
            where = where if url in where else where.replace(one.url, url)
        where = where if url in where else url
        todo = RENEW if is_refused(last) else last.todo
        error = (type(last) if isinstance(last, InputError) else InputError)(where, what, todo)
        # Whatever else the last error knows, as the bad baskets of an EntriesError, goes along.
        vars(error).update(vars(last) | vars(error) | {"attempts": tuple(self.attempts)})
        return error

    @staticmethod
    def _summary(failed: list[Attempt]) -> str:
        """Return one clause per address, with the number of tries and the last fault there."""
        addresses: dict[tuple[str, str], list[Attempt]] = {}
        for one in failed:
            addresses.setdefault((one.url, one.action), []).append(one)
        clauses = []
        for (url, action), tries in addresses.items():
            times = f"{len(tries)} times" if len(tries) > 1 else "once"
            clauses.append(f"tried to {action} {url} {times} ({tries[-1].error})")
        return "; ".join(clauses)


def is_refused(error: BaseException) -> bool:
    """Return whether a server gave an error because it refuses access."""
    at = error.__cause__
    while at is not None:
        if getattr(at, "status", None) in (401, 403):
            return True
        if not isinstance(at, PermissionError) and isinstance(at, OSError) and _REFUSED.search(str(at)):
            return True
        at = at.__cause__ or at.__context__
    return False


def attempts_of(error: BaseException) -> tuple[Attempt, ...]:
    """Return what was tried before `error`; empty if that isn't known."""
    found: Any = vars(error).get("attempts", ())
    return tuple(found)
