"""The heartbeat of a running driver: ``progress.json``, for whoever looks at the folder from elsewhere."""

from __future__ import annotations

import json
import logging
import os
import platform
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any

from e2edist.accounting.telemetry import Telemetry
from e2edist.accounting.usage import UsageLog, pool_facts, submit_command
from e2edist.errors import E2EError
from e2edist.pools import JobClock
from e2edist.records.folder import CampaignFolder
from e2edist.redaction import redact

from .heartbeat_record import HeartbeatRecord, PoolRecord

if TYPE_CHECKING:
    from e2edist.accounting.telemetry import Telemetry
    from e2edist.config.site import PoolSpec
    from e2edist.pools import Pool

log = logging.getLogger(__name__)
#: Environment variable by which a detached controller knows its record.
CONTROLLER_TOKEN = "E2EDIST_CONTROLLER"  # noqa: S105 - a name
#: Seconds between two heartbeats; where the number of workers changed, the next one comes at once.
INTERVAL_S, _LOOK_S = 2.0, 0.25


class Heartbeat:
    """Writes ``progress.json`` every two seconds, from a thread of its own: asking pools may take long."""

    def __init__(self, folder: Path, specs: Mapping[str, PoolSpec], telemetry: Telemetry) -> None:
        self._path, self._specs = CampaignFolder(folder).heartbeat, specs
        self._telemetry, self._tracker = telemetry, telemetry.tracker
        self._pools: dict[str, Pool] = {}
        self._lock, self._stop = Lock(), Event()
        self._records: dict[str, PoolRecord] = {}
        self._logged: dict[str, tuple[int, int, int, int]] = {}
        self._state = "running"
        facts = {name: pool_facts(spec) for name, spec in specs.items()}
        self._usage = UsageLog(folder, facts, submit_command(sys.orig_argv))
        self._thread = Thread(target=self._repeat, name="e2edist-heartbeat", daemon=True)
        self._origin: dict[str, Any] = {
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
        written, known = time.monotonic(), 0
        while not self._stop.wait(_LOOK_S):
            threads = self._tracker.counts.threads
            if threads != known or time.monotonic() - written >= INTERVAL_S:
                written, known = time.monotonic(), threads
                self._write(self._state, "")

    def _log_changes(self, workers: dict[str, tuple[int, int, int, int]]) -> None:
        """Log pools that have other numbers of workers than at the last heartbeat."""
        for name, now in workers.items():
            if now != self._logged.get(name, (now[0], 0, 0, 0)):
                log.info("pool %s: of %d workers %d queued, %d running, %d joined", name, *now)
        self._logged = workers

    def _write(self, state: str, error: str) -> None:
        pools = self._ask_pools()
        if self._stop.is_set() and threading.current_thread() is self._thread:
            return  # asking pools took too long: the final state is written
        workers = {name: pool.workers for name, pool in pools.items()}
        self._log_changes(workers)
        waits = {name: pool.waits_for for name, pool in pools.items() if pool.waits_for}
        self._tracker.set_pools(workers, waits)
        self._telemetry.sample()
        progress = self._tracker.snapshot()
        jobs = {name: {"running": pool.running, "joined": pool.joined} for name, pool in pools.items()}
        self._usage.record(jobs, progress.lost_s, self._job_seconds(), last=self._stop.is_set())
        now = round(time.time(), 3)
        record = HeartbeatRecord(
            **self._origin, state=state, error=error, updated=now, progress=progress, pools=pools
        )
        self._publish(json.dumps(record.facts(), indent=1))

    def _job_seconds(self) -> dict[str, tuple[float, float]]:
        """Return what the jobs took, as pools of batch jobs know it, when they are closed too."""
        with self._lock:
            known = [pool for pool in self._pools.values() if isinstance(pool, JobClock)]
        return {pool.name: pool.job_seconds() for pool in known}

    def _publish(self, text: str) -> None:
        draft = self._path.with_name(f".{self._path.name}.draft")
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

    def _ask_pools(self) -> dict[str, PoolRecord]:
        """Return what is known of each pool; at the end, what was known before they were closed."""
        if not self._stop.is_set():
            with self._lock:
                pools = dict(self._pools)
            self._records = {name: self._ask(name, pools.get(name)) for name in self._specs}
        return self._records

    def _ask(self, name: str, pool: Pool | None) -> PoolRecord:
        spec = self._specs[name]
        record = PoolRecord(spec.kind, spec.workers or 1)
        if pool is not None:
            with suppress(OSError, TimeoutError, RuntimeError):  # a scheduler that is gone can't be asked
                record = replace(record, dashboard=pool.dashboard, trouble=pool.failure_reason)
                counts = pool.counts()
                queued, running, joined = (counts[key] for key in ("queued", "running", "joined"))
                waits = str(getattr(pool, "waits_for", "")) if queued else ""  # which only batch pools have
                return replace(record, queued=queued, running=running, joined=joined, waits_for=waits)
        return record


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
