"""Facts of the user's without which a site can't run: who is charged, and which image workers run in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from e2edist.errors import ConfigError
from e2edist.install_hint import verb_command

from ._batch_systems import takes_account
from .jobs import ContainerSpec
from .site import SiteSpec
from .site_files import place_for_facts, site_folder, site_path

#: Words of an example that somebody left as they were.
_IMAGE_WORDS = re.compile(r"(^|[/:@])(REPO|REGISTRY|ORG|IMAGE|TAG)(?![A-Za-z0-9_])|[<>…]|\.\.\.")
_ACCOUNT_WORDS = re.compile(r"(YOUR|MY)?[_-]?(ACCOUNT|PROJECT|NAME)|.*[<>…].*|.*\.\.\..*|[mM]?X{3,}")


@dataclass(frozen=True, slots=True)
class FactFault:
    """A fact that a site lacks.

    Attributes
    ----------
    fact : str
        account or image.
    what : str
        What is wrong with it, as ``has no account``.
    pools : tuple of str
        Those that need it, and ``controller``.
    """

    fact: str
    what: str
    pools: tuple[str, ...]

    @property
    def text(self) -> str:
        """What is wrong with it, and where."""
        return f"{self.what} ({', '.join(self.pools)})"


def find_fact_faults(site: SiteSpec, *, detached: bool = False) -> list[FactFault]:
    """Return which facts the pools of a site lack, or have as they stand in an example.

    Parameters
    ----------
    detached : bool
        Whether the controller is to be a job, if the site says so.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for name, fact, value, needed in _facts(site, detached=detached):
        if is_placeholder(fact, value):
            found.setdefault((fact, f"has {value!r} for {fact}, which is no real one"), []).append(name)
        elif needed and not value:
            found.setdefault((fact, f"has no {fact}"), []).append(name)
    return [FactFault(fact, what, tuple(names)) for (fact, what), names in found.items()]


def is_placeholder(fact: str, value: str) -> bool:
    """Return whether an account or an image is as it stands in an example."""
    words = _ACCOUNT_WORDS.fullmatch(value) if fact == "account" else _IMAGE_WORDS.search(value)
    return words is not None


def require_facts(site: SiteSpec, name: str, *, detached: bool = False) -> None:
    """Refuse a site that lacks facts, before anything is submitted.

    Parameters
    ----------
    name : str
        The site's name or path, as it was given.
    detached : bool
        Whether the controller is to be a job, if the site says so.

    Raises
    ------
    ConfigError
        With what to write where.
    """
    faults = find_fact_faults(site, detached=detached)
    if faults:
        what = " and ".join(fault.text for fault in faults)
        raise ConfigError(f"site {site.name}", what, write_facts(faults, name))


def write_facts(faults: list[FactFault], name: str) -> str:
    """Return what to write where, as a sentence."""
    facts = list(dict.fromkeys(fault.fact for fault in faults))
    flags = " ".join(f"--{fact} {fact.upper()}" for fact in facts)
    variables = " and ".join(f"E2EDIST_{fact.upper()}" for fact in facts)
    place = place_for_facts(name)
    lines = [f'{fact} = "{fact.upper()}"' for fact in facts]
    ours = site_path(name).parent == site_folder()
    if ours and not place.exists():
        lines.insert(0, f'extends = "{place.stem}"')
    asked = f" ({verb_command('init', place.stem)} does it)" if ours else ""
    return f"Give {flags}, or set {variables}, or write into {place} the lines {', '.join(lines)}{asked}."


def _facts(site: SiteSpec, *, detached: bool) -> Iterator[tuple[str, str, str, bool]]:
    """Yield (pool or controller, fact, value, whether it is needed)."""
    for name, pool in site.pools.items():
        if takes_account(pool.kind):
            yield name, "account", pool.job.account, "account" in site.needs
        yield from _image_of(name, pool.container)
    if detached:
        controller = site.controller
        if takes_account(controller.kind):
            yield "controller", "account", controller.account, "account" in site.needs
        yield from _image_of("controller", controller.container)


def _image_of(name: str, container: ContainerSpec) -> Iterator[tuple[str, str, str, bool]]:
    """Yield the image of a container: no runtime starts without one, whatever the site says that it needs."""
    if container.runtime != "none":
        yield name, "image", container.image, True
