"""The jobs of one pool in its batch system."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ._pool_job import PoolJob
from .api import BatchSystem


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
