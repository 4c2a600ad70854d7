"""Where the dashboard of a pool and the page of a campaign are, for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from e2edist.control.tunnel import tunnel_command

if TYPE_CHECKING:
    from e2edist.pools import Pool


def dashboard_lines(pool: Pool, kind: str) -> Iterator[str]:
    """Yield lines on the dashboard of a pool of some kind that runs."""
    yield f"pool {pool.name}: dashboard {pool.dashboard}"
    if kind != "attach":  # whose scheduler has no page of ours
        yield f"  this campaign's page {pool.dashboard.removesuffix('/status')}/e2edist"
    if tunnel := tunnel_command(pool.dashboard):
        yield f"  from your own machine: {tunnel}"
