"""Workers of a scheduler that is there already: a facility's, or one started by hand.

The scheduler decides nothing here: chunks are given out by our window. So that the loss of a worker is
reported to us rather than retried there, start it with
``DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES=0``, workers with a nanny. The workers need e2edist and
an engine installed, and must see inputs and output under the same paths.
"""

from __future__ import annotations

from pathlib import Path

from e2edist.config.scheduler_address import is_encrypted
from e2edist.config.site import PoolSpec
from e2edist.errors import ConfigError, ResourceError

from ._certificates import read_certificates
from ._dask_scope import checked_config
from ._environment import PoolEnvironment
from .api import Pool, Setup

_CONNECT_S = 30


def make(name: str, spec: PoolSpec, setup: Setup, environment: PoolEnvironment) -> Pool:
    """Connect to the scheduler at ``spec.scheduler`` (see `e2edist.pools.api`).

    Raises
    ------
    ConfigError
        No address, or a tls address without certificates.
    ResourceError
        No scheduler answers there, or it refuses us.
    """
    from distributed import Client

    from ._dask_pool import DaskPool

    if not spec.scheduler:
        raise ConfigError(f"pool {name}", "scheduler is missing", 'Write scheduler = "tls://host:port".')
    secure = is_encrypted(spec.scheduler)
    if secure and not spec.tls_folder:
        todo = "Name the folder with ca.pem, key.pem, cert.pem, here or with --tls-folder."
        raise ConfigError(f"pool {name}", "tls_folder is missing", todo)
    security = read_certificates(Path(spec.tls_folder)) if secure else None
    try:
        with checked_config():
            client = Client(spec.scheduler, timeout=_CONNECT_S, security=security, set_as_default=False)
    except (OSError, TimeoutError) as error:
        todo = "Check the address, and --tls-folder (tls_folder) if it is a tls scheduler."
        raise ResourceError(
            f"pool {name}", f"no scheduler answers at {spec.scheduler} ({error})", todo
        ) from error
    return DaskPool(name, client, setup, stopping=lambda: environment.giving_up)
