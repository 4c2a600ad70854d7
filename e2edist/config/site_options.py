"""What a command line, or a caller in Python, says of a site on top of its files."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from e2edist.errors import ConfigError, unknown_name

from ._batch_systems import takes_account
from .resolved_site import is_resolved, read_resolved
from .scheduler_address import check_scheduler, is_encrypted
from .site import SiteSpec, parse_layers
from .site_files import Layer, read_layers, site_path
from .site_settings import read_settings
from .site_sources import SiteSources, sources_of

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
        Workers of each pool, or by pool; a pool with 0 is left out.
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
    site = read_resolved(options.site) if is_resolved(options.site) else parse_layers(_layers(options))
    if options.scheduler or options.tls_folder:
        _check_attached(options)
        site = site.attached(options.scheduler, options.tls_folder)
    return _with_pools(site, options)


def _check_attached(options: SiteOptions) -> None:
    if not options.scheduler:
        what = "goes with --scheduler"
        raise ConfigError("--tls-folder", what, "Name the scheduler whose certificates are in it.")
    try:
        check_scheduler(options.scheduler)
    except ValueError as error:
        raise ConfigError("--scheduler", str(error)) from error
    if is_encrypted(options.scheduler) and not options.tls_folder:
        what = f"{options.scheduler} asks for certificates, and --tls-folder or tls_folder is missing"
        raise ConfigError("--scheduler", what, "Name the folder with ca.pem, key.pem, cert.pem.")


def make_sources(options: SiteOptions) -> SiteSources | None:
    """Return who says what of the site of `make_site`; None of one that was resolved for a controller."""
    if is_resolved(options.site):
        return None
    keys = {"threads": options.threads is not None}
    return sources_of(options.site, _layers(options), [key for key, given in keys.items() if given])


def _layers(options: SiteOptions) -> list[Layer]:
    layers = read_layers(site_path(options.site))
    settings = [Layer("--set", read_settings(layers, options.settings))] if options.settings else []
    # A setting counts more than an account for all, but says too which pools are jobs or in containers.
    layers = _with_account_and_images(_with_environment(layers, settings), settings, options)
    return [*layers, *settings]


def _with_pools(site: SiteSpec, options: SiteOptions) -> SiteSpec:
    workers = options.workers
    named, without = _wanted_and_unwanted(site, options)
    every = options.pools == (ALL_POOLS,)
    names = tuple(site.pools if every else options.pools or named or site.default_pools or site.pools)
    left = tuple(name for name in names if name not in without and workers != 0)
    if names and not left:
        raise ConfigError("--workers", "leaves no pool to run on", "Give one of them 1 worker or more.")
    site = site.only(left)
    for name in named:
        if name not in site.pools:
            what = f"names pool {name!r}, which --pools leaves out"
            raise ConfigError("--workers", what, f"Write --pools {','.join((*site.pools, name))}.")
    if isinstance(workers, int):
        workers = dict.fromkeys(site.pools, workers)
    numbers = {name: (workers or {}).get(name, pool.workers) for name, pool in site.pools.items()}
    return site.with_pools(numbers, options.threads)


def _wanted_and_unwanted(site: SiteSpec, options: SiteOptions) -> tuple[tuple[str, ...], set[str]]:
    """Return the pools that ``--workers`` names, and those to which it gives none.

    Raises
    ------
    UnknownNameError
        There is no such pool.
    """
    numbers = options.workers if isinstance(options.workers, Mapping) else {}
    without = {name for name, number in numbers.items() if number == 0}
    if not is_resolved(options.site):  # which holds no pool that was left out
        site.only(without)
    return tuple(name for name in numbers if name not in without), without


def _with_environment(layers: list[Layer], settings: list[Layer]) -> list[Layer]:
    """Add what the environment says, where it means something to this site: it is there for all sites."""
    for name, make in ((_ACCOUNT, _account), (_IMAGE, _image)):
        if value := os.environ.get(name, "").strip():
            content = make(parse_layers([*layers, *settings]), value, name)
            layers = [*layers, Layer(name, content)] if content else layers
    return layers


def _with_account_and_images(layers: list[Layer], settings: list[Layer], options: SiteOptions) -> list[Layer]:
    if options.account is not None:
        site = parse_layers([*layers, *settings])
        content = _account(site, options.account, "--account")
        if not content:
            what = f"no job of site {site.name} is charged to an account that is named"
            raise ConfigError("--account", what, "Leave it out; HTCondor's groups are written as attributes.")
        layers = [*layers, Layer("--account", content)]
    # Those of one pool last, so that they count there.
    for image in sorted(options.images, key=lambda text: _POOL_IMAGE.fullmatch(text) is not None):
        site = parse_layers([*layers, *settings])
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


def split_image(text: str, where: str) -> tuple[str, str]:
    """Return pool and image of ``POOL=IMAGE``, or of ``IMAGE``, which is for all pools: "".

    Raises
    ------
    ConfigError
        There is no image in it.
    """
    found = _POOL_IMAGE.fullmatch(text)
    name, image = found.groups() if found else ("", text)
    if not image:
        raise ConfigError(where, f"{text!r} names no image", "Write IMAGE, or POOL=IMAGE.")
    return name, image


def _image(site: SiteSpec, text: str, where: str) -> dict[str, Any]:
    """Return the keys for an image in all containers, or in that of one pool; empty where there is none."""
    name, image = split_image(text, where)
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
