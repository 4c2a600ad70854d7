"""The processes of local workers: Dask is configured there before it is imported.

Dask starts them by `AsyncProcess`, of which pickle imports the module first.
"""

from __future__ import annotations

import os

from ._config import VARIABLE, configure_worker

# As in the processes of workers always.
if VARIABLE in os.environ:
    configure_worker()

from distributed.process import AsyncProcess


class ConfiguredProcess(AsyncProcess):
    """A process in which this module is imported before Dask."""
