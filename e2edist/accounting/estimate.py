"""An estimate of the rest of a campaign from some of its chunks: time, node and GPU hours, charge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import ceil, sqrt
from statistics import fmean, stdev
from threading import Event
from typing import Any

from e2edist.records.receipt import Receipt

from .progress import Progress

#: Chunks of each pool that an estimate is made of, for each of its threads, and at least.
_PER_THREAD, _LEAST = 2, 4
#: An estimate takes no longer, from the first worker on.
LIMIT_S = 300.0
#: Numbers of jobs that are looked at, times what the site file says.
_TIMES = (0.25, 0.5, 1, 2, 4, 8, 16)


@dataclass(slots=True)
class Sampler:
    """A callback for `run_campaign` that stops a run once each pool has done enough chunks for an estimate.

    Attributes
    ----------
    wanted : dict of str to int
        Pool -> chunks that are enough.
    limit_s : float
        From the first worker on; a pool without workers by then is left out.
    start_s : float
        Seconds until the first worker joined.
    """

    stop: Event
    wanted: dict[str, int]
    limit_s: float
    start_s: float = 0.0

    def on_progress(self, progress: Progress) -> None:
        """Look at the counts of a moment."""
        self.start_s = progress.start_s or 0.0
        enough = all(progress.done_by.get(name, 0) >= number for name, number in self.wanted.items())
        if enough or (progress.elapsed_s or 0.0) > self.limit_s:
            self.stop.set()


def enough_chunks(facts: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Return pool -> chunks that an estimate needs, of `usage.pool_facts` each pool."""
    return {name: max(_LEAST, _PER_THREAD * one["threads"]) for name, one in facts.items()}


@dataclass(slots=True)
class Measured:
    """What was measured on the chunks of a pool.

    Attributes
    ----------
    rates : list of float
        Events per second of a thread, chunk by chunk, without setup.
    setup_s : float
        Longest time that setup took.
    """

    rates: list[float] = field(default_factory=list)
    setup_s: float = 0.0

    @property
    def rate(self) -> float:
        """Events per second of a thread."""
        return fmean(self.rates)

    @property
    def spread(self) -> float:
        """Standard error of the rate, relative."""
        if len(self.rates) < 2:
            return 1.0
        return stdev(self.rates) / sqrt(len(self.rates)) / self.rate


def measure_pools(receipts: Iterable[Receipt]) -> dict[str, Measured]:
    """Return pool -> what was measured on its chunks."""
    found: dict[str, Measured] = {}
    for receipt in receipts:
        one = found.setdefault(receipt.pool, Measured())
        one.setup_s = max(one.setup_s, receipt.setup_s)
        if receipt.work_s > 0 and receipt.events:
            one.rates.append(receipt.events / receipt.work_s)
    return {name: one for name, one in found.items() if one.rates}


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to do the rest: so many jobs of one pool; `core_h` are the hours of its threads."""

    pool: str
    jobs: int
    seconds: float
    spread: float
    core_h: float
    node_h: float
    gpu_h: float
    charge: float
    unit: str


def extrapolate(
    measured: Mapping[str, Measured],
    facts: Mapping[str, Mapping[str, Any]],
    jobs: Mapping[str, int],
    left: int,
    start_s: float,
) -> list[Choice]:
    """Return what `left` events would take with some numbers of jobs of each pool.

    Time is until the first worker is there, setup, and the events at the measured rate; without queues.

    Parameters
    ----------
    facts : mapping
        Pool -> `usage.pool_facts` it.
    jobs : mapping of str to int
        Pool -> jobs as the site file says.
    """
    found = []
    for name, one in measured.items():
        fact = facts[name]
        for number in sorted({max(1, ceil(jobs[name] * times)) for times in _TIMES}):
            threads = number * fact["workers"] * fact["threads"]
            seconds = start_s + one.setup_s + left / (one.rate * threads)
            job_h = number * seconds / 3600
            node_h = job_h * fact["nodes"]
            cost = (threads * seconds / 3600, node_h, job_h * fact["gpus"], node_h * fact["factor"])
            found.append(Choice(name, number, seconds, one.spread, *cost, fact["unit"]))
    return found


def best(choices: list[Choice]) -> tuple[Choice, Choice] | None:
    """Return the cheapest choice (the faster of equals) and the fastest (the cheaper of equals)."""
    if not choices:
        return None
    cheap = min(choices, key=lambda c: (round(c.charge, 6), c.gpu_h, round(c.core_h, 6), c.seconds))
    fast = min(choices, key=lambda c: (round(c.seconds, 3), c.charge))
    return cheap, fast
