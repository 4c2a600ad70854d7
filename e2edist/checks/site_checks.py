"""All checks of a site that start nothing, in the order in which they are told."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from e2edist import __version__
from e2edist.config.site import SiteSpec

from . import Finding
from .batch_systems import Advise, check_batch, name_keys
from .container_images import check_images
from .facts import check_facts
from .host import check_folders, check_gpus, check_network
from .remote_inputs import check_remote


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a site.

    Attributes
    ----------
    name : str
        The site's name or path, as it was given: findings say what to write where.
    output : Path
        Folder that a campaign would write to.
    inputs : tuple of str
        Files of a campaign.
    advise : callable
        Returns how to change some keys, as ``pools.cpu.threads``, as a sentence.
    """

    name: str
    output: Path
    inputs: tuple[str, ...] = ()
    advise: Advise = name_keys


def check_site(site: SiteSpec, asked: Asked) -> Iterator[Finding]:
    """Look at a site and this host; nothing is submitted."""
    output = asked.output
    lacking = list(check_facts(site, asked.name))
    yield from lacking
    text = f"{platform.python_version()} ({sys.executable}), e2edist {__version__}"
    yield Finding("ok", "python", text)
    yield from check_folders(site, output)
    yield from check_network(site)
    yield from check_remote(site, asked.inputs)
    yield from check_gpus(site)
    yield from check_batch(site, output.absolute(), jobs=not lacking, advise=asked.advise)
    if not any(finding.topic == "image" for finding in lacking):
        yield from check_images(site)
