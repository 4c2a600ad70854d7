"""Workers that are threads, die on demand and take along all that they hold; a driver on them."""

import queue
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pyarrow as pa
import pytest
from receipts import make_receipt

from e2edist.accounting.progress import Progress, ProgressTracker
from e2edist.campaign import driver, retry_policy
from e2edist.campaign.cross_pool_check import CrossPoolCheck
from e2edist.campaign.driver import Driver
from e2edist.campaign.limits import Limits
from e2edist.pools import TaskOutcome
from e2edist.records.chunk import Chunk
from e2edist.records.folder import CampaignFolder
from e2edist.records.ledger import Ledger
from e2edist.records.parts import write_part
from e2edist.worker import run_bundle

SIZE = 8


class Death(BaseException):
    """Raised by a task to end its worker."""


class Dropped(BaseException):
    """Raised by a task that gets lost although its worker lives: a scheduler that restarts, a network."""


class Worker:
    def __init__(self, threads):
        self.executor = ThreadPoolExecutor(threads)
        self.held = []
        self.life = 0


class ThreadWorkers:
    """A pool of workers of some threads each; `work` runs in place of `run_chunk`, its part is real."""

    name, dashboard, failure_reason = "test", "", ""

    queued = 0
    accepting = True

    def update_demand(self, longest_s, left):
        self.left = left

    def counts(self):
        return {"queued": self.queued, "running": len(self.workers), "joined": len(self.workers)}

    def __init__(self, work, folder=None, workers=2, threads=2):
        self.folder = folder
        self.workers, self.threads, self.work = [Worker(threads) for _ in range(workers)], threads, work
        self.ended, self.lock = queue.SimpleQueue(), threading.Lock()
        self.runs, self.widest, self.deaths = Counter(), 0, 0
        self.bundles, self.now = [], threading.local()

    def run_chunk(self, key, chunk):
        """Run a chunk in a worker's thread, which ends where its worker died meanwhile."""
        worker, life = self.now.place
        if worker.life != life:
            raise Death
        with self.lock:
            self.runs[chunk.id] += 1
        receipt = self.work(chunk)
        if self.folder and worker.life == life:
            path = CampaignFolder(self.folder).part(chunk.id)
            write_part(path, pa.table({"entry": range(chunk.start, chunk.stop)}), lambda: receipt)
        return receipt

    def slots(self):
        return len(self.workers) * self.threads

    def submit(self, tag, function, key, chunks, budget_s):
        assert function is run_bundle.run_chunks
        self.bundles.append([chunk.id for chunk in chunks])
        with self.lock:
            worker = min(self.workers, key=lambda w: len(w.held))
            worker.held.append(tag)
            self.widest = max(self.widest, sum(len(w.held) for w in self.workers))
            worker.executor.submit(
                self._run, worker, worker.life, tag, partial(function, key, chunks, budget_s)
            )

    def _run(self, worker, life, tag, task):
        self.now.place = (worker, life)
        try:
            outcome = TaskOutcome(tag, "done", task())
        except Death:
            if worker.life == life:
                self._die(worker)
            return
        except Dropped:
            outcome = TaskOutcome(tag, "lost", error=ConnectionError("the task was cancelled"))
        except Exception as error:
            outcome = TaskOutcome(tag, "error", error=error)
        with self.lock:
            if worker.life == life:
                worker.held.remove(tag)
                self.ended.put(outcome)

    def _die(self, worker):
        with self.lock:
            self.deaths += 1
            worker.life += 1
            for tag in worker.held:
                self.ended.put(TaskOutcome(tag, "lost", error=RuntimeError("worker died")))
            worker.held.clear()

    def stop_accepting(self):
        self.accepting = False

    def stop_task(self, tag):
        for worker in self.workers:
            if tag in worker.held:
                ran = list(worker.held)
                self._die(worker)
                return ran
        return []

    def wait(self, timeout):
        outcomes = []
        try:
            outcomes.append(self.ended.get(timeout=timeout))
            while True:
                outcomes.append(self.ended.get_nowait())
        except queue.Empty:
            return outcomes

    def close(self):
        for worker in self.workers:
            worker.executor.shutdown()


def make_chunks(count, size=SIZE):
    whole = count * size
    return [
        Chunk("a.root", "hits", "Events", "f" * 32, 1, whole, i * size, (i + 1) * size) for i in range(count)
    ]


def receipt(chunk, **fields):
    return make_receipt(chunk, "f", rows=chunk.events, host="here", **{"stages": {}, **fields})


@pytest.fixture
def drive(tmp_path, monkeypatch):
    """Return a function that drives chunks over one pool and returns (pool, ledger, progress, all ended)."""
    # The waits are for networks and people, not for tests.
    monkeypatch.setattr(retry_policy, "_PAUSE_S", 0.01)
    monkeypatch.setattr(driver, "_POLL_S", 0.05)
    pools = []

    CampaignFolder(tmp_path).predictions.mkdir()

    def drive(
        work,
        chunks,
        *,
        on_progress=None,
        stop=None,
        limits=None,
        shared_disk=True,
        ledger=None,
        **workers,
    ):
        pool = ThreadWorkers(work, tmp_path if shared_disk else None, **workers)
        pools.append(pool)
        monkeypatch.setattr(run_bundle, "run_chunk", pool.run_chunk)
        monkeypatch.setattr(run_bundle, "is_draining", lambda: not pool.accepting)
        ledger = ledger or Ledger(tmp_path / "ledger.jsonl", fingerprint="f")
        ledger.failed.clear()
        progress = Progress(len(chunks), sum(chunk.events for chunk in chunks))
        check = CrossPoolCheck(0.0, {"key": ""}, {} if shared_disk else {"key": tmp_path})
        tracker = ProgressTracker(progress, on_progress)
        one = Driver({"key": pool}, ledger, tracker, stop or threading.Event(), limits or Limits(), check)
        ended = one.run(chunks)
        return pool, ledger, progress, ended

    drive.pools = pools
    yield drive
    for pool in pools:
        pool.close()


def entries(ledger):
    """Return every entry that is in a part, sorted, twice where it is in two."""
    places = [r.chunk for r in ledger.done.values()]
    return sorted(entry for place in places for entry in range(place.start, place.stop))


def holds(chunk, entry):
    return chunk.start <= entry < chunk.stop


def quick(chunk):
    """Say that a chunk took a tenth of a second."""
    return receipt(chunk, stages={"source": (100.0, 0.0, chunk.events)})
