"""Site files: where they lie, and how one extends another. What their keys mean, `site` says."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from e2edist.errors import ConfigError, advise_nearest, unknown_name
from e2edist.process import expand_home
from e2edist.urls import given_path

from .toml_models import read_toml

_ENDING = ".toml"
#: Of a site as it was resolved for a controller.
RESOLVED_ENDING = ".json"


@dataclass(frozen=True, slots=True)
class Layer:
    """Some keys of a site, and who says so: a file, an option or a variable."""

    where: str
    content: dict[str, Any]


def site_folder() -> Path:
    """Return the folder of the site files that come with the package or its checkout."""
    package = Path(str(files("e2edist")))
    installed = package / "site-configs"
    return installed if installed.is_dir() else package.parent / "site-configs"


def user_site_folder() -> Path | None:
    """Return the folder of the user's own site files, there or not; none: nobody knows the home."""
    base = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    if base.is_absolute():  # others are to be ignored, says the standard
        return base / "e2edist" / "sites"
    with suppress(RuntimeError):
        return Path.home() / ".config" / "e2edist" / "sites"
    return None


def known_sites() -> dict[str, Path]:
    """Return the file of each name that ``--site`` takes: the user's own come before ours."""
    own = user_site_folder()
    return shipped_sites() | (_named(own) if own is not None else {})


def shipped_sites() -> dict[str, Path]:
    """Return the file of each site that comes with the package or its checkout."""
    return _named(site_folder())


def site_path(name: str) -> Path:
    """Return the file of a site by its name, or by its path.

    Raises
    ------
    UnknownNameError, ConfigError
        There is no such site, or it is no name of a file.
    """
    if name.endswith((_ENDING, RESOLVED_ENDING)):
        return given_path(name, "--site")
    known = known_sites()
    if name not in known:
        raise unknown_name("site", name, known)
    return known[name]


def place_for_facts(name: str) -> Path:
    """Return the file in which the user writes what a site lacks: his own, there or not yet."""
    path, own = site_path(name), user_site_folder()
    if path.parent == site_folder() and own is not None:
        return own / path.name
    return path


def read_layers(path: Path) -> list[Layer]:
    """Return a site file and those that it extends, the first one first.

    Raises
    ------
    ConfigError
        One of them can't be read, is no TOML, or extends itself.
    """
    layers: list[Layer] = []
    seen = [path]
    while True:
        content = read_toml(path)
        base = content.pop("extends", "")
        layers.insert(0, Layer(str(path), {"name": path.stem} | content))
        if base == "":
            return layers
        path = _extended(base, path)
        if any(path.resolve() == one.resolve() for one in seen):
            circle = " -> ".join(map(str, [*seen, path]))
            raise ConfigError(str(seen[-1]), f"extends: goes in a circle, {circle}", "Extend another site.")
        seen.append(path)


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return tables merged key by key; lists and plain values of `over` replace those of `base`."""
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def _named(folder: Path) -> dict[str, Path]:
    try:
        return {path.stem: path for path in sorted(folder.glob(f"*{_ENDING}"))}
    except OSError:  # not ours to read
        return {}


def _extended(base: Any, path: Path) -> Path:
    """Return the file that `path` extends: a site of ours by name, or a path from where it lies."""
    if not isinstance(base, str):
        raise ConfigError(str(path), f"extends: should be a name or a path (got {base!r})")
    if base.endswith(_ENDING):
        found = path.parent / expand_home(base)
        if not found.exists():
            todo = "Paths are taken from where the file lies."
            raise ConfigError(str(path), f"extends: there is no file {found}", todo)
        return found
    ours = shipped_sites()
    if base not in ours:
        todo = f"{advise_nearest(base, ours)}; or the path of a file, which ends in {_ENDING}."
        raise ConfigError(str(path), f"extends: there is no site {base!r}", todo)
    return ours[base]
