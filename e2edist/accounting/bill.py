"""What a campaign cost: worker hours used, idle, starting and lost; node and GPU hours; the charge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from e2edist.config.charge import ChargeSpec

from .usage import PoolUsage, read_usage


@dataclass(frozen=True, slots=True)
class PoolBill:
    """What the workers of a pool did with their time; hours of workers, and of nodes and GPUs.

    used + idle + starting + lost = allocated.

    Attributes
    ----------
    charged : bool
        Whether somebody may charge for it: not on the user's own machine, unless its site file says so.
    """

    pool: str
    allocated_h: float
    used_h: float
    starting_h: float
    lost_h: float
    idle_h: float
    node_h: float
    gpu_h: float
    charge: float
    unit: str
    cost: float
    currency: str
    events: int
    charged: bool = True

    @property
    def busy(self) -> float:
        """Fraction of the allocated time in which chunks were done."""
        return self.used_h / self.allocated_h if self.allocated_h else 0.0

    @property
    def charge_per_million(self) -> float | None:
        """Charge per million events; None without events."""
        return self.charge * 1e6 / self.events if self.events else None


def make_bill(folder: Path, done: Mapping[str, tuple[float, int]]) -> list[PoolBill]:
    """Return the bill of a campaign, a pool each; empty where its usage was not recorded.

    Parameters
    ----------
    done : mapping of str to (float, int)
        Pool -> wall milliseconds of the threads in chunks that were done, and events (`Summary.pools`).
    """
    return [_pool(name, usage, *done.get(name, (0.0, 0))) for name, usage in read_usage(folder).items()]


def _pool(name: str, usage: PoolUsage, wall_ms: float, events: int) -> PoolBill:
    facts: dict[str, Any] = usage.facts
    workers, threads = facts["workers"], max(1, facts["threads"])
    used, lost = wall_ms / 3.6e6 / threads, usage.lost_s / 3600 / threads
    starting = usage.starting_s * workers / 3600
    # A driver that was killed, or one that ended before the next line, wrote down less than was used.
    allocated = max(usage.running_s * workers / 3600, used + lost + starting)
    jobs_h = allocated / workers
    charge = jobs_h * facts["nodes"] * facts["factor"]
    return PoolBill(
        name,
        allocated,
        used,
        starting,
        lost,
        allocated - used - lost - starting,
        jobs_h * facts["nodes"],
        jobs_h * facts["gpus"],
        charge,
        facts["unit"],
        charge * facts["price"],
        facts["currency"] if facts["price"] else "",
        events,
        is_charged(facts),
    )


def is_charged(facts: Mapping[str, Any]) -> bool:
    """Return whether somebody may charge for a pool, of `usage.pool_facts` it."""
    usual = ChargeSpec()
    said = facts["price"] > 0 or facts["factor"] != usual.factor or facts["unit"] != usual.unit
    return facts["kind"] != "local" or bool(said)


def bill_facts(bill: list[PoolBill]) -> list[dict[str, Any]]:
    """Return a bill for JSON and tables."""
    return [asdict(row) | {"charge_per_million": row.charge_per_million} for row in bill]
