"""What a running driver tells of itself: ``progress.json``, for whoever looks at the folder from afar."""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
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
    from e2edist.accounting.progress import Progress
    from e2edist.config.site import PoolSpec
    from e2edist.pools import Pool

    Watch = Callable[[Progress], None]
    Ready = Callable[[Pool], None]

#: Environment variable by which a detached controller knows its record.
TOKEN = "E2EDIST_CONTROLLER"  # noqa: S105 - a name
BEAT_S = 2.0
#: A rate means nothing before.
_FIRST_S = 0.05
#: "Now" is so many seconds.
_NOW_S = 60.0


@dataclass(slots=True)
class RateMeter:
    """Events per second: since the first worker, and lately. Earlier runs do not count."""

    seen: deque[tuple[float, int]] = field(default_factory=deque)
    first: tuple[float, int] | None = None

    def note(self, progress: Progress) -> None:
        """Take in how far the run is now."""
        now = time.monotonic()
        if self.first is None and progress.workers:
            self.first = (now, progress.events_done)
        self.seen.append((now, progress.events_done))
        while len(self.seen) > 1 and now - self.seen[0][0] > _NOW_S:
            self.seen.popleft()

    def facts(self, progress: Progress) -> dict[str, Any]:
        """Return events per second, and seconds to go."""
        mean = self._since(self.first, progress)
        lately = self._since(self.seen[0] if self.seen else None, progress)
        left = progress.events - progress.events_done
        eta = round(left / mean) if mean else None
        return {"events_per_s": mean, "events_per_s_now": lately, "eta_s": eta}

    @staticmethod
    def _since(start: tuple[float, int] | None, progress: Progress) -> float | None:
        if start is None or time.monotonic() - start[0] < _FIRST_S:
            return None
        return round((progress.events_done - start[1]) / (time.monotonic() - start[0]), 3)


class Heartbeat:
    """Writes what it knows every two seconds, from a thread of its own: asking pools may take long."""

    def __init__(
        self, folder: Path, specs: Mapping[str, PoolSpec], progress: Progress, telemetry: Telemetry
    ) -> None:
        self._path, self._specs, self._telemetry = CampaignFolder(folder).heartbeat, specs, telemetry
        self._progress, self._pace = replace(progress), RateMeter()
        self._pools: dict[str, Pool] = {}
        self._lock, self._stop = Lock(), Event()
        self._last: dict[str, Any] = {}
        self._state = "running"
        facts = {name: pool_facts(spec, jobs=is_batch(spec.kind)) for name, spec in specs.items()}
        self._journal = UsageLog(folder, facts)
        self._thread = Thread(target=self._beat, name="e2edist-heartbeat", daemon=True)
        self._origin = {
            "host": platform.node(),
            "pid": os.getpid(),
            "controller": os.environ.get(TOKEN, ""),
            "started": round(time.time(), 3),
        }

    def note(self, progress: Progress) -> None:
        """Take the counts of the driver, and give it rates and pools for whoever looks next."""
        with self._lock:
            self._pace.note(progress)
            facts = self._pace.facts(progress)
            progress.rate, progress.rate_now = facts["events_per_s"], facts["events_per_s_now"]
            progress.eta_s = facts["eta_s"]
            progress.pools = {
                name: (one["wanted"], one["queued"], one["running"], one["joined"])
                for name, one in self._last.items()
            }
            self._progress = replace(progress)

    def ready(self, pool: Pool) -> None:
        """Take a pool that is there."""
        with self._lock:
            self._pools[pool.name] = pool

    def start(self) -> None:
        """Beat from now on."""
        self._write(self._state, "")
        self._thread.start()

    def interrupt(self) -> None:
        """Tell from now on that it is stopped: whatever hangs from now on must not make that untrue."""
        self._state = "stopped"

    def end(self, error: BaseException | None) -> None:
        """Write the last word: done, stopped, or failed and why."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(2 * BEAT_S)
        p = self._progress
        state = "done" if p.done + p.failed >= p.chunks else "stopped"
        if isinstance(error, KeyboardInterrupt):
            state, error = "stopped", None
        said = str(error) if isinstance(error, E2EError) else redact(repr(error))
        self._write("failed" if error else state, said if error else "")

    def _beat(self) -> None:
        while not self._stop.wait(BEAT_S):
            self._write(self._state, "")

    def _write(self, state: str, error: str) -> None:
        with self._lock:
            progress, pools = self._progress, dict(self._pools)
            counts = asdict(progress) | self._pace.facts(progress)
        content = self._origin | {"state": state, "error": error, "updated": round(time.time(), 3)}
        looked = self._look_at(pools)
        if self._stop.is_set() and threading.current_thread() is self._thread:
            return  # asking pools took too long: the last word is written
        self._telemetry.sample(progress, looked)
        self._journal.note(looked, progress.lost_s, last=self._stop.is_set())
        content |= counts | {"pools": looked}
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
                self._path.write_text(text, encoding="utf-8")  # the last word, in the room of the one before

    def _look_at(self, pools: dict[str, Pool]) -> dict[str, Any]:
        """Return what is known of each pool; at the end, what was last known before they were closed."""
        if not self._stop.is_set():
            self._last = {name: self._pool(name, pools.get(name)) for name in self._specs}
        return self._last

    def _pool(self, name: str, pool: Pool | None) -> dict[str, Any]:
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
def beating(heart: Heartbeat, watch: Watch, ready: Ready) -> Iterator[tuple[Watch, Ready]]:
    """Publish ``progress.json`` meanwhile; gives callbacks to use in place of `watch` and `ready`."""

    def note(now: Progress) -> None:
        heart.note(now)
        watch(now)

    def met(pool: Pool) -> None:
        heart.ready(pool)
        ready(pool)

    try:
        heart.start()
        yield note, met
    except BaseException as error:
        _end(heart, error)
        raise
    _end(heart, None)


def _end(heart: Heartbeat, error: BaseException | None) -> None:
    try:
        heart.end(error)
    except KeyboardInterrupt:  # the last word is said all the same; there is no third one
        heart.end(error)
        raise
