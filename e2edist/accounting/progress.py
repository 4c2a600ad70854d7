"""How far a run is, for whoever looks."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Progress:
    """Counts for people; valid inside the callback."""

    chunks: int
    events: int
    done: int = 0
    failed: int = 0
    events_done: int = 0
    in_flight: int = 0
    workers: int = 0
    #: pool -> seconds of threads in attempts that came to nothing
    lost_s: dict[str, float] = field(default_factory=dict)
    #: pool -> chunks done in this run
    done_by: dict[str, int] = field(default_factory=dict)
    #: events per second since the first worker and lately, and seconds to go; None while not known
    rate: float | None = None
    rate_now: float | None = None
    eta_s: float | None = None
    #: pool -> wanted, queued, running and joined workers, or their jobs
    pools: dict[str, tuple[int, int, int, int]] = field(default_factory=dict)
    #: nothing more is given out: what runs is waited for
    stopping: bool = False
    #: chunks that ended since then, and those that were not waited for
    finished_late: int = 0
    cut_off: int = 0
    #: what looks wrong with the scores of this run
    warnings: tuple[str, ...] = ()
