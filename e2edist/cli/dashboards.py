"""Where the dashboard of a pool and the page of a campaign are, for people."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from e2edist.pools import Pool


def dashboard_lines(pool: Pool, kind: str) -> Iterator[str]:
    """Yield lines on the dashboard of a pool of some kind that runs."""
    yield f"pool {pool.name}: dashboard {pool.dashboard}"
    if kind != "attach":  # whose scheduler has no page of ours
        yield f"  this campaign's page {pool.dashboard.removesuffix('/status')}/e2edist"
    if tunnel := _tunnel(pool.dashboard):
        yield f"  from your own machine: {tunnel}"


def _tunnel(dashboard: str) -> str:
    """Return the command that shows a dashboard on loopback to somebody who came here by ssh."""
    address = urlsplit(dashboard)
    if "SSH_CONNECTION" not in os.environ or address.hostname != "127.0.0.1":
        return ""
    user, host = os.environ.get("USER", "you"), platform.node()
    return f"ssh -N -L {address.port}:127.0.0.1:{address.port} {user}@{host}"
