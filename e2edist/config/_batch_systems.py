"""What the batch systems, which lie above, say of settings for them: asked by name, as plug-ins are."""

from __future__ import annotations

from functools import cache
from typing import Any

from e2edist.errors import UnknownNameError
from e2edist.plugins import find, load

from .jobs import BATCH_RUNTIMES, ContainerSpec, JobSpec


def find_batch_system(kind: str) -> Any:
    """Return the `BatchSystem` of a kind of pool, or None where its workers are no jobs.

    Raises
    ------
    UnknownNameError
        There is no such kind.
    """
    return getattr(load("pools", kind), "SYSTEM", None)


def batch_system_of(kind: str) -> Any:
    """Return what `find_batch_system` does, for the check of a file.

    Raises
    ------
    ValueError
        There is no such kind.
    """
    try:
        return find_batch_system(kind)
    except UnknownNameError as error:
        raise ValueError(f"kind: {error}") from error


def batch_systems() -> list[str]:
    """Return the kinds of pools whose workers are jobs."""
    return [kind for kind in find("pools") if find_batch_system(kind) is not None]


@cache
def takes_account(kind: str) -> bool:
    """Return whether jobs of a kind of pool, or controller, are charged to an account that is named."""
    try:
        system = find_batch_system(kind)
    except UnknownNameError:  # a controller that is a process
        return False
    return system is not None and "account" not in system.unsupported


def check_pool(kind: str, job: JobSpec, container: ContainerSpec, workers_most: int) -> None:
    """Refuse settings of a pool that mean nothing to its kind.

    Raises
    ------
    ValueError
        One of them is set, or there is no such kind.
    """
    system = batch_system_of(kind)
    if workers_most and not (system is not None and system.grows):
        raise ValueError(f'workers_most is not supported by kind "{kind}"')
    check_runtime(kind, container.runtime, system)
    if system is not None:
        check_keys(kind, "job.", job, system.unsupported)


def check_runtime(kind: str, runtime: str, system: Any) -> None:
    """Refuse a container runtime that is left to a batch system which does not know it.

    Raises
    ------
    ValueError
        The image would not be used.
    """
    if runtime in BATCH_RUNTIMES and runtime not in getattr(system, "runtimes", ()):
        raise ValueError(f'container.runtime "{runtime}" is not supported by kind "{kind}"')


def check_keys(kind: str, table: str, spec: Any, unsupported: dict[str, str]) -> None:
    """Refuse keys of a table that are set and mean nothing to a batch system.

    Raises
    ------
    ValueError
        One of them is set.
    """
    for key, why in unsupported.items():
        known = type(spec).model_fields.get(key)
        if known is not None and getattr(spec, key) != known.get_default(call_default_factory=True):
            raise ValueError(f'{table}{key} is not supported by kind "{kind}": {why}')
