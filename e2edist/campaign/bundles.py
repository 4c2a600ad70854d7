"""Task bundles: small chunks are bundled into one task, as each task costs some milliseconds.

Driver, scheduler and the way to a worker and back take about as long as a file of a hundred events. Each
chunk of a bundle keeps its own part, receipt and error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from e2edist.records.chunk import Chunk

from .throughput import ThroughputModel
from .work_queue import PendingQueue

#: Chunks of a bundle: their receipts come back in one message.
_MAX_CHUNKS = 256
#: Bundles that a thread gets of what is left: small ones, so that all threads end at about the same time.
_SHARES = 2


@dataclass(slots=True)
class TaskBundle:
    """The chunks of one task in flight.

    Attributes
    ----------
    deadline : float
        Moment of the monotonic clock at which its worker is stopped.
    started : float
        Moment at which it was submitted.
    alone : bool
        Whether nothing else is in flight meanwhile, so that a lost worker is due to its one chunk.
    probe : bool
        Submitted while nothing had succeeded and something had failed (see `circuit_breaker`).
    overdue, collateral : bool
        The driver stopped its worker, because of this bundle, or of another one.
    """

    chunks: tuple[Chunk, ...]
    deadline: float
    started: float
    alone: bool = False
    probe: bool = False
    overdue: bool = False
    collateral: bool = False


def bundle_chunks(
    pending: PendingQueue,
    throughput: ThroughputModel,
    seconds: float,
    threads: int,
    run_alone: Callable[[Chunk], bool],
) -> list[Chunk]:
    """Take the first pending chunk, and those after it that together take about `seconds`.

    One chunk while nothing is measured, and towards the end, when each thread gets its share of the rest.
    The number of events does not tell how long files of another kind take, so bundles grow by doubling.

    Parameters
    ----------
    run_alone : callable
        Whether a chunk must have a task of its own.
    """
    most = min(throughput.max_bundle, _MAX_CHUNKS, len(pending) // (_SHARES * max(1, threads)))
    bundle = [pending.pop()]
    total_s = inf if run_alone(bundle[0]) else throughput.estimate_s(bundle[0].events)
    while len(bundle) < most:
        total_s += throughput.estimate_s(pending.next.events)
        if total_s > seconds or run_alone(pending.next):
            break
        bundle.append(pending.pop())
    return bundle
