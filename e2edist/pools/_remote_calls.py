"""What runs in the scheduler (those with `dask_scheduler`) and in workers, by name."""

from __future__ import annotations

import os
import pickle
import threading
import traceback
import zlib
from typing import Any

from distributed import Worker, WorkerPlugin, get_worker

from ._dask_config import VARIABLE
from ._dask_logs import silence_dask_logs
from ._lost_tasks import find_tasks
from ._worker_events import set_up_event
from .api import Setup

#: Event of a worker that can't be set up, in place of a key.
SETUP_FAILED = "setup failed"


class SetupPlugin(WorkerPlugin):
    """Runs the setup in each worker, those that join or restart later too.

    A worker on which it fails says so, and takes no task where the pool's tasks ask for its resource.
    """

    def __init__(self, topic: str, resource: str, setup: Setup) -> None:
        # One per pool and run, as the topic is: campaigns may share a scheduler, and a plugin takes the place
        # of another of its name.
        self.name = f"e2edist-setup-{topic}"
        self._topic, self._resource = topic, resource
        # Opaque, or a worker that can't import it would not start, and be restarted for ever.
        self._setup = pickle.dumps(setup)

    async def setup(self, worker: Worker) -> None:
        """Set a worker up."""
        ours = VARIABLE in os.environ
        if ours:  # others look after their logs themselves
            silence_dask_logs()
        try:
            setup: Setup = pickle.loads(self._setup)  # noqa: S301 - our own
            setup.function(*setup.arguments)
        except Exception as error:
            if self._resource or not ours:
                traceback.print_exc()  # the end of a job's log; local workers share our terminal
            if self._resource:
                await worker.set_resources(**{self._resource: 0})
            said = pickle.dumps((str(worker.name), f"{type(error).__name__}: {error}"))
            worker.log_event(self._topic, (SETUP_FAILED, said))
            raise
        if self._resource in worker.state.total_resources:
            worker.log_event(self._topic, set_up_event(worker))


async def forget_plugin(name: str, dask_scheduler: Any = None) -> None:
    """Let no worker that joins later be set up for a run that has ended."""
    await dask_scheduler.unregister_worker_plugin(comm=None, name=name)


#: Topics of pools whose tasks are to end, in this worker process. Each run has its own: workers of an
#: attached scheduler outlive us, and a later run must not meet this.
_stopped: set[str] = set()
_task = threading.local()


def stop_tasks(topic: str) -> None:
    """Note in a worker that the tasks of a pool are to end after their current step."""
    _stopped.add(topic)


def task_is_stopped() -> bool:
    """Return whether the task that runs in this thread is to end after its current step."""
    return getattr(_task, "topic", None) in _stopped


#: Bytes of a value that goes out as an event; a receipt has a thousand, packed.
_EVENT_BYTES = 100_000


def run_and_report(topic: str, key: str, payload: bytes) -> Any:
    """Run a task; an event with its value goes out, so that nobody has to come and get it.

    Otherwise the scheduler connects to a worker for each result, and with thousands of workers it can't
    keep their connections.

    Parameters
    ----------
    payload : bytes
        The pickled function and its arguments.
    """
    function, arguments = pickle.loads(payload)  # noqa: S301 - our own
    _task.topic = topic
    value = function(*arguments)
    # Receipts of a load are much alike.
    packed = zlib.compress(pickle.dumps(value), 1)
    # The scheduler keeps events for a while: what is large is fetched after all.
    if len(packed) <= _EVENT_BYTES:
        get_worker().log_event(topic, (key, packed))
    return value


def unpack(packed: bytes) -> Any:
    """Return the value that was reported."""
    return pickle.loads(zlib.decompress(packed))  # noqa: S301 - as any result of a worker


def inspect_scheduler(
    resource: str, run: str, keys: list[str], dask_scheduler: Any = None
) -> tuple[dict[str, int], list[str], tuple[list[str], dict[str, str], str]]:
    """Return worker -> threads of a pool, its tasks whose worker is gone, and what is known of `keys`."""
    # Not those that are still being set up: a chunk would only wait there.
    workers = dask_scheduler.running
    if resource:
        threads = {worker.address: int(worker.resources.get(resource, 0)) for worker in workers}
    else:
        threads = {worker.address: worker.nthreads for worker in workers}
    waiting = [task.key for task in dask_scheduler.unrunnable if task.worker_restrictions and run in task.key]
    there = {address: count for address, count in threads.items() if count}
    return there, waiting, find_tasks(keys, dask_scheduler)


def count_workers(dask_scheduler: Any = None) -> int:
    """Return how many workers there are."""
    return len(dask_scheduler.workers)


async def stop_worker(key: str, hard: bool, dask_scheduler: Any = None) -> tuple[str, bool, list[str]]:
    """Return address, whether it has a nanny, and keys of the worker that runs `key`."""
    task = dask_scheduler.tasks.get(key)
    worker = task.processing_on if task is not None else None
    if worker is None:
        return "", False, []
    found = worker.address, worker.nanny is not None, [other.key for other in worker.processing]
    if hard:
        await dask_scheduler.remove_worker(worker.address, stimulus_id="e2edist-stop")
    return found


def kill_worker(dask_worker: Any = None) -> None:
    dask_worker.process.process.kill()


def exit_worker() -> None:
    os._exit(1)
