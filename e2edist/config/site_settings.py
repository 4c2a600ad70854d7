"""``--set KEY=VALUE``: any key of a site, from a command line."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import reduce
from typing import Any

from pydantic import BaseModel

from e2edist.errors import ConfigError, unknown_name

from .site import SiteSpec, parse_layers
from .site_files import Layer, merged


def read_settings(layers: list[Layer], settings: Sequence[str]) -> dict[str, Any]:
    """Return the keys of ``KEY=VALUE`` as tables in tables.

    Parameters
    ----------
    layers : list of Layer
        The site that they change, which says which reading of a value fits.

    Raises
    ------
    ConfigError
        One of them is not understood, or begins another site.
    """
    content = dict[str, Any]()
    for setting in settings:
        content = _with_setting(layers, content, setting)
    return content


def _with_setting(layers: list[Layer], content: dict[str, Any], setting: str) -> dict[str, Any]:
    """Return the tables with ``KEY=VALUE``: of the ways to read the value the first one that fits the key."""
    key, mark, text = setting.partition("=")
    path = _key_path(key)
    if not mark or not path:
        todo = "Write KEY=VALUE, as pools.cpu.job.walltime_min=240."
        raise ConfigError("--set", f"{setting!r} is not understood", todo)
    _check_path(parse_layers(layers), path)
    readings = [merged(content, _nested(path, value)) for value in _readings(text.strip())]
    for reading in readings:
        with suppress(ConfigError):
            parse_layers([*layers, Layer("--set", reading)])
            return reading
    return readings[0]  # right with the next one, or at fault


def _check_path(site: SiteSpec, path: Sequence[str]) -> None:
    """Refuse what would not change the site, but begin another."""
    if path[0] == "extends":
        raise ConfigError("--set", "extends: stands in site files alone", "Choose another --site.")
    if path[0] == "pools" and len(path) > 1 and path[1] not in site.pools:
        raise ConfigError("--set", str(unknown_name(f"pool of site {site.name}", path[1], site.pools)))
    known = [*_known_paths(site, ())]
    tables = {one[:length] for one in known for length in range(len(one) + 1)}
    if tuple(path) in tables or any(tuple(path[: len(one)]) == one for one in known):
        return
    if same := [".".join(one) for one in known if one[-1] == path[-1]]:
        raise ConfigError("--set", f"{'.'.join(path)}: unknown key, did you mean {' or '.join(same[:3])}?")


def _known_paths(spec: BaseModel, at: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the names that lead to each key of tables in tables."""
    for name, value in spec:
        inner = value.items() if isinstance(value, dict) else ()
        models = [(key, one) for key, one in inner if isinstance(one, BaseModel)]
        for key, one in models:
            yield from _known_paths(one, (*at, name, key))
        if isinstance(value, BaseModel):
            yield from _known_paths(value, (*at, name))
        elif not models:
            yield (*at, name)


def _key_path(key: str) -> list[str]:
    """Return the names that a key with dots is made of, as TOML reads it; empty if it is none."""
    try:
        content = tomllib.loads(f"{key.strip()} = 0")
    except tomllib.TOMLDecodeError:
        return []
    path: list[str] = []
    while isinstance(content, dict):
        if len(content) != 1:
            return []
        ((name, content),) = content.items()
        path.append(name)
    return path


def _readings(text: str) -> list[Any]:
    """Return a value as TOML reads it, and as plain text."""
    try:
        content = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError):
        return [text]
    value = content["value"]
    return [text] if len(content) != 1 else [value] if isinstance(value, str) else [value, text]


def _nested(path: Sequence[str], value: Any) -> dict[str, Any]:
    return reduce(lambda inner, name: {name: inner}, reversed(path), value)
