"""Keeping up the number of batch jobs: whoever is lost is replaced, whoever can't start stops the pool."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import Protocol

from e2edist.config.jobs import JobSpec
from e2edist.errors import ResourceError

from ._batch_commands import CALL_S
from ._pool_job import PoolJob
from .api import BatchSystem

log = logging.getLogger(__name__)

#: Cancelled jobs get so long to leave the queue; where there is no time, so long to end what is under way.
_LEAVE_S, _HURRIED_S = 30, 2


@dataclass(frozen=True, slots=True)
class PoolQueue:
    """The jobs of one pool in its batch system."""

    system: BatchSystem
    job: PoolJob

    def submit(self, name: str) -> str:
        """Submit the job of a worker; return its number."""
        return self.system.submit(self.job, name)

    def states(self, ids: Iterable[str]) -> dict[str, str]:
        """Return number -> state of the jobs that are not gone."""
        return self.system.states(ids)

    def cancel(self, ids: Iterable[str]) -> None:
        """Cancel jobs; those that are gone do no harm."""
        self.system.cancel(ids)

    def log_tail(self, number: str) -> str:
        """Return the last lines that a job wrote."""
        return self.system.log_tail(self.job, number)


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


@dataclass(slots=True)
class WorkerJob:
    """A job and its worker."""

    number: str
    name: str
    waits_for: str = ""
    joined: bool = False
    running_since: float | None = None
    drained: bool = False
    scaled_down: bool = False


@dataclass(slots=True)
class JobSupervisor:
    """The jobs of one pool, looked after by a thread of their own.

    Attributes
    ----------
    queue : PoolQueue
    spec : JobSpec
    prefix : str
        Of worker names.
    wanted : int
        Jobs while there is work.
    workers : WorkerControl
    run : str
        Part of worker names, to tell them from those of other runs.
    most : int
        Grow up to so many jobs while there is work for them and all are at work; 0: a fixed number.
    width : int
        Chunks that a job runs at a time.
    setup_failures : dict of str to str
        Workers that joined and can't be set up, and why: as if their jobs had died.
    at_once : bool
        Whether there is no time to wait until cancelled jobs have left the queue.
    submitted : callable
        Is told the id of each job that was submitted, and the name of its worker.
    """

    queue: PoolQueue
    spec: JobSpec
    prefix: str
    wanted: int
    workers: WorkerControl
    run: str = ""
    most: int = 0
    width: int = 1
    failure_reason: str = ""
    longest_s: float = 0.0
    left: int = 0
    setup_failures: dict[str, str] = field(default_factory=dict)
    at_once: bool = False
    submitted: Callable[[str, str], None] = lambda job, name: None  # noqa: ARG005
    _least: int = 0
    _jobs: list[WorkerJob] = field(default_factory=list)
    _count: int = 0
    _limit: int = 0
    _failures: int = 0
    #: workers of jobs that were requeued, and until when they may finish what they run
    _requeued: list[tuple[float, list[str]]] = field(default_factory=list)
    _stop: Event = field(default_factory=Event)
    _lock: Lock = field(default_factory=Lock)
    _thread: Thread | None = None

    def __post_init__(self) -> None:
        self._least = self.wanted
        self._limit = max(self.wanted, self.most) + self.spec.replacements

    def start(self) -> None:
        """Submit the first jobs and start looking after them.

        Raises
        ------
        ResourceError
            The batch system refuses the first job.
        """
        self._submit()
        self._thread = Thread(target=self._supervise, name=f"e2edist-{self.prefix}", daemon=True)
        self._thread.start()

    def counts(self) -> dict[str, int]:
        """Return how many jobs are queued, running, and joined as workers."""
        with self._lock:
            running = [m for m in self._jobs if m.running_since is not None]
            joined = sum(m.joined for m in running)
            return {"queued": len(self._jobs) - len(running), "running": len(running), "joined": joined}

    @property
    def waits_for(self) -> str:
        """What the batch system says that queued jobs wait for, of the first that it says it of."""
        with self._lock:
            return next((job.waits_for for job in self._jobs if job.waits_for), "")

    def _supervise(self) -> None:
        while not self._stop.is_set() and not self.failure_reason:
            try:
                self.update()
            except (ResourceError, OSError, TimeoutError) as error:
                log.warning("pool %s: %s", self.prefix, error)
            except Exception:
                # Whatever it is: without this thread nobody would replace lost jobs.
                log.exception("pool %s: looking after its jobs failed", self.prefix)
            self._stop.wait(self.spec.poll_s)

    def update(self) -> None:
        """Compare queue and scheduler with what should be; replace, drain, give up."""
        with self._lock:
            states = self.queue.states(job.number for job in self._jobs)
            names, now = self.workers.joined(), time.monotonic()
            for job in list(self._jobs):
                self._check(job, states.get(job.number), names, now)
            for _, workers in (late := [one for one in self._requeued if one[0] < now]):
                self.workers.forget(workers)
            self._requeued = [one for one in self._requeued if one not in late]
            if self._failures >= self.spec.start_failures:
                self.queue.cancel(job.number for job in self._jobs)
                self._jobs.clear()
                return
            if self.wanted and self.most:
                self._scale()
            while self._at_work() < self.wanted and self._count < self._limit:
                self._submit()
            if self.wanted and not self._jobs:
                replaced = self.spec.replacements
                self.failure_reason = f"all of its jobs are gone, and {replaced} were replaced already"

    def _at_work(self) -> int:
        return sum(not job.scaled_down for job in self._jobs)

    def _scale(self) -> None:
        """Double the jobs while all of them came to work and more would have some; let idle ones go."""
        need = min(self.most, max(self._least, -(-self.left // self.width)))
        came = sum(job.joined and not job.scaled_down for job in self._jobs)
        if need > self.wanted and came >= self.wanted:
            self.wanted = min(need, 2 * self.wanted)
            log.info("pool %s: there is work for more: %d jobs from now on", self.prefix, self.wanted)
        elif need < self.wanted:
            here = [m.name for m in self._jobs if m.joined and not (m.drained or m.scaled_down)]
            gone = self.workers.scale_down(here, self.wanted - need)
            for job in self._jobs:
                job.scaled_down = job.scaled_down or job.name in gone
            self.wanted -= len(gone)
            if gone:
                log.info("pool %s: nothing to do for %s", self.prefix, ", ".join(gone))

    def _check(self, job: WorkerJob, state: str | None, names: set[str], now: float) -> None:
        if job.name in self.setup_failures:
            self.queue.cancel([job.number])
            self._jobs.remove(job)
            self._start_failed(job, f"it can't be set up: {self.setup_failures[job.name]}")
            return
        queued = state is not None and state.startswith("queued")
        job.waits_for = (state or "").partition(": ")[2] if queued else ""
        if job.name in names and not job.joined:
            job.joined, self._failures = True, 0
        if state is None or state.startswith("held"):
            if state is not None:
                self.queue.cancel([job.number])
            self._jobs.remove(job)
            if job.scaled_down:
                return
            if not job.joined:
                self._start_failed(job, state)
                return
            log.warning("pool %s: job %s of %s is %s", self.prefix, job.number, job.name, state or "gone")
            self.workers.forget([job.name])
        elif state == "running":
            if job.running_since is None:
                job.running_since = now
            self._check_walltime(job, now)
        elif queued and job.running_since is not None:
            # Requeued: its walltime begins anew, and it can fail to start anew.
            job.running_since, job.drained, job.joined = None, False, False
            log.warning("pool %s: job %s of %s was requeued", self.prefix, job.number, job.name)
            # The worker of its former life has its notice to finish what it runs, and is heard out.
            self._requeued.append((now + self.spec.notice_s, self.workers.drain([job.name])))

    def _check_walltime(self, job: WorkerJob, now: float) -> None:
        """Let a worker finish what it has when the next chunk could outlive its job."""
        ends = (job.running_since or now) + self.spec.walltime_min * 60
        if not job.drained and job.joined and now + self.longest_s + 2 * self.spec.poll_s > ends:
            job.drained = True
            log.info("pool %s: %s gets no more chunks before its walltime", self.prefix, job.name)
            self.workers.drain([job.name])

    def _start_failed(self, job: WorkerJob, state: str | None) -> None:
        self._failures += 1
        tail = self.queue.log_tail(job.number) or "it wrote no log"
        log.warning(
            "pool %s: job %s ended before its worker joined (%s)", self.prefix, job.number, state or "gone"
        )
        if self._failures >= self.spec.start_failures:
            why = state or "they end by themselves"
            what = f"{self._failures} jobs in a row ended before their worker joined ({why})"
            self.failure_reason = f"{what}:\n{tail}"

    def _submit(self) -> None:
        name = "-".join(part for part in (self.prefix, self.run, str(self._count)) if part)
        self._count += 1
        job = self.queue.submit(name)
        self._jobs.append(WorkerJob(job, name))
        self.submitted(job, name)
        log.info("pool %s: submitted job %s for %s", self.prefix, job, name)

    def close(self) -> None:
        """Cancel all jobs and wait until they have left the queue, unless there is no time for that."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_HURRIED_S if self.at_once else CALL_S)
        ids, cancelled, why = [job.number for job in self._jobs], False, "they do not leave it"
        deadline = time.monotonic() + _LEAVE_S
        while ids and time.monotonic() < deadline:
            try:
                if not cancelled:
                    self.queue.cancel(ids)
                    cancelled = True
                if self.at_once or set(self.queue.states(ids).values()) <= {"ending"}:
                    return
            except ResourceError as error:
                why = str(error)
            time.sleep(0.5)
        if ids:
            jobs = ", ".join(ids)
            log.warning("pool %s: jobs %s may be in the queue still: %s", self.prefix, jobs, why)
