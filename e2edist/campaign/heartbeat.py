"""The heartbeat of a running driver: ``progress.json``, for whoever looks at the folder from elsewhere."""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any

from e2edist.accounting.telemetry import Telemetry
from e2edist.accounting.usage import UsageLog, pool_facts
from e2edist.errors import E2EError
from e2edist.pools import is_batch
from e2edist.records.folder import CampaignFolder
from e2edist.redaction import redact

if TYPE_CHECKING:
    from e2edist.accounting.telemetry import Telemetry
    from e2edist.config.site import PoolSpec
    from e2edist.pools import Pool

#: Environment variable by which a detached controller knows its record.
CONTROLLER_TOKEN = "E2EDIST_CONTROLLER"  # noqa: S105 - a name
#: Seconds between two heartbeats.
INTERVAL_S = 2.0


class Heartbeat:
    """Writes ``progress.json`` every two seconds, from a thread of its own: asking pools may take long."""

    def __init__(self, folder: Path, specs: Mapping[str, PoolSpec], telemetry: Telemetry) -> None:
        self._path, self._specs = CampaignFolder(folder).heartbeat, specs
        self._telemetry, self._tracker = telemetry, telemetry.tracker
        self._pools: dict[str, Pool] = {}
        self._lock, self._stop = Lock(), Event()
        self._pool_facts: dict[str, dict[str, Any]] = {}
        self._state = "running"
        facts = {name: pool_facts(spec, jobs=is_batch(spec.kind)) for name, spec in specs.items()}
        self._usage = UsageLog(folder, facts)
        self._thread = Thread(target=self._repeat, name="e2edist-heartbeat", daemon=True)
        self._origin = {
            "host": platform.node(),
            "pid": os.getpid(),
            "controller": os.environ.get(CONTROLLER_TOKEN, ""),
            "started": round(time.time(), 3),
        }

    def add_pool(self, pool: Pool) -> None:
        """Report on a pool that is open now."""
        with self._lock:
            self._pools[pool.name] = pool

    def start(self) -> None:
        """Write now, and repeatedly from now on."""
        self._write(self._state, "")
        self._thread.start()

    def interrupt(self) -> None:
        """Write from now on that the run is stopped, even if the driver hangs while it closes its pools."""
        self._state = "stopped"

    def end(self, error: BaseException | None) -> None:
        """Write the final state: done, stopped, or failed and why."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(2 * INTERVAL_S)
        progress = self._tracker.snapshot()
        state = "done" if progress.ended >= progress.chunks else "stopped"
        if isinstance(error, KeyboardInterrupt):
            state, error = "stopped", None
        message = str(error) if isinstance(error, E2EError) else redact(repr(error))
        self._write("failed" if error else state, message if error else "")

    def _repeat(self) -> None:
        while not self._stop.wait(INTERVAL_S):
            self._write(self._state, "")

    def _write(self, state: str, error: str) -> None:
        pools = self._ask_pools()
        if self._stop.is_set() and threading.current_thread() is self._thread:
            return  # asking pools took too long: the final state is written
        self._tracker.set_pools(pools)
        self._telemetry.sample()
        progress = self._tracker.snapshot()
        self._usage.note(pools, progress.lost_s, last=self._stop.is_set())
        rates = {"events_per_s": progress.rate, "events_per_s_now": progress.rate_now}
        content = self._origin | {"state": state, "error": error, "updated": round(time.time(), 3)}
        content |= progress.facts() | rates | {"pools": pools}
        draft, text = self._path.with_name(f".{self._path.name}.draft"), json.dumps(content, indent=1)
        # Not synced, and never a reason to stop: the next one comes in two seconds.
        with suppress(OSError):
            try:
                draft.write_text(text, encoding="utf-8")
                draft.replace(self._path)
            except OSError:
                if not self._stop.is_set():
                    raise
                draft.unlink(missing_ok=True)
                self._path.write_text(text, encoding="utf-8")  # the disk is full: in the old one's space

    def _ask_pools(self) -> dict[str, dict[str, Any]]:
        """Return what is known of each pool; at the end, what was known before they were closed."""
        if not self._stop.is_set():
            with self._lock:
                pools = dict(self._pools)
            self._pool_facts = {name: self._facts(name, pools.get(name)) for name in self._specs}
        return self._pool_facts

    def _facts(self, name: str, pool: Pool | None) -> dict[str, Any]:
        spec = self._specs[name]
        facts: dict[str, Any] = {
            "kind": spec.kind,
            "wanted": spec.workers or 1,
            "dashboard": "",
            "trouble": "",
            # also where a scheduler that is gone can't be asked
            "queued": 0,
            "running": 0,
            "joined": 0,
        }
        if pool is None:
            return facts
        with suppress(OSError, TimeoutError, RuntimeError):
            facts |= {"dashboard": pool.dashboard, "trouble": pool.failure_reason} | pool.counts()
        return facts


@contextmanager
def heartbeat(beat: Heartbeat) -> Iterator[None]:
    """Write ``progress.json`` meanwhile, and how it ended at the end."""
    try:
        beat.start()
        yield
    except BaseException as error:
        _end(beat, error)
        raise
    _end(beat, None)


def _end(beat: Heartbeat, error: BaseException | None) -> None:
    try:
        beat.end(error)
    except KeyboardInterrupt:  # the final state is written all the same
        beat.end(error)
        raise
