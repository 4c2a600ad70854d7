"""The processes of workers: Dask is configured there before it is imported, and their end makes no noise.

Dask starts them by `AsyncProcess`, of which pickle imports the module first. They import nothing else: a
script without ``if __name__ == "__main__"`` would start its campaign once more in each of them.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from multiprocessing import spawn
from typing import Any

from ._dask_config import VARIABLE, configure_worker
from ._dask_logs import OrdinaryEnd

# As in the processes of workers always.
if VARIABLE in os.environ:
    configure_worker()

from distributed.process import AsyncProcess

_thread = threading.local()
_all_data = spawn.get_preparation_data


def preparation_data(name: str) -> dict[str, Any]:
    """Return what multiprocessing tells a new process; of our workers' without the script to import."""
    data = _all_data(name)
    if getattr(_thread, "starts_worker", False):
        for key in ("init_main_from_name", "init_main_from_path"):
            data.pop(key, None)
    return data


class ConfiguredProcess(AsyncProcess):
    """A process in which this module is imported before Dask.

    What fails while its worker starts, Dask hands to whoever started it; later only its end can fail.
    """

    def _start_threads(self) -> None:
        # One of them starts the process, which takes over what it blocks: whoever started it answers Ctrl-C.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            super()._start_threads()  # type: ignore[no-untyped-call]
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    @classmethod
    def _watch_message_queue(cls, *arguments: Any) -> None:
        _thread.starts_worker = True  # this thread starts the process, and no other
        super()._watch_message_queue(*arguments)

    @classmethod
    def _run(cls, *arguments: Any) -> None:
        OrdinaryEnd(begun=True).watch()
        try:
            super()._run(*arguments)  # type: ignore[no-untyped-call]
        except Exception:
            sys.exit(1)
