"""A batch job and its workers: what its queue and its workers themselves tell of its life."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


def job_of(worker: str) -> str:
    """Return the name of the job of a worker: workers that share a job are NAME.0, NAME.1 ..."""
    return worker.split(".", maxsplit=1)[0]


@dataclass(frozen=True, slots=True)
class WorkerEvent:
    """A worker that was set up, or that has left.

    Attributes
    ----------
    at : float
        When, as `time.monotonic` has it.
    worker : str
        Its name.
    age_s : float or None
        Seconds that its job had been running by then; None: it has left.
    """

    at: float
    worker: str
    age_s: float | None = None


@dataclass(slots=True)
class WorkerJob:
    """A job and its workers; times are those of `time.monotonic`.

    Attributes
    ----------
    waited_until : float
        When the queue last had it waiting; at first, when it was submitted.
    waits_for : str
        What the queue says that it waits for.
    running_since : float or None
        As its workers say, before they come as the queue says.
    seen_running : bool
        Whether the queue has said so; some say it late.
    joined_at : float or None
        When the first of its workers was set up, since it was queued last.
    left_at : float or None
        Since when there is none of its workers any more.
    running_s, starting_s : float
        Of its former lives, where it was queued again.
    """

    number: str
    name: str
    waited_until: float
    waits_for: str = ""
    running_since: float | None = None
    seen_running: bool = False
    joined_at: float | None = None
    left_at: float | None = None
    drained: bool = False
    scaled_down: bool = False
    running_s: float = 0.0
    starting_s: float = 0.0
    _workers: set[str] = field(default_factory=set)

    @property
    def joined(self) -> bool:
        """Whether a worker of it came to work, however short a time it stayed."""
        return self.joined_at is not None

    @property
    def has_workers(self) -> bool:
        """Whether some of its workers are there now."""
        return self.joined and self.left_at is None

    def hear(self, event: WorkerEvent) -> None:
        """Take what happened to one of its workers."""
        if event.age_s is not None:
            self._join(event.worker, event.at, event.at - event.age_s)
        elif event.worker in self._workers:
            self._workers.discard(event.worker)
            self.left_at = None if self._workers else event.at

    def _join(self, worker: str, now: float, began: float) -> None:
        began = max(began, self.waited_until)  # whatever clocks say
        if self.left_at is not None and began >= self.left_at:
            self.requeue(self.left_at)  # between two looks at the queue
        known = self.running_since if self.joined else None
        self.running_since = began if known is None else min(known, began)
        self._workers.add(worker)
        self.joined_at, self.left_at = self.joined_at or now, None

    def see_worker(self, now: float, poll_s: float) -> None:
        """Take that the scheduler has a worker of it, which was not heard of."""
        self._guess_start(now, poll_s)
        self.joined_at = self.joined_at or now

    def see_running(self, now: float, poll_s: float) -> None:
        """Take that the queue, which is looked at so often, has it running."""
        self._guess_start(now, poll_s)
        self.seen_running = True

    def _guess_start(self, now: float, poll_s: float) -> None:
        if self.running_since is None:  # at some moment since the last look
            self.running_since = now - min(poll_s, now - self.waited_until) / 2

    def requeue(self, now: float) -> None:
        """Begin a new life: its walltime begins anew, and it can fail to start anew."""
        self.running_s, self.starting_s = self.seconds(now, ended=True)
        self.waited_until = now
        self.running_since = self.joined_at = self.left_at = None
        self.seen_running = self.drained = False
        self._workers.clear()

    def seconds(self, now: float, *, ended: bool = False) -> tuple[float, float]:
        """Return how long it has been running, and how much of that without a worker at first.

        Parameters
        ----------
        ended : bool
            Whether it is over, which it has been since its last worker left.
        """
        if self.running_since is None:
            return self.running_s, self.starting_s
        until = self.left_at if ended and self.left_at is not None else now
        running = max(0.0, until - self.running_since)
        starting = min(running, max(0.0, (self.joined_at or until) - self.running_since))
        return self.running_s + running, self.starting_s + starting


class WorkerControl(Protocol):
    """The workers of the jobs, as the scheduler knows them; workers that share a job go together."""

    def joined(self) -> set[str]:
        """Return the names of the jobs whose workers are there and set up."""

    def drain(self, names: list[str]) -> list[str]:
        """Give no more tasks to the workers of some jobs; return the names of these workers."""

    def forget(self, names: list[str]) -> None:
        """Let go of jobs, or of workers, that are gone, whatever the scheduler believes.

        A node that hangs or is cut off keeps its connection for long.
        """

    def scale_down(self, names: list[str], number: int) -> list[str]:
        """End the workers of at most so many of these jobs that have nothing to do; return the jobs."""
