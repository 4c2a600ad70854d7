"""What a command line, or a caller in Python, says of a site on top of its files."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from typing import Any

from e2edist.errors import ConfigError, unknown_name

from ._batch_systems import takes_account
from .resolved_site import is_resolved, read_resolved
from .site import SiteSpec, parse_layers
from .site_files import Layer, merged, read_layers, site_path

_ACCOUNT, _IMAGE = "E2EDIST_ACCOUNT", "E2EDIST_IMAGE"
#: In place of names of pools.
ALL_POOLS = "all"
#: POOL=IMAGE; an image has a colon, a slash or a dot before any equals sign.
_POOL_IMAGE = re.compile(r"([A-Za-z0-9_-]+)=(.*)")


@dataclass(frozen=True, slots=True)
class SiteOptions:
    """A site, and what is other than its files say.

    Attributes
    ----------
    site : str
        Name, or path of a TOML file.
    account : str or None
        For all jobs; None: as environment and files say.
    images : tuple of str
        ``IMAGE`` for all containers, or ``POOL=IMAGE``; what is named of a pool counts there.
    pools : tuple of str
        Those to use, or ``all``; empty: those that `workers` names, else the site's default pools.
    settings : tuple of str
        ``KEY=VALUE``, with values as in TOML; what is none is a text.
    workers : int or mapping, optional
        Workers of each pool, or by pool.
    threads : int, optional
        Of each worker.
    scheduler, tls_folder : str
        Of a running Dask cluster, in place of the site's pools.
    """

    site: str = "local"
    account: str | None = None
    images: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    workers: int | Mapping[str, int] | None = None
    threads: int | None = None
    scheduler: str = ""
    tls_folder: str = ""


def make_site(options: SiteOptions) -> SiteSpec:
    """Return the site to run on: options come before environment, user's file and the file that it extends.

    Raises
    ------
    ConfigError, UnknownNameError
        One of them has a fault, which is named; or there is no such site or pool.
    """
    if is_resolved(options.site):
        site = read_resolved(options.site)
    else:
        layers = read_layers(site_path(options.site))
        layers = _with_account_and_images(_with_environment(layers), options)
        site = parse_layers(_with_settings(layers, options))
    if options.scheduler or options.tls_folder:
        site = site.attached(options.scheduler, options.tls_folder)
    return _with_pools(site, options)


def _with_pools(site: SiteSpec, options: SiteOptions) -> SiteSpec:
    workers = options.workers
    named = tuple(workers) if isinstance(workers, Mapping) else ()
    every = options.pools == (ALL_POOLS,)
    site = site.only(site.pools if every else options.pools or named or site.default_pools or site.pools)
    for name in named:
        if name not in site.pools:
            what = f"names pool {name!r}, which --pools leaves out"
            raise ConfigError("--workers", what, f"Write --pools {','.join((*site.pools, name))}.")
    if isinstance(workers, int):
        workers = dict.fromkeys(site.pools, workers)
    numbers = {name: (workers or {}).get(name, pool.workers) for name, pool in site.pools.items()}
    return site.with_pools(numbers, options.threads)


def _with_environment(layers: list[Layer]) -> list[Layer]:
    """Add what the environment says, where it means something to this site: it is there for all sites."""
    for name, make in ((_ACCOUNT, _account), (_IMAGE, _image)):
        if value := os.environ.get(name, "").strip():
            content = make(parse_layers(layers), value, name)
            layers = [*layers, Layer(name, content)] if content else layers
    return layers


def _with_account_and_images(layers: list[Layer], options: SiteOptions) -> list[Layer]:
    if options.account is not None:
        site = parse_layers(layers)
        content = _account(site, options.account, "--account")
        if not content:
            what = f"no job of site {site.name} is charged to an account that is named"
            raise ConfigError("--account", what, "Leave it out; HTCondor's groups are written as attributes.")
        layers = [*layers, Layer("--account", content)]
    # Those of one pool last, so that they count there.
    for image in sorted(options.images, key=lambda text: _POOL_IMAGE.fullmatch(text) is not None):
        site = parse_layers(layers)
        content = _image(site, image, "--image")
        if not content:
            what = f"no pool of site {site.name} runs in a container"
            raise ConfigError("--image", what, "Leave it out, or set pools.NAME.container.runtime.")
        layers = [*layers, Layer("--image", content)]
    return layers


def _account(site: SiteSpec, account: str, where: str) -> dict[str, Any]:
    """Return the keys for an account in all jobs; empty where no job takes one."""
    if not account:
        raise ConfigError(where, "is empty", "Name the account or project that is charged.")
    pools = {name: {"job": {"account": account}} for name, p in site.pools.items() if takes_account(p.kind)}
    controller = {"account": account} if takes_account(site.controller.kind) else {}
    return {"account": account, "pools": pools, "controller": controller} if pools or controller else {}


def _image(site: SiteSpec, text: str, where: str) -> dict[str, Any]:
    """Return the keys for an image in all containers, or in that of one pool; empty where there is none."""
    found = _POOL_IMAGE.fullmatch(text)
    name, image = found.groups() if found else ("", text)
    if not image:
        raise ConfigError(where, f"{text!r} names no image", "Write IMAGE, or POOL=IMAGE.")
    table = {"container": {"image": image}}
    if name == "controller" and name not in site.pools:
        return {"controller": table} if site.controller.container.runtime != "none" else {}
    if name and name not in site.pools:
        raise ConfigError(where, f"{text}: {unknown_name(f'pool of site {site.name}', name, site.pools)}")
    pools = {
        pool: table
        for pool, spec in site.pools.items()
        if pool == (name or pool) and spec.container.runtime != "none"
    }
    if name:
        return {"pools": pools} if pools else {}
    controller = table if site.controller.container.runtime != "none" else {}
    return {"image": image, "pools": pools, "controller": controller} if pools or controller else {}


def _with_settings(layers: list[Layer], options: SiteOptions) -> list[Layer]:
    """Add all settings as one layer, as some are right only together."""
    content = read_settings(layers, options.settings)
    return [*layers, Layer("--set", content)] if content else layers


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
