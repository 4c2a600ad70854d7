"""Floor 3: where workers come from, one module each. Only this room knows Dask.

A pool module has a function ``make(name, spec, setup) -> Pool``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from e2edist.plugins import load
from e2edist.spec.site import PoolSpec


@dataclass(frozen=True, slots=True)
class Setup:
    """A call that every worker process makes once before its first task; must be picklable."""

    function: Callable[..., None]
    arguments: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
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

    def slots(self) -> int:
        """Return how many tasks can run at this moment: the threads of all workers that are there."""

    def submit(self, tag: str, function: Callable[..., Any], *arguments: Any) -> None:
        """Start a task."""

    def stop_task(self, tag: str) -> list[str]:
        """Kill the worker that runs a task, harder when asked again; return the tags of all it ran.

        All of them come back as lost, or as ended where they were faster.
        """

    def wait(self, timeout: float) -> list[Outcome]:
        """Return what ended, after at most `timeout` seconds; may be empty."""

    def close(self) -> None:
        """Stop all workers, whatever they are doing."""


def open_pool(name: str, spec: PoolSpec, setup: Setup) -> Pool:
    """Start the workers of a pool.

    Raises
    ------
    UnknownNameError
        There is no such kind of pool.
    ResourceError
        The workers don't start.
    """
    pool: Pool = load("pools", spec.kind).make(name, spec, setup)
    return pool
