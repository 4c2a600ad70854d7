"""Everything that can go wrong and that a person can do something about, in one tree.

    E2EError                      exit code 2: the user must fix something
    ├── InputError                a ROOT file: missing, not ROOT, cut, no such tree
    │   ├── BranchError           a branch is missing, or has a type that can't be read
    │   ├── EntriesError          a range of entries can't be read; the rest of the file may be fine
    │   ├── UnsplitError          an EDM product that is not split and can't be decoded either
    │   └── ChangedFileError      the file is no longer the one that was planned
    ├── ConfigError               a TOML file or command line that people wrote
    │   └── UnknownNameError      no tagger, site, format ... of that name
    ├── ModelError                an ONNX model that does not load or does not fit its tagger
    │   └── DeviceError           the requested GPU provider is not available on this host
    ├── OutputError               an output folder that can't be written or belongs to another plan
    ├── ResourceError             what is asked for does not fit; names the number that would
    │   └── RefusedJobError       a batch system does not take a job; names the keys to change
    ├── ProgrammingError          a bug in this program or in a plug-in; says nothing about the data
    └── CampaignError             exit code 1: some chunks failed, the rest is safe on disk

Every error says where (file, key, entry), what, and what to do next, and whether trying again can help.
All of them survive pickling, because they travel from workers to the driver.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING

from .redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Self

#: Errors that are shown of many.
_SHOWN = 10
#: Further inputs that are named of those with the same error.
_NAMED = 2
_NUMBER = re.compile(r"\d+")
#: Python's message when the system refuses a further thread, and what helps.
NO_THREAD = "can't start new thread"
MORE_THREADS = "Raise the limits of threads and memory (ulimit -u, -v): the same command does the rest."


class E2EError(Exception):
    """Root of the tree.

    Parameters
    ----------
    where : str
        What it is about: a file, a key, an entry range. May be empty.
    what : str
        What is wrong, as a clause without a full stop.
    todo : str
        What the user can do, as a sentence. May be empty.
    retryable : bool
        Whether the same may succeed later or elsewhere, as a network comes back; else it is how things are.
    """

    exit_code = 2
    retryable = False

    def __init__(self, where: str, what: str, todo: str = "", *, retryable: bool = False) -> None:
        # Libraries quote addresses in full, and errors are stored and shown: secrets are removed here.
        where, what, todo = redact(where), redact(what), redact(todo)
        # All three go to Exception.args, so that the default pickling rebuilds the object; it adds __dict__.
        super().__init__(where, what, todo)
        self.where, self.what, self.todo = where, what, todo
        if retryable:
            self.retryable = True

    def with_advice(self, todo: str) -> Self:
        """Return the same error with other advice."""
        # Not copy.copy: with tblib, which distributed installs, a copy shares the __dict__ of its original.
        found = type(self).__new__(type(self))
        found.__dict__.update(self.__dict__, todo=redact(todo))
        found.args = (found.where, found.what, found.todo)
        found.__cause__ = self.__cause__
        return found

    def advising(self, more: str) -> Self:
        """Return the same error with one more sentence of advice."""
        return self.with_advice(f"{self.todo.rstrip('.')}. {more}" if self.todo else more)

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head}. {self.todo}" if self.todo else head


class InputError(E2EError):
    """A ROOT file can't be used.

    `faults` are what is wrong, where that is more than one thing; `what` has all of them.
    """

    faults: tuple[str, ...] = ()

    @classmethod
    def of_faults(cls, where: str, faults: Sequence[str], todo: str) -> Self:
        """Return one error for some faults of a file."""
        error = cls(where, "; ".join(faults), todo)
        if len(faults) > 1:
            error.faults = tuple(redact(fault) for fault in faults)
        return error


class BranchError(InputError):
    """A branch is missing or has a type that can't be read."""


class EntriesError(InputError):
    """A range of entries can't be read; the rest of the file may be fine.

    `ranges` are the half-open ranges of entries that are bad, ascending; empty if unknown.
    """

    ranges: tuple[tuple[int, int], ...] = ()

    def placed(self, where: str, todo: str, first: int) -> EntriesError:
        """Return what a format says of entries counted from `first`, as an error of the file."""
        error = EntriesError(self.where or where, self.what, self.todo or todo, retryable=self.retryable)
        error.ranges = tuple((low + first, high + first) for low, high in self.ranges)
        return error


class UnsplitError(InputError):
    """An EDM product is not split, and its records can't be decoded either."""


class ChangedFileError(InputError):
    """The file differs from the one that was planned (uuid, size or entries)."""


class ConfigError(E2EError):
    """A TOML file or a command line has faults; all of them are named."""


class UnknownNameError(ConfigError):
    """There is no tagger, site, format, engine or pool of that name."""


class ModelError(E2EError):
    """A model does not load, or does not fit its tagger."""


class DeviceError(ModelError):
    """The requested device is not available on this host; says nothing about the model."""


class OutputError(E2EError):
    """The output folder can't be used."""


class ResourceError(E2EError):
    """What is asked for does not fit into memory or disk."""


class RefusedJobError(ResourceError):
    """A batch system does not take a job.

    `keys` are those of the site file that may be to blame, as ``pools.cpu.job.account``.
    """

    keys: tuple[str, ...] = ()


class ProgrammingError(E2EError):
    """A bug in this program or in a plug-in; `plugins.as_bug` makes one of any other exception.

    Attributes
    ----------
    kind : str
        Class of the exception.
    location : str
        File and line of the plug-in, or else of this program, that raised it.
    traceback : str
        Its traceback, or the end of a long one.
    log : str
        File of the campaign that has the traceback; empty where none has.
    """

    kind = ""
    location = ""
    traceback = ""
    log = ""


class CampaignError(E2EError):
    """Some chunks failed; everything else is on disk."""

    exit_code = 1


#: Raised by a library on bad bytes they mean nothing; raised by a line of ours they are a bug.
_BUGS = (NameError, AttributeError, TypeError)


@contextmanager
def guarded(where: str, what: str, todo: str, kind: type[InputError] = InputError) -> Iterator[None]:
    """Turn whatever a library raises on a bad file into an InputError, or a `kind` of it, that may pass.

    Put it around calls of libraries alone: what plug-ins and our own code raise by mistake is no fault of
    the file, and so is a missing package. With uproot bad bytes surface as OSError, ValueError, IndexError,
    NotImplementedError, DeserializationError, zlib, lzma and zstd errors, MemoryError, RecursionError and
    more: no list of types would be complete.
    """
    try:
        yield
    except (E2EError, ImportError):
        raise
    except Exception as error:
        if isinstance(error, _BUGS) and _is_ours(error):
            raise
        raise kind(where, f"{what} ({described(error)})", todo, retryable=True) from error


def _is_ours(error: Exception) -> bool:
    """Return whether a line of this package raised an error, and no library that it called."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    name = str(at.tb_frame.f_globals.get("__name__", "")) if at is not None else ""
    return name.partition(".")[0] == __package__


def described(error: BaseException) -> str:
    """Return the class and the text of an error on one line of bounded length."""
    try:
        text = redact(" ".join(str(error).split()))
    except Exception:  # the text of an exception may be a bug itself
        text = "no text"
    return f"{type(error).__name__}: {text if len(text) <= 200 else f'{text[:200]} ...'}"


def combined(errors: Sequence[E2EError], count: int, noun: str, way_on: str = "") -> E2EError:
    """Return one error that tells all of `errors`, which some of `count` inputs have; each kind is told once.

    Parameters
    ----------
    noun : str
        What the inputs are called, in the plural.
    way_on : str
        Option to go on without them, if there is one.
    """
    if len(errors) == 1:
        return errors[0].advising(f"To go on without: {way_on}.") if way_on else errors[0]
    without = f" (to go on without: {way_on})" if way_on else ""
    kinds: dict[tuple[str, ...], list[E2EError]] = {}
    for error in errors:
        kinds.setdefault(_kind(error), []).append(error)
    told = list(kinds.values())
    lines = "".join(f"\n  {alike[0]}{_the_same(alike[1:])}" for alike in told[:_SHOWN])
    rest = sum(map(len, told[_SHOWN:]))
    more = f"\n  ... and {rest} more" if rest else ""
    return InputError("", f"{len(errors)} of {count} {noun} can't be used{without}:{lines}{more}")


def _kind(error: E2EError) -> tuple[str, ...]:
    """Return what errors of one kind have in common: all but the place and the numbers in their text."""
    text = (error.what, error.todo)
    return type(error).__name__, *(_NUMBER.sub("#", one.replace(error.where, "")) for one in text)


def _the_same(errors: Sequence[E2EError]) -> str:
    """Return a line on others of a kind that was told, of which some are named."""
    if not errors:
        return ""
    names = ", ".join(error.where for error in errors[:_NAMED])
    return f"\n    the same: {len(errors)} more, {names}{', ...' if len(errors) > _NAMED else ''}"


def nearest(name: str, known: Iterable[str], count: int = 3) -> str:
    """Return a sentence part that lists `known` and the names nearest to `name`."""
    names = sorted(known)
    close = get_close_matches(name, names, n=count, cutoff=0.5)
    hint = f"did you mean {' or '.join(repr(c) for c in close)}? " if close else ""
    shown = ", ".join(names[:20]) + (f", ... ({len(names)} in all)" if len(names) > 20 else "")
    return f"{hint}{'Known' if hint else 'known'}: {shown or 'none'}"


def advise_nearest(name: str, known: Iterable[str], count: int = 3) -> str:
    """Return what `nearest` does as sentences of their own."""
    text = nearest(name, known, count)
    return text[0].upper() + text[1:]


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """Return the error for a mistyped plug-in or file name."""
    return UnknownNameError("", f"there is no {kind} {name!r}", advise_nearest(name, known))
