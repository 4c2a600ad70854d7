"""Workers of jobs whose driver is killed before they have joined: they end soon, not an hour later."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

from distributed import Nanny, Status

_LOOK_S = 5.0


class WatchingNanny(Nanny):
    """A nanny that gives up the start of its worker when its scheduler hangs up meanwhile.

    Dask's own lets the worker try for the whole ``--death-timeout``, which must be long, as imports from a
    network disk are.
    """

    async def instantiate(self) -> Status:
        """Start the worker, while the connection to the scheduler holds."""
        start = asyncio.ensure_future(super().instantiate())
        while not start.done():
            await asyncio.wait({start}, timeout=_LOOK_S)
            if not start.done() and self._is_cut_off():
                start.cancel()
                await asyncio.wait({start})
                if self.process is not None and self.process.status is Status.starting:
                    self.process.status = Status.failed  # or Dask takes its end for a fault of ours
                await self.kill(timeout=1, reason="scheduler-is-gone")
                raise TimeoutError("its scheduler is gone")
        return start.result()

    def _is_cut_off(self) -> bool:
        """Return whether the other end of the connection that this nanny registered on is closed."""
        return any(_is_closed(comm) for comm in self.rpc.occupied[self.scheduler.addr])


def _is_closed(comm: Any) -> bool:
    if comm.stream.closed():
        return True
    # A copy of it, without encryption: only whether there is an end is looked at.
    with socket.socket(fileno=os.dup(comm.stream.socket.fileno())) as plain:
        try:
            return plain.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True
