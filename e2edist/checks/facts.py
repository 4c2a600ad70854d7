"""Facts of the user's: account and image."""

from __future__ import annotations

from collections.abc import Iterator

from e2edist.config.site import SiteSpec
from e2edist.config.site_facts import find_fact_faults, write_facts

from . import Finding


def check_facts(site: SiteSpec, name: str) -> Iterator[Finding]:
    """Look whether a site, which was named `name`, has what only the user knows."""
    for fault in find_fact_faults(site, detached=True):
        yield Finding("fail", fault.fact, fault.text, write_facts([fault], name))
