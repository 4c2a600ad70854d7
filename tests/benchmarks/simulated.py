"""Campaigns without ROOT, models and workers: what planning, driving and bookkeeping cost by themselves."""

from __future__ import annotations

import random
import time
from collections import deque
from typing import Any

from e2edist.input_file import FileInfo
from e2edist.pools import TaskOutcome
from e2edist.records.chunk import Chunk
from e2edist.records.plan import Plan
from e2edist.records.receipt import Receipt

_TAGGER = {"name": "eg", "model": {"sha256": "0" * 64}}


def make_plan(chunks: int, *, files: int = 0, chunk_events: int = 1000) -> Plan:
    """Return a plan of so many chunks, in files of 100 chunks or in so many `files`."""
    files = files or max(1, chunks // 100)
    each, rest = divmod(chunks, files)
    planned = []
    for i in range(files):
        edges = tuple(j * chunk_events for j in range(each + (i < rest) + 1))
        uuid = f"{i:032x}"
        url = f"/data/file_{i:06d}.root"
        planned.append(FileInfo(url, "hits", "Events", uuid, 10**9, edges[-1], edges))
    return Plan(_TAGGER, tuple(planned), 4000.0)


def make_receipt(chunk: Chunk, fingerprint: str, wall_ms: float = 60e3) -> Receipt:
    """Return a receipt as large as a real one of a tagger with one score and one layer."""
    objects = 2 * chunk.events
    share = {"source": 0.1, "DetFrameProducer": 0.1, "EGFrameProducer": 0.1, "EGTagger": 0.65, "output": 0.05}
    table = {"n": objects, "nan": 0, "inf": 0, "min": 0.01, "max": 0.99}
    bins = {str(i): objects // 30 for i in range(14, 44)}
    inputs = {"pixels": table | {"bins": bins}, "sum": table | {"bins": bins}}
    return Receipt(
        id=chunk.id,
        chunk=chunk,
        fingerprint=fingerprint,
        rows=objects,
        events=chunk.events,
        status={"ok": objects - 20, "pt": 10, "eta": 10},
        stages={name: (wall_ms * part, wall_ms * part, objects) for name, part in share.items()},
        started=time.time(),
        host="node",
        pid=4711,
        peak_mib=800,
        pool="gpu",
        validation="passed",
        engine={"engine": "onnx", "device": "A100", "provider": "CUDAExecutionProvider", "batch": "512"},
        versions={"python": "3.11.7", "e2edist": "0.1.0", "numpy": "2.4.6", "pyarrow": "26.0.1"},
        quality={"scores": {"electron": table | {"bins": bins}}, "inputs": {"EB_energy": inputs}},
        checksum="5e04e37bd4085e7518bc935bcf88e5e7",
        size=55970,
    )


class SimulatedPool:
    """A pool whose chunks end as soon as somebody looks; some raise, some lose their worker.

    Parameters
    ----------
    threads : int
        Of all workers.
    raising, dying : float
        Fraction of the attempts.
    """

    failure_reason, dashboard = "", ""

    def __init__(self, name: str, threads: int, fingerprint: str, raising: float = 0.0, dying: float = 0.0):
        self.name, self._threads, self._fingerprint = name, threads, fingerprint
        self._raising, self._dying = raising, dying
        self._running: deque[tuple[str, tuple[Chunk, ...]]] = deque()
        self._random = random.Random(7)
        self.attempts = 0

    def update_demand(self, longest_s: float, left: int) -> None:
        pass

    def counts(self) -> dict[str, int]:
        return {"queued": 0, "running": self._threads, "joined": self._threads}

    def slots(self) -> int:
        return self._threads

    def submit(self, tag: str, function: Any, key: str, chunks: tuple[Chunk, ...], budget_s: float) -> None:
        self.attempts += 1
        self._running.append((tag, chunks))

    def stop_accepting(self) -> None:
        """Nothing is ever stopped here."""

    def stop_task(self, tag: str) -> list[str]:
        return [tag]

    def wait(self, timeout: float) -> list[TaskOutcome]:
        if not self._running:
            time.sleep(min(timeout, 0.01))
        return [self._outcome(*self._running.popleft()) for _ in range(min(len(self._running), 64))]

    def _outcome(self, tag: str, chunks: tuple[Chunk, ...]) -> TaskOutcome:
        if self._random.random() < self._dying:
            return TaskOutcome(tag, "lost", error=RuntimeError("simulated"))
        return TaskOutcome(tag, "done", [self._fate(chunk) for chunk in chunks])

    def _fate(self, chunk: Chunk) -> Receipt | Exception:
        raises = self._random.random() < self._raising
        return OSError("simulated") if raises else make_receipt(chunk, self._fingerprint)

    def close(self) -> None:
        pass
