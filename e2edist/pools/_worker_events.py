"""Workers say themselves that they are there, and their scheduler that they have left: nobody has to ask."""

from __future__ import annotations

import os
import pickle
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from distributed import SchedulerPlugin

#: Events on a pool's topic, in place of a task's key: a worker is set up, or has left.
SET_UP, LEFT = "worker set up", "worker left"
#: Where SLURM and HTCondor say at how many seconds since 1970 a job started: its files and its container may
#: come before its processes.
_SLURM, _HTCONDOR = "SLURM_JOB_START_TIME", "_CONDOR_JOB_AD"


def set_up_event(worker: Any) -> tuple[str, bytes]:
    """Return what a worker says once it is set up: its name, and for how many seconds its job has run."""
    return SET_UP, pickle.dumps((str(worker.name), _job_age_s()))


def _job_age_s() -> float:
    """Return the seconds since a worker's nanny was started, or the job if that is known."""
    now = time.time()
    starts = [now]
    with suppress(psutil.Error, OSError):
        starts.append(psutil.Process(os.getppid()).create_time())
    with suppress(KeyError, ValueError):
        starts.append(float(os.environ[_SLURM]))
    with suppress(KeyError, OSError):
        ad = Path(os.environ[_HTCONDOR]).read_text(encoding="utf-8", errors="replace")
        starts += map(float, re.findall(r"^JobCurrentStartDate = (\d+)$", ad, re.MULTILINE))
    return max(0.0, now - min(starts))


class LeavingPlugin(SchedulerPlugin):
    """Says which workers of a pool have left.

    Parameters
    ----------
    topic, resource : str
        Of the pool.
    """

    def __init__(self, topic: str, resource: str) -> None:
        self.name = f"e2edist-leaving-{topic}"
        self._topic, self._resource = topic, resource
        self._names: dict[str, str] = {}

    def add_worker(self, scheduler: Any, worker: str) -> None:
        """Note the name of a worker, which the scheduler forgets before it says that it left."""
        known = scheduler.workers.get(worker)
        if known is not None and self._resource in known.resources:
            self._names[worker] = str(known.name)

    def remove_worker(self, scheduler: Any, worker: str, **_: Any) -> None:
        """Say that a worker has left."""
        name = self._names.pop(worker, None)
        if name is not None:
            scheduler.log_event(self._topic, (LEFT, pickle.dumps((name, None))))
