"""The jobs of one pool in its batch system."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ._pool_job import PoolJob
from ._refusals import find_keys, site_keys
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

    def keys_to_change(self, state: str) -> tuple[str, ...]:
        """Return the keys of the site for which a job in this state never starts, if that is known."""
        return site_keys(self.job.pool, find_keys(self.system.signs, state))
