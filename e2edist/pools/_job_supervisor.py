"""Keeping up the number of batch jobs: whoever is lost is replaced, whoever can't start stops the pool."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event, Lock, Thread

from e2edist.config.jobs import JobSpec
from e2edist.errors import ResourceError

from ._batch_commands import CALL_S
from ._pool_queue import PoolQueue
from ._worker_job import WorkerControl, WorkerEvent, WorkerJob, job_of

log = logging.getLogger(__name__)

#: Cancelled jobs get so long to leave the queue; where there is no time, so long to end what is under way.
_LEAVE_S, _HURRIED_S = 30, 2


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
    _events: deque[WorkerEvent] = field(default_factory=deque)
    #: seconds of jobs that are gone: running, and of these without a worker at first
    _spent: tuple[float, float] = (0.0, 0.0)
    _closed_at: float | None = None
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
            self._hear()
            running = sum(job.running_since is not None for job in self._jobs)
            joined = sum(job.has_workers for job in self._jobs)
            return {"queued": len(self._jobs) - running, "running": running, "joined": joined}

    def job_seconds(self) -> tuple[float, float]:
        """Return the seconds that all jobs have run so far, and those of them until their workers came."""
        with self._lock:
            self._hear()
            ended = self._closed_at is not None
            now = time.monotonic() if self._closed_at is None else self._closed_at
            each = [self._spent, *(job.seconds(now, ended=ended) for job in self._jobs)]
            return sum(running for running, _ in each), sum(starting for _, starting in each)

    def hear(self, worker: str, age_s: float | None) -> None:
        """Take that a worker is set up, in a job that has run so long, or that it has left (None).

        Called by the client's own thread, which nothing may hold up.
        """
        self._events.append(WorkerEvent(time.monotonic(), worker, age_s))

    def _hear(self) -> None:
        """Take what happened to workers meanwhile: some come and go between two looks at the queue."""
        if not self._events:
            return
        jobs = {job.name: job for job in self._jobs}
        while self._events:
            event = self._events.popleft()
            job = jobs.get(job_of(event.worker))
            if job is not None:
                job.hear(event)
                self._failures = 0 if job.joined else self._failures

    @property
    def waits_for(self) -> str:
        """What the batch system says that queued jobs wait for, of the first that it says it of."""
        with self._lock:
            waiting = (job.waits_for for job in self._jobs if job.running_since is None)
            return next(filter(None, waiting), "")

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
        # Whoever wants to count need not wait for their answers: only this thread changes the jobs.
        states = self.queue.states(job.number for job in self._jobs)
        names, now = self.workers.joined(), time.monotonic()
        with self._lock:
            self._hear()
            for job in list(self._jobs):
                self._check(job, states.get(job.number), names, now)
            for _, workers in (late := [one for one in self._requeued if one[0] < now]):
                self.workers.forget(workers)
            self._requeued = [one for one in self._requeued if one not in late]
            if self._failures >= self.spec.start_failures:
                self.queue.cancel(job.number for job in self._jobs)
                for job in list(self._jobs):
                    self._remove(job, now)
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
            self._remove(job, now)
            self._start_failed(job, f"it can't be set up: {self.setup_failures[job.name]}")
            return
        queued = state is not None and state.startswith("queued")
        job.waits_for = (state or "").partition(": ")[2] if queued else ""
        if job.name in names and not job.joined:
            job.see_worker(now, self.spec.poll_s)
            self._failures = 0
        if state is None or state.startswith("held"):
            if state is not None:
                self.queue.cancel([job.number])
            self._remove(job, now)
            if job.scaled_down:
                return
            if not job.joined:
                self._start_failed(job, state)
                return
            log.warning("pool %s: job %s of %s is %s", self.prefix, job.number, job.name, state or "gone")
            self.workers.forget([job.name])
        elif state == "running":
            job.see_running(now, self.spec.poll_s)
            self._check_walltime(job, now)
        elif queued and job.running_since is None:
            job.waited_until = now
        elif queued and (job.seen_running or not job.has_workers):
            # Else the queue says late what its worker said already.
            job.requeue(now)
            log.warning("pool %s: job %s of %s was requeued", self.prefix, job.number, job.name)
            # The worker of its former life has its notice to finish what it runs, and is heard out.
            self._requeued.append((now + self.spec.notice_s, self.workers.drain([job.name])))

    def _remove(self, job: WorkerJob, now: float) -> None:
        self._jobs.remove(job)
        running, starting = job.seconds(now, ended=True)
        self._spent = self._spent[0] + running, self._spent[1] + starting

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
            if keys := self.queue.keys_to_change(why):
                what = f"its jobs can never start ({why.removeprefix('held: ')})"
                self.failure_reason = f"{what}; change {' or '.join(keys)}"

    def _submit(self) -> None:
        name = "-".join(part for part in (self.prefix, self.run, str(self._count)) if part)
        self._count += 1
        job = self.queue.submit(name)
        self._jobs.append(WorkerJob(job, name, time.monotonic()))
        self.submitted(job, name)
        log.info("pool %s: submitted job %s for %s", self.prefix, job, name)

    def close(self) -> None:
        """Cancel all jobs and wait until they have left the queue, unless there is no time for that."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_HURRIED_S if self.at_once else CALL_S)
        try:
            self._cancel_all()
        finally:
            self._closed_at = time.monotonic()

    def _cancel_all(self) -> None:
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
