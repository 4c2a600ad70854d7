"""Jobs that are told to end, by preemption or before their walltime: what their workers do with the notice.

SIGTERM reaches the nanny, and where the batch system signals all processes of a job the worker too. The
worker takes no more chunks, gets the notice's time to finish those it has, and ends; what it could not
finish comes back to the driver, counts as no failure, and is given out again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import signal
import threading
from functools import partial
from typing import Any
from weakref import WeakSet

from distributed import NannyPlugin, Status, Worker, WorkerPlugin, get_worker

from ._remote_calls import task_is_stopped

log = logging.getLogger(__name__)

#: Workers of this process that take no more tasks.
_draining: WeakSet[Worker] = WeakSet()

#: What ``dask worker`` gives as reason when it got the signal.
_REASON = f"signal-{signal.SIGTERM.value}"
#: A worker whose time is over gets so long to close: its threads may be in the midst of a chunk.
_QUICK_S = 2.0
_POLL_S = 0.1


def topic_of(pool: str) -> str:
    """Return the topic under which workers of a pool say that they drain: each event is a name."""
    return f"e2edist-draining-{pool}"


class PreemptionPlugin(NannyPlugin):
    """Lets a nanny that got SIGTERM wait for its worker's chunks before it closes.

    Parameters
    ----------
    pool, resource : str
        Only workers that have the pool's resource are the pool's.
    notice_s : float
        Seconds from the signal until the worker ends, done or not.
    """

    def __init__(self, pool: str, resource: str, notice_s: float) -> None:
        self.name = f"e2edist-preemption-{pool}"
        self._settings = resource, topic_of(pool), notice_s

    def setup(self, nanny: Any) -> None:
        """Put the patience before the nanny's own closing."""
        if self._settings[0] in (nanny.resources or {}):
            nanny.close = partial(_close, nanny, nanny.close, self._settings)


async def _close(
    nanny: Any, close: Any, settings: tuple[str, str, float], timeout: float = 5, reason: str = "nanny-close"
) -> Any:
    if reason == _REASON and nanny.worker_address:
        # Batch systems like to say it twice; the second time would end us at once.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        timeout = _QUICK_S
        try:
            async with nanny.rpc(nanny.worker_address) as worker:
                asked = worker.run(function=pickle.dumps(_drain_worker), args=pickle.dumps(settings))
                await asyncio.wait_for(asked, settings[2] + _QUICK_S)
        except (OSError, TimeoutError) as error:
            log.warning("the worker can't be told to end: %s", error)
    return await close(timeout=timeout, reason=reason)


async def _drain_worker(resource: str, topic: str, notice_s: float, dask_worker: Any = None) -> None:
    """Take no more tasks, and return once all are done and their results fetched, or the time is over."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + notice_s
    await stop_taking_tasks(resource, dask_worker)
    dask_worker.log_event(topic, str(dask_worker.name))
    while _busy(dask_worker) and loop.time() < deadline:
        await asyncio.sleep(_POLL_S)


def _busy(worker: Any) -> bool:
    # A task that nobody wants any more keeps its thread until it ends; the driver closes, then.
    wanted = any(task.state == "executing" for task in worker.state.executing)
    return wanted or bool(worker.data)


async def stop_taking_tasks(resource: str, dask_worker: Any = None) -> None:
    """Let a worker take no more tasks; what it runs goes on, up to its next pause."""
    _draining.add(dask_worker)
    await dask_worker.set_resources(**{resource: 0})


def is_draining() -> bool:
    """Whether this task is to end: its pool is stopped, or its worker was told to end by whoever owns it."""
    if task_is_stopped():
        return True
    try:
        worker = get_worker()
    except ValueError:  # in no worker's thread
        return False
    return worker in _draining or worker.status is not Status.running


class SigtermGuardPlugin(WorkerPlugin):
    """Lets a worker outlive the SIGTERM that its nanny answers for both, but not for ever."""

    def __init__(self, pool: str, resource: str, notice_s: float) -> None:
        self.name = f"e2edist-sigterm-{pool}"
        self._resource, self._seconds = resource, notice_s + 2 * _QUICK_S

    def setup(self, worker: Any) -> None:
        """Answer SIGTERM by a clock, in the process's main thread, where Dask runs its loop."""
        ours = self._resource in worker.state.total_resources
        if ours and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._count_down)

    def _count_down(self, *_: Any) -> None:
        timer = threading.Timer(self._seconds, os._exit, (1,))
        timer.daemon = True
        timer.start()
