"""Where workers come from: one module for each batch system and each other kind of pool.

Only this package knows Dask. `e2edist.pools.api` says what a kind is made of.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from e2edist.accounting.telemetry import Telemetry

from ._containers import python_command
from ._controller import ControllerJob
from ._dask_scope import configured
from ._environment import PoolEnvironment
from ._host_limits import check_commands, check_host
from ._host_network import default_address, interface_address, interface_names
from ._image_digest import image_of
from ._kinds import (
    batch_system,
    controller_grace_s,
    is_batch,
    keys_to_blame,
    make_controller,
    open_pool,
    preview,
    starts_at,
)
from ._pool_job import PoolJob
from ._pool_start import StoppedError
from ._refusals import controller_keys, site_keys
from .api import BatchSystem, JobClock, Pool, Setup, TaskOutcome

__all__ = [
    "BatchSystem",
    "ControllerJob",
    "JobClock",
    "Pool",
    "PoolEnvironment",
    "PoolJob",
    "Setup",
    "StoppedError",
    "TaskOutcome",
    "batch_system",
    "check_commands",
    "check_host",
    "configured",
    "controller_grace_s",
    "controller_keys",
    "default_address",
    "image_of",
    "interface_address",
    "interface_names",
    "is_batch",
    "is_draining",
    "keys_to_blame",
    "make_controller",
    "open_pool",
    "preview",
    "python_command",
    "show",
    "site_keys",
    "starts_at",
]


def show(telemetry: Telemetry) -> AbstractContextManager[None]:
    """Show a campaign on dashboards and metrics of the schedulers that start in this process meanwhile."""
    from ._dashboard_page import shown  # bokeh

    return shown(telemetry)


def is_draining() -> bool:
    """Whether this task is to end after its current step: its pool is stopped, or its worker told to end."""
    from ._preemption import is_draining  # Dask

    return is_draining()
