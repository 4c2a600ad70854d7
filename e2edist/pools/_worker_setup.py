"""Making a pool's setup known to a scheduler, which gives it to the workers, those that join later too."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from distributed import Client

from e2edist.errors import ResourceError

from ._remote_calls import SetupPlugin

#: Pauses before a scheduler that does not answer is asked once more to set workers up.
_PAUSES_S = (0.5, 1.0, 2.0)


class WorkerSetup:
    """The setup of one pool on its scheduler.

    Parameters
    ----------
    plugin : SetupPlugin
    topic : str
        Of the pool's events.
    hear : callable
        Takes each of them.
    """

    def __init__(
        self, pool: str, client: Client, plugin: SetupPlugin, topic: str, on_event: Callable[[Any], None]
    ) -> None:
        self._pool, self._client, self.plugin = pool, client, plugin
        self._topic, self._on_event = topic, on_event
        self._line: object = None

    def begin(self, stopping: Callable[[], bool]) -> None:
        """Introduce the setup; a worker that dies in the midst of it takes the scheduler's answer along.

        Raises
        ------
        ResourceError
            There is no answer, or workers can't be set up.
        """
        for pause_s in (*_PAUSES_S, None):
            try:
                self.renew()
            except (OSError, TimeoutError) as error:
                if pause_s is None or stopping():
                    what = f"its scheduler does not answer ({error})"
                    raise ResourceError(f"pool {self._pool}", what, "Submit again.") from error
                time.sleep(pause_s)
            else:
                return

    def renew(self) -> None:
        """Introduce the setup to a scheduler that does not know it: at first, and after it was started anew.

        Raises
        ------
        ResourceError
            Workers can't be set up.
        OSError, TimeoutError
            There is no answer.
        """
        line = self._client.scheduler_comm
        if self._line is line:
            return
        try:
            self._client.subscribe_topic(self._topic, self._on_event)
            self._client.register_plugin(self.plugin)
        except (OSError, TimeoutError):
            raise
        except Exception as error:  # whatever the workers raise on importing us
            raise cant_be_set_up(self._pool, f"{type(error).__name__}: {error}") from error
        self._line = line


def cant_be_set_up(pool: str, why: str) -> ResourceError:
    """Return the error for workers on which the setup fails."""
    todo = "They need the same e2edist and the same Python as this process."
    return ResourceError(f"pool {pool}", f"its workers can't be set up ({why})", todo)
