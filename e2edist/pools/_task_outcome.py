"""What became of a task, as its future and the event of its worker say."""

from __future__ import annotations

from collections.abc import Container
from concurrent.futures import CancelledError
from typing import Any

from distributed import Future
from distributed.scheduler import KilledWorker

from ._remote_calls import unpack
from .api import TaskOutcome

#: A receipt is small: what takes longer died with its worker.
_RESULT_S = 30


def outcome_of(
    tag: str, future: Future[Any], reported: bytes | None, draining: Container[str]
) -> TaskOutcome:
    """Return the outcome of a task that ended.

    Parameters
    ----------
    reported : bytes, optional
        Its value, where its worker reported it.
    draining : container of str
        Names of workers that were told to end: their loss is nobody's fault.
    """
    if future.status == "finished":
        if reported is not None:
            return TaskOutcome(tag, "done", unpack(reported))
        try:
            return TaskOutcome(tag, "done", future.result(timeout=_RESULT_S))
        except (CancelledError, KilledWorker, OSError, TimeoutError) as error:
            # The part is written, only its receipt died with the worker: nothing failed.
            return lost_task(tag, f"its result was lost: {error}")
    if future.status == "error":
        raised = future.exception()
        if isinstance(raised, KilledWorker) and str(raised.last_worker.name) in draining:
            return lost_task(tag, "its worker was told to end")
        return TaskOutcome(tag, "lost" if isinstance(raised, KilledWorker) else "error", error=raised)
    return lost_task(tag, f"the task was {future.status}")


def lost_task(tag: str, why: str) -> TaskOutcome:
    """Return the outcome of a task that was lost without anybody's fault."""
    return TaskOutcome(tag, "lost", error=ConnectionError(why))
