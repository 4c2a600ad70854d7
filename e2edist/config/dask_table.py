"""The table ``[dask]`` of a site: keys and kinds of values are those of the Dask that is installed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

#: Tables whose keys anybody may choose: variables, resources, loggers.
_FREE_TABLES = (
    "distributed.nanny.environ",
    "distributed.nanny.pre-spawn-environ",
    "distributed.worker.resources",
    "distributed.scheduler.default-task-durations",
    "distributed.scheduler.dashboard.bokeh-application",
)
_TIME = re.compile(r"[\d.]+ ?(ns|us|ms|s|m|h|d|w|((nano|micro|milli)?second|minute|hour|day|week)s?)")
_SIZE = re.compile(r"[\d.]+ ?([kMGTP]i?)?B", re.IGNORECASE)


def defaults() -> dict[str, Any]:
    """Return what Dask's own files say, as tables in tables; Dask is not imported."""
    import yaml

    found: dict[str, Any] = {}
    for package in ("dask", "distributed"):
        spec = find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
            text = (Path(folder) / f"{package}.yaml").read_text(encoding="utf-8")
            found |= yaml.safe_load(text)
    return found


def check_table(table: dict[str, Any]) -> dict[str, Any]:
    """Return the table as tables in tables, its keys spelled as Dask spells them.

    Raises
    ------
    ValueError
        A key is not known to Dask, or its value is of another kind than the default; names all of them.
    """
    if not table:
        return table
    known, result, faults = defaults(), dict[str, Any](), list[str]()
    for key, value in _flatten(table, ""):
        try:
            _set_value(result, key, value, known)
        except ValueError as error:
            faults.append(f"{key}: {error}")
    if faults:
        raise ValueError("; ".join(faults))
    return result


def _flatten(table: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield (key with dots, value) of all that a table holds."""
    for name, value in table.items():
        if isinstance(value, dict) and value:
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _set_value(result: dict[str, Any], key: str, value: Any, known: dict[str, Any]) -> None:
    """Enter a value where it belongs."""
    if key.split(".", maxsplit=1)[0] == "jobqueue":
        raise ValueError("jobs are described in [pools.NAME.job]")
    *path, default = _key_path(key, known)
    _check_kind(value, default)
    for name in path[:-1]:
        result = result.setdefault(name, {})
    result[path[-1]] = value


def _key_path(key: str, known: dict[str, Any]) -> list[Any]:
    """Return the names of tables and key that lead to a value, and its default."""
    path, default, parts = list[Any](), known, key.split(".")
    while parts:
        if ".".join(path) in _FREE_TABLES:
            return [*path, ".".join(parts), None]
        name = _match_name(parts.pop(0), default) if isinstance(default, dict) else ""
        if not name:
            close = get_close_matches(key, [name for name, _ in _flatten(known, "")], n=3, cutoff=0.6)
            hint = f", did you mean {' or '.join(map(repr, close))}?" if close else ""
            raise ValueError(f"Dask knows no such key{hint}")
        path.append(name)
        default = default[name]
    return [*path, default]


def _match_name(name: str, names: dict[str, Any]) -> str:
    """Return a name as Dask has it, which takes hyphens for underscores; empty if it has none."""
    same = (known for known in names if known.replace("_", "-") == name.replace("_", "-"))
    return next(same, "")


def _check_kind(value: Any, default: Any) -> None:
    """Compare a value with the default: false often means never or none, and null can be anything."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    text = value if isinstance(value, str) else ""
    if default is None or value is False or isinstance(default, bool):
        return
    if isinstance(default, dict):
        right, wanted = isinstance(value, dict), "a table"
    elif isinstance(default, list):
        right, wanted = isinstance(value, tuple), "a list"
    elif isinstance(default, int | float):
        right, wanted = number or _SIZE.fullmatch(text) is not None, "a number"
    elif _TIME.fullmatch(default):
        right, wanted = number or _TIME.fullmatch(text) is not None, f'a time as "{default}"'
    elif _SIZE.fullmatch(default):
        right, wanted = number or _SIZE.fullmatch(text) is not None, f'a size as "{default}"'
    else:
        right, wanted = isinstance(value, str), "a text"
    if not right:
        raise ValueError(f"{value!r} is not {wanted}")
