"""The one Dask scheduler of a campaign, which the pools of batch jobs share."""

from __future__ import annotations

import socket
import warnings
from pathlib import Path
from typing import Any

from distributed import Client, LocalCluster
from distributed.utils import get_ip, get_ip_interface

from e2edist.config.jobs import JobSpec
from e2edist.errors import ResourceError

from ._certificates import make_certificates
from ._dask_scope import checked_config
from ._host_network import free_port
from ._signals import signals_blocked

_LOOPBACK = "127.0.0.1"
_DASHBOARD_PORT = 8787


def dashboard_address() -> str:
    """Return the dashboard's usual address on loopback, or one with a free port where that is taken."""
    with socket.socket() as probe:
        try:
            probe.bind((_LOOPBACK, _DASHBOARD_PORT))
        except OSError:
            return f"{_LOOPBACK}:0"
    return f"{_LOOPBACK}:{_DASHBOARD_PORT}"


class SharedScheduler:
    """A scheduler without workers, reached over TLS by whoever has the campaign's certificates.

    Parameters
    ----------
    folder : Path
        Of the certificates; all nodes must see it.
    job : JobSpec
        Says on which network interface and ports.

    Raises
    ------
    ResourceError
        It does not start, or there is no such interface, or no free port.
    """

    def __init__(self, folder: Path, job: JobSpec) -> None:
        interface = job.scheduler_interface or job.interface
        try:
            host = get_ip_interface(interface) if interface else get_ip()
            self.security: Any = make_certificates(folder)
            with checked_config(), signals_blocked(), warnings.catch_warnings():
                # Another campaign may take the dashboard's port meanwhile: any other one will do.
                warnings.filterwarnings("ignore", message="Port .* is already in use")
                self._cluster = LocalCluster(
                    n_workers=0,
                    host=host,
                    scheduler_port=free_port(host, job.scheduler_ports),
                    protocol="tls://",
                    security=self.security,
                    dashboard_address=dashboard_address(),
                )
        except (OSError, ValueError, RuntimeError) as error:
            raise ResourceError(
                "scheduler", f"does not start: {error}", "Set job.interface or job.scheduler_ports."
            ) from error

    @property
    def address(self) -> str:
        """tls://host:port."""
        return str(self._cluster.scheduler_address)

    @property
    def dashboard(self) -> str:
        """Address of the dashboard: on loopback, whoever wants it from elsewhere takes a tunnel."""
        return f"http://{_LOOPBACK}:{self._cluster.scheduler_info['services']['dashboard']}/status"

    def connect(self) -> Client:
        """Return a client of its own for a pool."""
        return Client(self._cluster, set_as_default=False)

    def close(self) -> None:
        """Stop the scheduler."""
        self._cluster.close(timeout=10)
