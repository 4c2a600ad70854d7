"""Tasks on a Dask cluster with a window of our own, and the settings that such campaigns need."""

from __future__ import annotations

import logging
import pickle
import queue
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import Any, NamedTuple

from dask.base import annotate
from distributed import Client, Future

from e2edist.errors import MORE_THREADS, ResourceError

from ._lost_tasks import TaskCheck
from ._remote_calls import (
    SETUP_FAILED,
    SetupPlugin,
    count_workers,
    exit_worker,
    forget_plugin,
    inspect_scheduler,
    kill_worker,
    run_and_report,
    stop_tasks,
    stop_worker,
    unpack,
)
from ._scheduler_calls import ask, dashboard_of, never, tell_workers
from ._task_outcome import lost_task, outcome_of
from ._worker_setup import WorkerSetup, cant_be_set_up
from ._worker_slots import WorkerSlots
from .api import Setup, TaskOutcome

log = logging.getLogger(__name__)

#: Closing waits so long for an answer; workers that hang are killed.
_CLOSE_S = 5
#: Tasks that are lost so often while none is done stop the campaign, sooner where the reason is known.
_LOST, _LOST_FOR_A_REASON = 10, 2
#: Threads are counted so often, in seconds.
_REFRESH_S = 0.5
#: After the first result others may come along so long, per thread and at most: the next go out together.
_GATHER_S, _GATHER_MOST_S = 50e-6, 0.05


class _Task(NamedTuple):
    """A task that is to be submitted; `worker` is the address where it is to run, empty for any."""

    tag: str
    key: str
    payload: bytes
    worker: str


class DaskPool:
    """The workers of a Dask client, as a pool (see `Pool`).

    Parameters
    ----------
    name : str
        Of the pool.
    client : Client
        Connected; the pool closes it.
    setup : Setup
        Runs in each worker, those that join or restart later too.
    close : callable, optional
        Called before the client is closed, to stop what the pool started.
    resource : str
        Dask resource of its workers, where other pools share the scheduler: one per thread.
    stopping : callable, optional
        Whether the campaign is to stop, so that answers are not waited for any more.
    """

    def __init__(
        self,
        name: str,
        client: Client,
        setup: Setup,
        close: Callable[[], object] | None = None,
        resource: str = "",
        stopping: Callable[[], bool] = never,
    ) -> None:
        self.name, self._stopping, self._resource = name, stopping, resource
        self._client, self._close = client, close
        self._ended: queue.SimpleQueue[tuple[str, Future[Any]]] = queue.SimpleQueue()
        self._running, self._outbox = dict[str, Future[Any]](), list[_Task]()
        self._stopped, self._link = set[str](), ""
        #: names of workers that were told to end: their loss is nobody's fault
        self.draining: set[str] = set()
        # Keys are of this run alone: campaigns that share a scheduler may have chunks of the same name.
        self._run, self._count = secrets.token_hex(4), 0
        self._topic, self._reported = f"e2edist-{name}-{self._run}", dict[str, bytes]()
        self._worker_slots, self._refreshed, self._setup_error = WorkerSlots(), -inf, ""
        self._check, self._lost_outcomes = TaskCheck(client), list[TaskOutcome]()
        #: how often tasks were lost since one was done, and why, where that is known
        self._lost, self._fault = 0, ""
        plugin = SetupPlugin(self._topic, resource, setup)
        self._worker_setup = WorkerSetup(name, client, plugin, self._topic, self._on_event)
        self._worker_setup.begin(stopping)

    @property
    def failure_reason(self) -> str:
        """Why there will be no more workers; empty while there may be."""
        return ""

    def update_demand(self, longest_s: float, left: int) -> None:
        """Note how long a chunk may take and how many are left: nothing to do for workers that stay."""

    @property
    def dashboard(self) -> str:
        """Address of the Dask dashboard."""
        if not self._link:  # asked once: a scheduler that hangs does not answer
            self._link = dashboard_of(self._client)
        return self._link

    @property
    def scheduler(self) -> str:
        """Address of the Dask scheduler, for others who want to attach."""
        return str(self._client.scheduler_info()["address"])

    def counts(self) -> dict[str, int]:
        """Return how many workers are queued, running and joined: those of this kind are there or not."""
        there = 0
        with suppress(OSError, TimeoutError):
            there = self._ask(count_workers) if self._client.status == "running" else 0
        return {"queued": 0, "running": there, "joined": there}

    def slots(self) -> int:
        """Return the threads of all workers; none while the scheduler can't be reached.

        Asked twice a second and when a task was lost, less often where asking thousands takes its time.

        Raises
        ------
        ResourceError
            A worker can't be set up, and nobody else can replace it; or the scheduler takes no tasks.
        """
        if self._client.status != "running":
            return 0
        if self._setup_error:
            raise cant_be_set_up(self.name, self._setup_error)
        if self._lost >= (_LOST_FOR_A_REASON if self._fault else _LOST):
            what = f"its scheduler loses the tasks that it gets ({self._fault or 'they are unknown there'})"
            raise ResourceError(f"pool {self.name}", what, MORE_THREADS)
        if time.monotonic() - self._refreshed > _REFRESH_S + 1e-3 * self._worker_slots.threads:
            self._refresh()
            self._refreshed = time.monotonic()
        return self._worker_slots.threads

    def _ask(self, function: Callable[..., Any], **named: Any) -> Any:
        """Return what a function returns that runs on the scheduler (see `ask`)."""
        return ask(self._client, function, self._stopping, **named)

    def _refresh(self) -> None:
        try:
            self._worker_setup.renew()
            keys = self._check.suspects()
            found = self._ask(inspect_scheduler, resource=self._resource, run=self._run, keys=keys)
        except (OSError, TimeoutError) as error:
            log.warning("pool %s: its scheduler does not answer: %s", self.name, error)
            self._worker_slots.update({})
            return
        threads, unrunnable, (missing, running, fault) = found
        self._worker_slots.update(threads)
        self._cancel(unrunnable)
        if keys:
            self._check.update(missing, running)
            self._fault = fault
        self._find_lost()

    def _cancel(self, keys: list[str]) -> None:
        """Let tasks come back as lost: somebody else may have room when their workers are gone."""
        for future in [future for future in self._running.copy().values() if future.key in keys]:
            future.cancel()

    def _find_lost(self) -> None:
        """Hand back the tasks that nobody will ever end."""
        lost = self._check.lost()
        what = "the scheduler does not know this task" + (f" ({self._fault})" if self._fault else "")
        # One that has ended after all comes back by itself.
        running = self._running.items()
        found = [(tag, one) for tag, one in running if one.status == "pending" and one.key in lost]
        self._lost += bool(found)
        for tag, future in found:
            self._forget(tag, future)
            reported = self._reported.pop(str(future.key), None)
            log.warning("pool %s: %s: %s", self.name, tag, what)
            if reported is None:
                self._lost_outcomes.append(lost_task(tag, what))
            else:  # it was done, only the message of its end was lost
                self._lost_outcomes.append(TaskOutcome(tag, "done", unpack(reported)))
            future.release()

    def _forget(self, tag: str, future: Future[Any]) -> None:
        del self._running[tag]
        self._worker_slots.release(tag)
        self._check.end(str(future.key))

    def submit(self, tag: str, function: Callable[..., Any], *arguments: Any) -> None:
        """Start a task; its key is new for each attempt, so that an old result never answers for it."""
        self._count += 1
        # Workers of a pool that has the scheduler to itself are as well chosen there.
        worker = self._worker_slots.acquire(tag) if self._resource else ""
        payload = pickle.dumps((function, arguments))  # opaque: nobody has to look through it on its way
        self._outbox.append(_Task(tag, f"{tag}-{self._run}-{self._count}", payload, worker))
        self._stopped.discard(tag)

    def _send(self) -> None:
        """Submit what was given lately, all of it at once: each submission costs the scheduler a thread."""
        placed = [task for task in self._outbox if task.worker]
        others = [task for task in self._outbox if not task.worker]
        if placed:
            self._start(placed, {"workers": {task.key: [task.worker] for task in placed}.get})
        if others:
            self._start(others, {"resources": {self._resource: 1}} if self._resource else {})
        self._outbox.clear()

    def _start(self, tasks: list[_Task], where: dict[str, Any]) -> None:
        tags, keys, payloads, _ = zip(*tasks, strict=True)
        with annotate(**where):
            words = [self._topic] * len(keys), keys, payloads
            futures = self._client.map(run_and_report, *words, key=list(keys), pure=False)
        for tag, future in zip(tags, futures, strict=True):
            self._running[tag] = future
            self._check.begin(str(future.key))
            future.add_done_callback(lambda ended, tag=tag: self._ended.put((tag, ended)))

    def _on_event(self, event: tuple[float, tuple[str, bytes]]) -> None:
        key, value = event[1]
        if key == SETUP_FAILED:
            self._on_setup_failed(*pickle.loads(value))  # noqa: S301 - as any result of a worker
        else:
            self._reported[key] = value

    def _on_setup_failed(self, worker: str, why: str) -> None:
        """Note a worker that can't be set up; called by the client's own thread."""
        log.warning("pool %s: worker %s can't be set up: %s", self.name, worker, why)
        self._setup_error = why

    def stop_task(self, tag: str) -> list[str]:
        """Kill the worker that runs a task: a thread can't be stopped in any other way.

        The first time by its nanny; where that does not help, the scheduler lets go of it.
        """
        future = self._running.get(tag)
        if future is None:
            return []
        again = tag in self._stopped
        self._stopped.add(tag)
        try:
            address, nanny, keys = self._ask(stop_worker, key=future.key, hard=again)
        except (OSError, TimeoutError) as error:
            log.warning("pool %s: the worker of %s can't be stopped: %s", self.name, tag, error)
            return []
        if address and not again:
            tell_workers(self._client, kill_worker if nanny else exit_worker, workers=[address], nanny=nanny)
        return [name for name, other in self._running.items() if other.key in keys]

    def stop_accepting(self) -> None:
        """Have the workers end each of this pool's tasks after its current step."""
        tell_workers(self._client, stop_tasks, self._topic)

    def wait(self, timeout: float) -> list[TaskOutcome]:
        """Return what ended, waiting at most `timeout` seconds for the first."""
        self._send()
        outcomes, self._lost_outcomes = self._lost_outcomes, []
        deadline = time.monotonic() + timeout
        while True:
            try:
                left_s = 0.0 if outcomes else max(0.0, deadline - time.monotonic())
                tag, future = self._ended.get(timeout=left_s)
            except queue.Empty:
                return outcomes
            if self._running.get(tag) is future:
                self._forget(tag, future)
                reported = self._reported.pop(str(future.key), None)
                outcomes.append(outcome_of(tag, future, reported, self.draining))
                if outcomes[-1].kind == "lost":
                    self._refreshed = -inf
                elif outcomes[-1].kind == "done":
                    self._lost = 0
                if len(outcomes) == 1:
                    time.sleep(min(_GATHER_MOST_S, _GATHER_S * self._worker_slots.threads))

    def close(self) -> None:
        """Let go of all tasks and stop what the pool started."""
        with suppress(OSError, TimeoutError):
            if self._close is None and self._client.status == "running":  # the scheduler outlives us
                ask(self._client, forget_plugin, lambda: True, name=self._worker_setup.plugin.name)
        with suppress(OSError, TimeoutError):
            self._client.close(timeout=_CLOSE_S)
        if self._close is not None:
            with suppress(OSError, TimeoutError):
                self._close()
