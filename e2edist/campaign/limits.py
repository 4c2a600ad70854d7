"""Time limits of a run, and how much work it gives out at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace

#: Closing pools, and cancelling their jobs, takes up to so long.
_CLOSE_S = 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Time limits of a run.

    Attributes
    ----------
    chunk_s : float
        A chunk in flight for longer is stopped with its worker and counts as tried.
    stall_s : float
        Without any worker or queued job for longer, the campaign stops; it can be resumed later.
    portion_s : (float, float)
        Work that a worker is given at least and at most at a time, where a planned chunk is larger.
    bundle_s : float
        Work for which smaller chunks are bundled. Long against the milliseconds that a task costs, short
        for whoever watches, and for the last thread to end.
    finish_s : (float, float)
        When the run is stopped, running chunks may take as long as the longest one did, but at least and at
        most so many seconds.
    """

    chunk_s: float = 3600.0
    stall_s: float = 600.0
    portion_s: tuple[float, float] = (5.0, 300.0)
    bundle_s: float = 2.0
    finish_s: tuple[float, float] = (30.0, 180.0)

    def ending_within(self, seconds: float) -> Limits:
        """Return the limits of a driver that has so many seconds left when it is stopped."""
        least, most = self.finish_s
        left_s = max(0.0, seconds - _CLOSE_S)
        return replace(self, finish_s=(min(least, left_s), min(most, left_s)))
