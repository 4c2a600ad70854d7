"""Batch jobs of workers that were submitted for a campaign, so that others can find and cancel them.

One JSON object a line, appended at each submission.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ._codec import from_json, to_json
from .folder import CampaignFolder

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SubmittedJob:
    """A job that was submitted.

    Attributes
    ----------
    kind, pool : str
        Of its batch system, as slurm; name of the pool.
    id : str
        As the batch system calls it.
    name : str
        Of its worker.
    submitted : float
        Seconds since 1970.
    """

    kind: str
    pool: str
    id: str
    name: str
    submitted: float = field(default_factory=time.time)


def record_job(folder: Path, job: SubmittedJob) -> None:
    """Append a job; what can't be written is logged, for the job is in the queue already."""
    try:
        with CampaignFolder(folder).submitted_jobs.open("ab") as stream:
            stream.write(to_json(job) + b"\n")
    except OSError as error:
        log.warning("pool %s: cancel will not know of job %s: %s", job.pool, job.id, error)


def read_jobs(folder: Path) -> Iterator[SubmittedJob]:
    """Yield the jobs of all runs of a campaign, in order; none where there were none.

    Raises
    ------
    OSError
        The file is there and can't be read.
    """
    try:
        stream = CampaignFolder(folder).submitted_jobs.open("rb")
    except FileNotFoundError:
        return
    with stream:
        for line in stream:
            try:
                yield from_json(SubmittedJob, line)
            except ValueError:  # cut by a full disk
                continue
