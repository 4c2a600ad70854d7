"""dask-jobqueue's jobs, without what importing it does to Ctrl-C. Import it in the main thread."""

from __future__ import annotations

import signal

# Its module `runner` answers SIGINT and SIGTERM with sys.exit() from the moment it is imported.
_BEFORE = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

from dask_jobqueue.htcondor import HTCondorJob  # noqa: E402
from dask_jobqueue.lsf import LSFJob  # noqa: E402
from dask_jobqueue.oar import OARJob  # noqa: E402
from dask_jobqueue.pbs import PBSJob  # noqa: E402
from dask_jobqueue.sge import SGEJob  # noqa: E402
from dask_jobqueue.slurm import SLURMJob  # noqa: E402

for _number, _handler in _BEFORE.items():
    signal.signal(_number, _handler)

#: By name, for batch systems that must not import Dask to ask their queue.
JOB_CLASSES = {job.__name__: job for job in (HTCondorJob, LSFJob, OARJob, PBSJob, SGEJob, SLURMJob)}
