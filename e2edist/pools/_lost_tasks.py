"""Tasks that are in flight here and that scheduler or workers know nothing of: nobody will ever end them.

A submission, an assignment or the news of an end may get lost: without memory for another thread, with a
connection that breaks, in a scheduler that was started anew. So both views are compared now and then.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from threading import Thread
from typing import Any

from distributed import Client

from e2edist.errors import NO_THREAD

#: Tasks are looked for so often, once they are in flight for so long, on the scheduler and on workers.
_LOOK_S, _GRACE_S = 2.0, 5.0
#: Thousands of tasks take longer to be looked for, and to be known by a scheduler that gets them at once.
_LOOK_TASK_S, _GRACE_TASK_S = 1e-3, 5e-3
#: So many workers are asked at a time, those with the oldest tasks: a scheduler can't connect to thousands.
_ASKED = 32
_ASK_S, _ASK_GRACE_S = 10.0, 30.0
#: States in which a task will end, or its worker be missed.
_WILL_END = {"waiting", "no-worker", "queued", "processing"}
_WILL_END_THERE = {"waiting", "ready", "constrained", "executing", "long-running", "resumed"}


class TaskCheck:
    """Tells which tasks are lost: those that are missing in two looks in a row.

    Parameters
    ----------
    client : Client
        Asks the workers which of their tasks they run.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._since: dict[str, float] = {}
        self._missing: set[str] = set()
        self._lost: set[str] = set()
        self._unheld: set[str] = set()
        self._looked = self._asked = 0.0

    def begin(self, key: str) -> None:
        """Note a task that is submitted."""
        self._since[key] = time.monotonic()

    def end(self, key: str) -> None:
        """Note a task that has come back."""
        self._since.pop(key, None)

    def suspects(self) -> list[str]:
        """Return the tasks to look for now: those in flight for a while."""
        now = time.monotonic()
        if now - self._looked < _LOOK_S + _LOOK_TASK_S * len(self._since):
            return []
        self._looked = now
        grace_s = _GRACE_S + _GRACE_TASK_S * len(self._since)
        return [key for key, since in self._since.items() if now - since > grace_s]

    def update(self, missing: Iterable[str], running: Mapping[str, str]) -> None:
        """Note what was found: tasks that nobody knows, and the workers of those that run."""
        found = set(missing)
        self._lost |= self._missing & found
        self._missing = found
        now = time.monotonic()
        if now - self._asked > _ASK_S:
            self._asked = now
            old = [key for key in running if now - self._since.get(key, now) > _ASK_GRACE_S]
            by_worker: dict[str, list[str]] = {}
            for key in sorted(old, key=self._since.__getitem__):
                if running[key] in by_worker or len(by_worker) < _ASKED:
                    by_worker.setdefault(running[key], []).append(key)
            if by_worker:
                loop: Any = self._client.loop
                loop.add_callback(self._ask, by_worker)  # not waited for: one that hangs would keep us

    async def _ask(self, by_worker: dict[str, list[str]]) -> None:
        """Note the tasks that their workers don't run, though the scheduler believes it."""
        with suppress(OSError, TimeoutError):
            answers = await self._client._run(
                not_running, by_worker, workers=list(by_worker), on_error="ignore"
            )
            found = {key for keys in answers.values() for key in keys}
            self._lost, self._unheld = self._lost | (self._unheld & found), found

    def lost(self) -> set[str]:
        """Return the tasks that are lost, once."""
        found, self._lost = self._lost & self._since.keys(), set()
        return found


def find_tasks(keys: list[str], dask_scheduler: Any) -> tuple[list[str], dict[str, str], str]:
    """Return which tasks will not end as far as a scheduler knows, the workers of the others, and why.

    Why is empty where nothing is known to be wrong with the scheduler.
    """
    missing, running = [], {}
    for key in keys:
        task = dask_scheduler.tasks.get(key)
        if task is None or task.state not in _WILL_END:
            missing.append(key)
        elif task.processing_on is not None:
            running[key] = task.processing_on.address
    return missing, running, _fault() if missing else ""


def _fault() -> str:
    """Return why this process can't take tasks: it needs a thread for each submission."""
    with suppress(RuntimeError):
        Thread(target=int, daemon=True).start()
        return ""
    return NO_THREAD


def not_running(by_worker: dict[str, list[str]], dask_worker: Any = None) -> list[str]:
    """Return those of its tasks that a worker does not run, nor will."""
    tasks = dask_worker.state.tasks
    keys = by_worker.get(dask_worker.address, [])
    return [key for key in keys if key not in tasks or tasks[key].state not in _WILL_END_THERE]
