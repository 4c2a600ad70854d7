"""Asking a scheduler or its workers, without being held up by those that don't answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from distributed import Client

#: A scheduler that is busy gets so long to answer, and less where the campaign stops.
_ANSWER_S, _STOPPING_S = 60.0, 5.0
_POLL_S = 0.1


def never() -> bool:
    """Return that nothing stops."""
    return False


def ask(client: Client, function: Callable[..., Any], stopping: Callable[[], bool], **named: Any) -> Any:
    """Return what a function returns that runs on the scheduler.

    Parameters
    ----------
    stopping : callable
        Whether the campaign is to stop.

    Raises
    ------
    OSError, TimeoutError
        There is no connection, or no answer.
    """
    loop: Any = client.loop
    answer = asyncio.run_coroutine_threadsafe(client._run_on_scheduler(function, **named), loop.asyncio_loop)
    began, stopped = time.monotonic(), None
    while True:
        try:
            return answer.result(_POLL_S)
        except TimeoutError:
            if answer.done():
                raise
        now = time.monotonic()
        stopped = stopped or (now if stopping() else None)
        if now - began > _ANSWER_S or (stopped and now - stopped > _STOPPING_S):
            answer.cancel()
            raise TimeoutError("no answer")


def tell_workers(client: Client, function: Callable[..., Any], *arguments: Any, **how: Any) -> None:
    """Run a function on workers and don't wait for it: one that hangs would keep us."""

    async def run() -> None:
        with suppress(OSError, TimeoutError):
            await client._run(function, *arguments, on_error="ignore", **how)

    loop: Any = client.loop
    loop.add_callback(run)


def dashboard_of(client: Client) -> str:
    """Return the address of a scheduler's dashboard."""
    try:
        return str(client.dashboard_link)
    except (KeyError, IndexError, ValueError):  # it names a variable that is not set here
        facts = client.scheduler_info()
        return f"http://{urlsplit(facts['address']).hostname}:{facts['services']['dashboard']}/status"
