"""Plug-ins: one module a file, the file name is the plug-in's name.

A format, engine or pool is a module in its room's folder, or a module of another package that is
announced as an entry point of the group ``e2edist.<room>``. Listing imports nothing.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from .errors import unknown_name

if TYPE_CHECKING:
    from types import ModuleType


def find(room: str) -> dict[str, str]:
    """Return plug-in name -> module path for a room, e.g. ``find("formats")``.

    A module of ours wins over an entry point of the same name, so that an installed package
    can't change what a built-in name means.
    """
    return {point.name: point.value for point in entry_points(group=f"e2edist.{room}")} | _ours(room)


def _ours(room: str) -> dict[str, str]:
    package = import_module(f"e2edist.{room}")
    names = [module.name for module in pkgutil.iter_modules(package.__path__)]
    return {name: f"{package.__name__}.{name}" for name in names if not name.startswith("_")}


def load(room: str, name: str) -> ModuleType:
    """Import the plug-in `name` of `room`.

    Raises
    ------
    UnknownNameError
        With the names that exist and the nearest one.
    """
    found = _ours(room)
    if name not in found:
        found = find(room)  # looks through all installed packages, which takes longer than a plan
    if name not in found:
        raise unknown_name(room.removesuffix("s"), name, found)
    return import_module(found[name])
