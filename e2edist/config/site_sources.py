"""Who says what a key of a site is, so that advice names the place where it can be changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .site_files import Layer, place_for_facts, site_folder

#: Options of their own that change a key of every pool.
_OPTIONS = {"threads": "--threads"}


@dataclass(frozen=True, slots=True)
class SiteSources:
    """What a site was put together from.

    Attributes
    ----------
    layers : list of Layer
        Each changes what those before it say.
    place : str
        File in which the user writes what is other.
    options : frozenset of str
        Keys of pools that an option of its own gave, as threads.
    """

    layers: list[Layer]
    place: str
    options: frozenset[str] = frozenset()

    def advise(self, keys: Iterable[str]) -> str:
        """Return how to change any of some keys, as ``pools.cpu.threads``, as a sentence."""
        said, open_ = [], []
        for key in keys:
            if where := self._source(key):
                said.append(f"{key.rpartition('.')[2]} ({where})")
            else:
                open_.append("account" if key.endswith(".account") else key)
        ways = [f"change {' or '.join(said)}"] if said else []
        if open_:
            flag = "--account NAME" if open_[0] == "account" else f"--set {open_[0]}=VALUE"
            ways.append(f"set {' or '.join(open_)} (as by {flag}, or in {self.place})")
        text = ", or ".join(ways)
        return f"{text[:1].upper()}{text[1:]}." if text else ""

    def _source(self, key: str) -> str:
        """Return who of the user's says what a key is; empty where nobody does."""
        path = key.split(".")
        if path[0] == "pools" and path[-1] in self.options:
            return f"from {_OPTIONS[path[-1]]}"
        for asked in (path, path[-1:]) if path[-1] == "account" else (path,):
            for layer in reversed(self.layers):
                if _value(layer.content, asked) not in (None, "", [], ()):
                    return _named(layer.where, asked)
        return ""


def sources_of(name: str, layers: list[Layer], options: Iterable[str] = ()) -> SiteSources:
    """Return the sources of a site that was named, as by ``--site``."""
    return SiteSources(layers, str(place_for_facts(name)), frozenset(options))


def _value(content: dict[str, Any], path: Sequence[str]) -> Any:
    value: Any = content
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _named(where: str, path: Sequence[str]) -> str:
    if Path(where).parent == site_folder():  # not the user's to change
        return ""
    if not where.endswith(".toml"):
        return f"from {where}"
    return f"in [{'.'.join(path[:-1])}] of {where}" if len(path) > 1 else f"at the top of {where}"
