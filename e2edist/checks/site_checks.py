"""All checks of a site that start nothing, in the order in which they are told."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from e2edist import __version__
from e2edist.config.site import SiteSpec

from . import Finding
from .batch_systems import check_batch
from .container_images import check_images
from .facts import check_facts
from .host import check_folders, check_gpus, check_network
from .remote_inputs import check_remote


def check_site(site: SiteSpec, name: str, output: Path, inputs: Iterable[str] = ()) -> Iterator[Finding]:
    """Look at a site and this host; nothing is submitted.

    Parameters
    ----------
    name : str
        The site's name or path, as it was given: findings say what to write where.
    output : Path
        Folder that a campaign would write to.
    inputs : iterable of str
        Files of a campaign.
    """
    lacking = list(check_facts(site, name))
    yield from lacking
    text = f"{platform.python_version()} ({sys.executable}), e2edist {__version__}"
    yield Finding("ok", "python", text)
    yield from check_folders(site, output)
    yield from check_network(site)
    yield from check_remote(site, inputs)
    yield from check_gpus(site)
    yield from check_batch(site, output.absolute(), jobs=not lacking)
    if not any(finding.topic == "image" for finding in lacking):
        yield from check_images(site)
