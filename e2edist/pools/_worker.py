"""``python -m e2edist.pools._worker``: ``dask worker`` of a job, with our configuration and nobody else's.

The batch system hands on variables of whoever submits, and each node has files of its own. Besides the
options of ``dask worker`` it knows ``--dask-table``, a site's table ``[dask]`` as JSON.
"""

from __future__ import annotations

import os
import sys

from ._config import VARIABLE, configure_worker

_OPTION = "--dask-table"


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
    from distributed.cli import dask_worker

    from ._orphan import WatchingNanny

    vars(dask_worker)["Nanny"] = WatchingNanny
    dask_worker.main.main(_words, prog_name="dask worker")


_words = sys.argv[1:]
if __name__ == "__main__":
    _take_table(_words)
# Its worker's process imports this module too, before anything of Dask.
configure_worker()

if __name__ == "__main__":
    main()
