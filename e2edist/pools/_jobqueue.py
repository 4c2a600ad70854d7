"""dask-jobqueue's jobs, without what importing it does to Ctrl-C."""

from __future__ import annotations

import signal

# Its module `runner` answers SIGINT and SIGTERM with sys.exit() from the moment it is imported.
_BEFORE = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

from dask_jobqueue.htcondor import HTCondorJob  # noqa: E402
from dask_jobqueue.slurm import SLURMJob  # noqa: E402

for _number, _handler in _BEFORE.items():
    signal.signal(_number, _handler)

__all__ = ["HTCondorJob", "SLURMJob"]
