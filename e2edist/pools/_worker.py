"""``python -m e2edist.pools._worker``: ``dask worker`` of a job, with our configuration and nobody else's.

The batch system hands on variables of whoever submits, and each node has files of its own. Besides the
options of ``dask worker`` it knows ``--dask-table``, a site's table ``[dask]`` as JSON.
"""

from __future__ import annotations

import os
import signal
import sys

from ._dask_config import VARIABLE, configure_worker
from ._dask_logs import OrdinaryEnd

_OPTION = "--dask-table"
_NOBODY = (
    "no worker: its scheduler is gone (the campaign has ended) or can't be reached (job.interface), "
    "or it starts too slowly (job.death_timeout_s)\n"
)


def _take_table(words: list[str]) -> None:
    """Move the table from the command line to where the processes of workers find it."""
    if _OPTION in words:
        at = words.index(_OPTION)
        os.environ[VARIABLE] = words[at + 1]
        del words[at : at + 2]
    else:
        os.environ.pop(VARIABLE, None)


def main() -> None:
    """Run a worker until it is told to end."""
    from distributed import nanny
    from distributed.cli import dask_worker

    from ._orphaned_workers import WatchingNanny
    from ._worker_process import ConfiguredProcess

    vars(dask_worker)["Nanny"] = WatchingNanny
    nanny.AsyncProcess = ConfiguredProcess  # type: ignore[attr-defined]
    end = OrdinaryEnd()
    end.watch()
    try:
        dask_worker.main.main(_words, prog_name="dask worker")
    except (Exception, SystemExit) as error:
        in_vain = _in_vain(error)
        if in_vain and not end.signalled:
            sys.stderr.write(_NOBODY)
        if isinstance(error, SystemExit) or not (in_vain or end.signalled):
            raise
        sys.exit(1)


def _in_vain(error: BaseException) -> bool:
    """Whether a worker did not start because nobody answered in time."""
    from distributed.comm.core import CommClosedError

    # Dask's own round it: an exit code, "Nanny failed to start.", an assertion about the worker's status.
    while isinstance(error, SystemExit | RuntimeError | AssertionError):
        inner = error.__cause__ or error.__context__
        if inner is None:
            return False
        error = inner
    return isinstance(error, CommClosedError | TimeoutError)


_words = sys.argv[1:]
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until Dask answers it: no trace of imports
    _take_table(_words)
# The worker's own process imports this module too, before anything of Dask.
configure_worker()

if __name__ == "__main__":
    main()
