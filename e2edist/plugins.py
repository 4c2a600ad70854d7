"""Plug-ins: one module a file, the file name is the plug-in's name.

A format, engine or pool is a module in its package's folder, or a module of another package that is
announced as an entry point of the group ``e2edist.<package>``. Listing imports nothing. The module
``api`` of such a package is no plug-in: it has what plug-ins import.

What a plug-in raises that is no `E2EError` is a bug (see `as_bug`), unless the system raised it.
"""

from __future__ import annotations

import pkgutil
import traceback
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import TYPE_CHECKING

from .errors import E2EError, ProgrammingError, described, unknown_name
from .redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType, ModuleType

#: Characters of a traceback that are kept: its end, where the error is.
_MOST_CHARACTERS = 8000
#: Top-level packages of the plug-ins of others that this process has imported.
_foreign_packages: set[str] = set()


def find(group: str) -> dict[str, str]:
    """Return plug-in name -> module path of a package, e.g. ``find("formats")``.

    A module of ours wins over an entry point of the same name, so that an installed package
    can't change what a built-in name means.
    """
    return {point.name: point.value for point in entry_points(group=f"e2edist.{group}")} | _built_in(group)


def _built_in(group: str) -> dict[str, str]:
    package = f"{__package__}.{group}"
    spec = find_spec(package)
    modules = pkgutil.iter_modules(spec.submodule_search_locations if spec else [])
    names = [module.name for module in modules if module.name != "api" and module.name[0] != "_"]
    return {name: f"{package}.{name}" for name in names}


def load(group: str, name: str) -> ModuleType:
    """Import the plug-in `name` of `group`.

    Raises
    ------
    UnknownNameError
        With the names that exist and the nearest one.
    """
    found = _built_in(group)
    if name not in found:
        found = find(group)  # looks through all installed packages, which takes longer than a plan
    if name not in found:
        raise unknown_name(group.removesuffix("s"), name, found)
    package = found[name].partition(".")[0]
    if package != __package__:
        _foreign_packages.add(package)
    return import_module(found[name])


@cache
def package_of(group: str, name: str) -> dict[str, str]:
    """Return name and version of the package that a plug-in comes from; empty for ours."""
    if name in _built_in(group):
        return {}
    found = [point.dist for point in entry_points(group=f"e2edist.{group}", name=name) if point.dist]
    return {dist.name: dist.version for dist in found}


def is_bug(error: BaseException) -> bool:
    """Return whether an error is a mistake in a program: neither one for the user nor one of the system."""
    return not isinstance(error, E2EError | OSError | MemoryError)


def as_bug(error: BaseException) -> ProgrammingError:
    """Return the error for a bug: file and line of the plug-in if one is involved, and the traceback."""
    frames = list(traceback.walk_tb(error.__traceback__))
    others = _plugin_frames(frames)
    own = others or [at for at in frames if _package(at[0]) == __package__] or frames
    locations = [_location(*at) for at in own[-1:]]
    if isinstance(error, SyntaxError) and error.filename:
        locations = [f"{error.filename}, line {error.lineno}"]
    whose = locations[0] if locations else "the program"
    missing = isinstance(error, ImportError)
    fault = "a package that does not fit or is not there, wanted by" if missing else "a bug in"
    todo = "Correct or update that plug-in" if others else "Update e2edist and what it needs, or report it"
    bug = ProgrammingError("", f"this is {fault} {whose}, not bad data: {described(error)}", f"{todo}.")
    bug.kind, bug.location = type(error).__name__, locations[0] if locations else ""
    bug.traceback = _traceback_text(error)
    return bug


def mark_plugin(error: BaseException) -> None:
    """Note in a system error, as of a missing file, which line of a plug-in caused it.

    It gets `plugin_location` and `plugin_traceback`, which survive pickling, where a plug-in is involved.
    """
    frames = _plugin_frames(traceback.walk_tb(error.__traceback__))
    if frames:
        vars(error).update(plugin_location=_location(*frames[-1]), plugin_traceback=_traceback_text(error))


def plugin_location(error: BaseException | None) -> str:
    """Return file and line of the plug-in that `mark_plugin` found in an error; empty if there is none."""
    return str(getattr(error, "plugin_location", ""))


def _plugin_frames(frames: Iterable[tuple[FrameType, int]]) -> list[tuple[FrameType, int]]:
    return [at for at in frames if _package(at[0]) in _foreign_packages]


def _location(frame: FrameType, line: int) -> str:
    return f"{frame.f_code.co_filename}, line {line}"


def _traceback_text(error: BaseException) -> str:
    text = redact("".join(traceback.format_exception(error)))
    return text if len(text) <= _MOST_CHARACTERS else f"...\n{text[-_MOST_CHARACTERS:]}"


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]
