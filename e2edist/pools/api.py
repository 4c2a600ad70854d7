"""What a kind of pool is made of: import from here to write one. It needs no Dask.

A kind is a module of this folder or of another package, found by its name. It has one of

- ``SYSTEM``, a `BatchSystem`, where its workers are batch jobs;
- ``make(name, spec, setup, environment) -> Pool`` for all others (see `PoolEnvironment`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from e2edist.config.controller import ControllerSpec

from ._batch_commands import call, log_tail, log_to
from ._certificates import certificate_files
from ._containers import check_job_path, python_command, worker_command
from ._controller import ControllerJob
from ._pool_job import PoolJob, as_clock, jobqueue_script
from ._refusals import Objection, blaming

__all__ = [
    "BatchSystem",
    "ControllerJob",
    "JobClock",
    "Objection",
    "Pool",
    "PoolJob",
    "Setup",
    "TaskOutcome",
    "as_clock",
    "call",
    "certificate_files",
    "check_job_path",
    "jobqueue_script",
    "log_tail",
    "log_to",
    "python_command",
    "worker_command",
]


@dataclass(frozen=True, slots=True)
class Setup:
    """A call that every worker process makes once before its first task; must be picklable."""

    function: Callable[..., None]
    arguments: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """What became of one task.

    Attributes
    ----------
    tag : str
        As given to `Pool.submit`.
    kind : str
        done: `value` is what the function returned. error: it raised `error`. lost: its worker died,
        or the pool dropped it, which is a ConnectionError; `error` says what is known.
    """

    tag: str
    kind: Literal["done", "error", "lost"]
    value: Any = None
    error: BaseException | None = None


class Pool(Protocol):
    """Workers of one kind. Every submitted task comes back from `wait` exactly once."""

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def dashboard(self) -> str:
        """Address of the Dask dashboard."""

    @property
    def failure_reason(self) -> str:
        """Why there will be no more workers; empty while there may be."""

    def update_demand(self, longest_s: float, left: int) -> None:
        """Note how long a chunk may take, and how many chunks are not done."""

    def counts(self) -> dict[str, int]:
        """Return how many workers are queued, running and joined, for people."""

    def slots(self) -> int:
        """Return how many tasks can run at this moment: the threads of all workers that are there."""

    def submit(self, tag: str, function: Callable[..., Any], *arguments: Any) -> None:
        """Start a task; it is on its way when `wait` is called next."""

    def stop_task(self, tag: str) -> list[str]:
        """Kill the worker that runs a task, harder when asked again; return the tags of all it ran.

        All of them come back as lost, or as ended where they were faster.
        """

    def stop_accepting(self) -> None:
        """Have the workers end each of this pool's tasks after its current step (see `is_draining`)."""

    def wait(self, timeout: float) -> list[TaskOutcome]:
        """Return what ended, after at most `timeout` seconds; may be empty."""

    def close(self) -> None:
        """Stop all workers, whatever they are doing."""


@runtime_checkable
class JobClock(Protocol):
    """A pool that knows better than its counts tell, now and then, for how long its jobs have run."""

    @property
    def name(self) -> str: ...  # noqa: D102

    def job_seconds(self) -> tuple[float, float]:
        """Return the seconds that all jobs have run so far, and those of them until their workers came.

        Once it is closed too.
        """


class BatchSystem(ABC):
    """All that is known of one batch system. It has no state: what it is asked for is in the arguments.

    Scripts are made by pure functions, so that ``--dry-run`` shows what a run submits. Job numbers are
    text, and states are queued, running, ending, or held with the reason, as "held: no such account". What a
    queued job waits for may stand behind it, where the same answer of the queue says so: "queued: Priority".
    """

    #: as people call it
    title: ClassVar[str]
    #: commands that a host has from which jobs are submitted
    commands: ClassVar[tuple[str, ...]]
    #: asks the queue something quick, which shows that it answers
    probe: ClassVar[tuple[str, ...]]
    #: judges a job given on standard input without submitting it; empty where there is no such command
    dry_run: ClassVar[tuple[str, ...]] = ()
    #: variables by which its commands find it, for controllers that run on another host
    variables: ClassVar[tuple[str, ...]] = ()
    #: container runtimes that it starts by itself, besides those of a command line
    runtimes: ClassVar[tuple[str, ...]] = ()
    #: whether pools may grow while there is work for more (workers_most)
    grows: ClassVar[bool] = True
    #: keys of the tables ``job`` and ``controller`` that mean nothing to it, and why or what to do instead
    unsupported: ClassVar[Mapping[str, str]] = {}
    #: what it says of jobs that it does not take, or never starts, and the keys that are to blame, of a pool
    #: or of its table ``job``; the first one that fits counts
    signs: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    #: keys to look at where none of these fits
    suspects: ClassVar[tuple[str, ...]] = ("queue", "account", "directives")
    #: says why a job waits; empty where there is no such command
    why_queued: ClassVar[str] = ""

    @abstractmethod
    def job_script(self, job: PoolJob, name: str) -> str:
        """Return what is submitted for the worker `name` of a pool.

        Raises
        ------
        ConfigError
            The pool's settings can't be put into a script.
        """

    @abstractmethod
    def controller_script(self, controller: ControllerJob) -> str:
        """Return what is submitted for the controller of a detached campaign, for people to read."""

    @abstractmethod
    def submit_text(self, text: str, arguments: Iterable[str] = ()) -> str:
        """Submit a script with more options of the submit command; return the job's number.

        Raises
        ------
        ResourceError
            The batch system is not there or refuses; so do all methods below that ask it.
        """

    @abstractmethod
    def states(self, ids: Iterable[str]) -> dict[str, str]:
        """Return job number -> state of those jobs that are not gone."""

    @abstractmethod
    def cancel(self, ids: Iterable[str]) -> None:
        """Remove jobs; those that are gone do no harm."""

    @abstractmethod
    def log_names(self, job: PoolJob, number: str) -> tuple[str, ...]:
        """Return the names of a job's logs in the pool's log folder, the most telling one first."""

    def stop(self, number: str) -> None:
        """Ask a controller to end in good order, within `controller_grace_s`."""
        self.cancel([number])

    def controller_probe(self, controller: ControllerJob) -> str:
        """Return what `dry_run` can judge before the campaign's folder is there."""
        return self.controller_script(controller)

    def submit_controller(self, controller: ControllerJob) -> str:
        """Submit a controller; return the job's number."""
        with blaming(self.signs):
            return self.submit_text(self.controller_script(controller))

    def controller_grace_s(self, spec: ControllerSpec) -> float:  # noqa: ARG002
        """Return the seconds that a controller is left from the signal on that ends it."""
        return inf

    def starts_at(self, job: PoolJob) -> str:  # noqa: ARG002
        """Return when a job submitted now would start, for people; empty where there is no forecast."""
        return ""

    def objection(self, job: PoolJob) -> Objection:  # noqa: ARG002
        """Return why a job would wait for ever though `dry_run` takes it, where that is known."""
        return Objection()

    def accepted(self, last_line: str) -> str:  # noqa: ARG002
        """Return what to tell people of a job that `dry_run` found good, from the last line it printed."""
        return "it would be taken"

    def refused(self, lines: Sequence[str]) -> str:
        """Return what to tell people of a job that `dry_run` refused, from the lines it printed."""
        return lines[-1]

    def submit(self, job: PoolJob, name: str) -> str:
        """Submit the job of the worker `name`; return the job's number."""
        job.logs.mkdir(parents=True, exist_ok=True)
        with blaming(self.signs, job.pool):
            return self.submit_text(self.job_script(job, name), job.spec.job.submit_args)

    def log_tail(self, job: PoolJob, number: str) -> str:
        """Return the last lines that a job wrote."""
        return log_tail(job.logs, *self.log_names(job, number))
