"""What ``progress.json`` holds: state and progress of the latest run of a campaign."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from e2edist.accounting.progress import Progress
from e2edist.records.folder import CampaignFolder


@dataclass(frozen=True, slots=True)
class PoolRecord:
    """A pool as its driver last saw it.

    Attributes
    ----------
    dashboard : str
        Address of the Dask dashboard.
    trouble : str
        Why there will be no more workers; empty while there may be.
    wanted, queued, running, joined : int
        Workers, or their jobs.
    waits_for : str
        Why those that are queued do not run yet, as their batch system says it; empty where it does not.
    """

    kind: str = ""
    wanted: int = 0
    dashboard: str = ""
    trouble: str = ""
    queued: int = 0
    running: int = 0
    joined: int = 0
    waits_for: str = ""

    @property
    def workers(self) -> tuple[int, int, int, int]:
        """Wanted, queued, running and joined ones."""
        return self.wanted, self.queued, self.running, self.joined


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatRecord:
    """A heartbeat.

    Attributes
    ----------
    state : str
        running, or how the run ended: done, stopped, failed.
    error : str
        Why it failed.
    host, pid
        Of the driver.
    controller : str
        Token of the controller of a detached campaign; else empty.
    started, updated : float
        Seconds since 1970.
    """

    state: str
    started: float
    updated: float
    error: str = ""
    host: str = ""
    pid: int = 0
    controller: str = ""
    progress: Progress = field(default_factory=lambda: Progress(0, 0))
    pools: dict[str, PoolRecord] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """Return it as the file has it."""
        own = {key: value for key, value in asdict(self).items() if key != "progress"}
        rates = {"events_per_s": self.progress.rate, "events_per_s_now": self.progress.rate_now}
        return self.progress.facts() | rates | own

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> HeartbeatRecord:
        """Return what a file has; other versions may have other keys."""
        pools = {
            name: PoolRecord(**_known(PoolRecord, one)) for name, one in content.get("pools", {}).items()
        }
        counts = {"chunks": 0, "events": 0} | _known(Progress, content)
        counts["threads"] = content.get("threads", content.get("workers", 0))  # as they were called once
        counts |= {"rate": content.get("events_per_s"), "rate_now": content.get("events_per_s_now")}
        counts |= {"pools": {name: pool.workers for name, pool in pools.items()}}
        counts |= {"waits_for": {name: pool.waits_for for name, pool in pools.items() if pool.waits_for}}
        return cls(**_known(cls, content) | {"progress": Progress(**counts), "pools": pools})


def _known(kind: Any, content: Mapping[str, Any]) -> dict[str, Any]:
    return {one.name: content[one.name] for one in fields(kind) if one.name in content}


def read_heartbeat(folder: Path) -> HeartbeatRecord | None:
    """Return the latest heartbeat of a campaign; None if there is none, or it can't be read now."""
    try:
        return HeartbeatRecord.of(json.loads(CampaignFolder(folder).heartbeat.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, AttributeError):  # the next one comes in two seconds
        return None
