"""The driver on workers that are threads, die on demand and take along all that they hold."""

import logging
import queue
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import pyarrow as pa
import pytest
from receipts import make_receipt

from e2edist.accounting.progress import Progress
from e2edist.campaign import driver, retry_policy
from e2edist.campaign.cross_pool_check import CrossPoolCheck
from e2edist.campaign.driver import Driver
from e2edist.campaign.limits import Limits
from e2edist.config.controller import ControllerSpec
from e2edist.errors import (
    BranchError,
    CampaignError,
    EntriesError,
    InputError,
    ModelError,
    OutputError,
    ProgrammingError,
    UnknownNameError,
)
from e2edist.pools import TaskOutcome, controller_grace_s
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
        self.loads, self.now = [], threading.local()

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
        self.loads.append([chunk.id for chunk in chunks])
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

    def drive(work, chunks, *, watch=id, stop=None, limits=None, far=False, ledger=None, **workers):
        pool = ThreadWorkers(work, None if far else tmp_path, **workers)
        pools.append(pool)
        monkeypatch.setattr(run_bundle, "run_chunk", pool.run_chunk)
        monkeypatch.setattr(run_bundle, "is_draining", lambda: not pool.accepting)
        ledger = ledger or Ledger(tmp_path / "ledger.jsonl", fingerprint="f")
        ledger.failed.clear()
        progress = Progress(len(chunks), sum(chunk.events for chunk in chunks))
        overlap = CrossPoolCheck(0.0, {"job": ""}, {"job": tmp_path} if far else {})
        one = Driver({"job": pool}, ledger, watch, stop or threading.Event(), limits or Limits(), overlap)
        ended = one.run(chunks, progress)
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


# ---- nothing goes wrong


def test_every_chunk_runs_once_and_the_counts_agree(drive):
    chunks = make_chunks(200)
    pool, ledger, progress, ended = drive(receipt, chunks)
    assert ended
    assert set(pool.runs.values()) == {1}
    assert ledger.done.keys() == {chunk.id for chunk in chunks}
    assert entries(ledger) == list(range(1600))
    assert (progress.chunks, progress.done, progress.failed, progress.events_done) == (200, 200, 0, 1600)
    assert len(ledger.path.read_text().splitlines()) == 200


@pytest.mark.parametrize(("workers", "threads"), [(1, 1), (1, 3), (2, 2), (3, 4)])
def test_no_more_than_a_quarter_above_the_slots_is_in_flight_and_no_slot_idles(drive, workers, threads):
    slots = workers * threads
    full = threading.Barrier(slots)

    def work(chunk):
        # The first ones go on together: they pass only where as many run at a time.
        if chunk.start < slots * SIZE:
            full.wait(60)
        return receipt(chunk)

    pool, ledger, *_ = drive(work, make_chunks(60), workers=workers, threads=threads)
    assert len(ledger.done) == 60
    assert slots <= pool.widest <= max(slots, int(1.25 * slots))


def test_no_chunks_is_the_end_at_once(drive):
    pool, _, _, ended = drive(receipt, [])
    assert ended
    assert not pool.runs


# ---- workers that die


def test_one_entry_that_kills_its_worker_is_all_that_200_chunks_lose(drive):
    def work(chunk):
        if holds(chunk, 777):
            raise Death
        return receipt(chunk)

    pool, ledger, progress, ended = drive(work, make_chunks(200))
    assert ended
    (failure,) = ledger.failed.values()
    assert (failure.start, failure.stop) == (777, 778)
    assert "its worker died" in failure.reason
    assert entries(ledger) == [entry for entry in range(1600) if entry != 777]
    assert progress.failed == 1
    assert progress.done + progress.failed == progress.chunks
    # Three deaths in company, then three halvings and the proof of the last entry.
    assert pool.deaths <= 12


def test_two_poisoned_entries_in_different_chunks_are_both_found_and_nothing_else(drive):
    def work(chunk):
        if holds(chunk, 5) or holds(chunk, 10):
            raise Death
        return receipt(chunk)

    _, ledger, _, _ = drive(work, make_chunks(20))
    assert sorted(failure.start for failure in ledger.failed.values()) == [5, 10]
    assert entries(ledger) == [entry for entry in range(160) if entry not in (5, 10)]


def test_a_worker_that_dies_for_no_reason_of_the_chunks_costs_nothing(drive):
    seen, lock = Counter(), threading.Lock()

    def work(chunk):
        with lock:
            seen[chunk.id] += 1
            first = seen[chunk.id] == 1
        if first and chunk.start % (20 * SIZE) == 0:
            raise Death
        return receipt(chunk)

    pool, ledger, progress, _ = drive(work, make_chunks(100))
    assert pool.deaths == 5
    assert not ledger.failed
    assert progress.chunks == 100
    assert entries(ledger) == list(range(800))


def test_a_chunk_that_only_ever_dies_beside_a_poisoned_one_is_not_halved(drive):
    started, runs = threading.Event(), Counter()

    def work(chunk):
        runs[chunk.id] += 1
        if chunk.stop <= SIZE:
            started.wait(60)
            raise Death
        started.set()
        if runs[chunk.id] == 1:
            time.sleep(0.2)
        return receipt(chunk)

    _, ledger, _, _ = drive(work, make_chunks(2), workers=1, threads=2)
    assert [(f.start, f.stop) for f in ledger.failed.values()] == [(i, i + 1) for i in range(SIZE)]
    assert ledger.done.keys() == {make_chunks(2)[1].id}


def test_a_chunk_that_hangs_is_stopped_with_its_worker_and_found_down_to_its_entry(drive):
    release = threading.Event()

    def work(chunk):
        if holds(chunk, 3):
            release.wait(60)
            raise Death
        return receipt(chunk)

    try:
        _, ledger, _, _ = drive(work, make_chunks(3, 4), limits=Limits(chunk_s=0.2), workers=1, threads=8)
    finally:
        release.set()
    (failure,) = ledger.failed.values()
    assert (failure.start, failure.stop) == (3, 4)
    assert "it ran for more than 0 s" in failure.reason
    assert entries(ledger) == [*range(3), *range(4, 12)]


def test_tasks_that_get_lost_a_few_times_blame_no_chunk(drive):
    seen = Counter()

    def work(chunk):
        seen[chunk.id] += 1
        if chunk.start == 0 and seen[chunk.id] <= 5:
            raise Dropped
        return receipt(chunk)

    pool, _, progress, ended = drive(work, make_chunks(4))
    assert ended
    assert sorted(pool.runs.values()) == [1, 1, 1, 6]
    assert (progress.done, progress.failed, progress.chunks) == (4, 0, 4)


def test_a_chunk_that_gets_lost_each_time_is_not_given_out_for_ever(drive):
    enough = 1000  # where it is, the run ends as if all had gone well

    def work(chunk):
        if holds(chunk, 9) and sum(pool.runs.total() for pool in drive.pools) < enough:
            raise Dropped
        return receipt(chunk)

    pool, ledger, _, ended = drive(work, make_chunks(4))
    assert ended
    assert [(f.start, f.stop) for f in ledger.failed.values()] == [(9, 10)]
    assert entries(ledger) == [entry for entry in range(32) if entry != 9]
    assert pool.runs.total() < 100


# ---- chunks that raise


def test_an_error_that_passes_is_tried_again_and_leaves_no_trace(drive):
    seen = Counter()

    def work(chunk):
        seen[chunk.id] += 1
        if chunk.start == 0 and seen[chunk.id] < 3:
            raise OSError("the network is down")
        return receipt(chunk)

    pool, ledger, progress, _ = drive(work, make_chunks(4))
    assert sorted(pool.runs.values()) == [1, 1, 1, 3]
    assert not ledger.failed
    assert progress.done == 4


def test_chunks_that_all_fail_of_the_system_stop_the_campaign_before_they_are_halved_to_entries(drive):
    def work(_):
        raise OSError("no such thing")

    with pytest.raises(CampaignError, match="no range of entries could be done: OSError: no such thing"):
        drive(work, make_chunks(1000))


# ---- bugs


@pytest.mark.parametrize("threads", [1, 2, 4, 8])
@pytest.mark.parametrize(("count", "size"), [(1, 300), (2, 8), (4, 8), (300, 8), (3000, 1)])
def test_a_bug_that_fails_every_chunk_stops_the_campaign_within_ten_tasks(
    drive, caplog, count, size, threads
):
    runs = []

    def work(chunk):
        runs.append(chunk.id)
        raise NameError("name 'oops' is not defined")

    with pytest.raises(ProgrammingError) as caught:
        drive(work, make_chunks(count, size), workers=1, threads=threads)
    assert len(runs) <= 10
    assert "this is a bug in " in str(caught.value)
    assert "not bad data: NameError: name 'oops' is not defined" in str(caught.value)
    assert caught.value.log == "submit.log"
    tracebacks = [
        record for record in caplog.records if "Traceback (most recent call last)" in record.message
    ]
    assert len(tracebacks) == 1
    assert "oops" in tracebacks[0].message


def test_a_range_that_fails_of_a_bug_is_tried_again_before_all_others(drive):
    order = []

    def work(chunk):
        order.append(chunk.start)
        raise KeyError("x")

    with pytest.raises(ProgrammingError):
        drive(work, make_chunks(100), workers=1, threads=1)
    assert order[:3] == [0, 0, 8]


@pytest.mark.parametrize("error", [KeyError("x"), OSError("away"), ValueError("odd")])
@pytest.mark.parametrize(("count", "threads"), [(1, 1), (4, 4), (100, 1), (100, 8)])
def test_an_error_at_the_very_start_that_passes_stops_nothing(drive, error, count, threads):
    seen = Counter()

    def work(chunk):
        seen[chunk.id] += 1
        if len(seen) <= 2 and seen[chunk.id] == 1:
            raise error
        return receipt(chunk)

    _, ledger, _, ended = drive(work, make_chunks(count), workers=1, threads=threads)
    assert ended
    assert not ledger.failed
    assert entries(ledger) == list(range(count * SIZE))


@pytest.mark.parametrize("bad", [0, 777])
def test_a_bug_that_one_entry_brings_out_costs_that_entry_and_is_told_as_a_bug(drive, bad):
    def work(chunk):
        if holds(chunk, bad):
            raise ZeroDivisionError
        return receipt(chunk)

    _, ledger, progress, _ = drive(work, make_chunks(200), workers=1, threads=1)
    (failure,) = ledger.failed.values()
    assert (failure.start, failure.stop) == (bad, bad + 1)
    assert "this is a bug in " in failure.reason
    assert progress.done + progress.failed == progress.chunks
    assert entries(ledger) == [entry for entry in range(1600) if entry != bad]


def test_a_bug_in_a_whole_file_costs_that_file_when_there_are_others(drive):
    chunks = [
        replace(chunk, uuid=("a" if chunk.start < 400 else "b") * 32) for chunk in make_chunks(100, size=8)
    ]

    def work(chunk):
        if chunk.uuid[0] == "a":
            raise ZeroDivisionError
        return receipt(chunk)

    _, ledger, _, ended = drive(work, chunks, workers=1, threads=1)
    assert ended
    assert entries(ledger) == list(range(400, 800))
    assert sum(failure.stop - failure.start for failure in ledger.failed.values()) == 400


def test_entries_that_an_earlier_run_gave_up_for_a_bug_are_given_up_again(drive, tmp_path):
    def work(chunk):
        if any(holds(chunk, bad) for bad in range(0, 160, 16)):
            raise ZeroDivisionError
        return receipt(chunk)

    chunks = make_chunks(20)
    _, first, _, _ = drive(work, chunks, workers=1, threads=1)
    lost = sorted(failure.start for failure in first.failed.values())
    assert lost == list(range(0, 160, 16))
    pending = [chunks[0].part(start, start + 1) for start in lost]
    _, second, _, ended = drive(work, pending, workers=1, threads=1, ledger=first)
    assert ended
    assert sorted(failure.start for failure in second.failed.values()) == lost


def test_a_pool_whose_plug_in_has_a_bug_does_not_eat_the_chunks_of_another(drive, tmp_path, monkeypatch):
    runs, good = Counter(), ThreadWorkers(receipt, tmp_path, workers=1, threads=1)
    bad = ThreadWorkers(receipt, tmp_path, workers=1, threads=1)

    def run_chunk(key, chunk):
        runs[key] += 1
        if key == "bad":
            raise NameError("oops")
        time.sleep(0.01)
        return good.run_chunk(key, chunk)

    monkeypatch.setattr(run_bundle, "run_chunk", run_chunk)
    monkeypatch.setattr(retry_policy, "_PAUSE_S", 0.01)
    ledger = Ledger(tmp_path / "ledger.jsonl", fingerprint="f")
    one = Driver({"good": good, "bad": bad}, ledger, id, threading.Event(), Limits())
    try:
        with pytest.raises(ProgrammingError, match="NameError: oops"):
            one.run(make_chunks(2000), Progress(2000, 16000))
    finally:
        good.close()
        bad.close()
    assert runs["bad"] <= 10
    assert not ledger.failed


def test_an_exception_that_ends_threads_is_a_bug_like_others(drive):
    def work(_):
        raise SystemExit(3)

    with pytest.raises(ProgrammingError, match="SystemExit: 3"):
        drive(work, make_chunks(10), workers=1, threads=1)


def test_a_plug_in_that_no_worker_has_stops_the_campaign(drive):
    def work(_):
        raise UnknownNameError("", "there is no format 'odd'")

    with pytest.raises(UnknownNameError, match="odd"):
        drive(work, make_chunks(100), workers=1, threads=2)


def test_what_files_do_not_have_is_in_the_log_once(drive, caplog):
    def work(chunk):
        return replace(receipt(chunk), notes=("run: no branch run", f"odd: {chunk.start // 16}"))

    drive(work, make_chunks(4))
    lines = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert sum(line.startswith("run: no branch run (a.root") for line in lines) == 1
    assert sum(line.startswith("odd: ") for line in lines) == 2


def test_values_that_do_not_fit_are_looked_for_at_once(drive):
    def work(chunk):
        if holds(chunk, 9):
            raise EntriesError(chunk.url, "does not fit")
        return receipt(chunk)

    pool, ledger, _, _ = drive(work, make_chunks(4))
    assert [(f.start, f.stop) for f in ledger.failed.values()] == [(9, 10)]
    assert pool.runs[make_chunks(4)[1].id] == 1


def test_bad_baskets_are_cut_out_as_a_whole_and_the_rest_is_done(drive):
    def work(chunk):
        bad = [(a, b) for a, b in ((3, 9), (14, 16)) if a < chunk.stop and b > chunk.start]
        if bad:
            error = EntriesError(chunk.url, "baskets are damaged", retryable=True)
            error.ranges = tuple((max(a, chunk.start), min(b, chunk.stop)) for a, b in bad)
            raise error
        return receipt(chunk)

    pool, ledger, _, _ = drive(work, make_chunks(4))
    assert sorted((f.start, f.stop) for f in ledger.failed.values()) == [(3, 8), (8, 9), (14, 16)]
    assert entries(ledger) == [*range(3), *range(9, 14), *range(16, 32)]
    assert sum(pool.runs.values()) < 14


def test_entries_that_can_not_be_read_are_given_up_and_their_neighbours_are_not(drive):
    def work(chunk):
        if holds(chunk, 9):
            raise EntriesError(chunk.url, "basket is damaged", retryable=True)
        return receipt(chunk)

    _, ledger, _, _ = drive(work, make_chunks(4))
    (failure,) = ledger.failed.values()
    assert (failure.start, failure.stop) == (9, 10)
    assert "EntriesError: a.root: basket is damaged" in failure.reason
    assert entries(ledger) == [entry for entry in range(32) if entry != 9]


def test_memory_that_is_too_small_for_a_chunk_halves_it_at_once(drive):
    def work(chunk):
        if chunk.events > 2:
            raise MemoryError
        return receipt(chunk)

    pool, ledger, _, _ = drive(work, make_chunks(3))
    assert not ledger.failed
    assert entries(ledger) == list(range(24))
    assert set(pool.runs.values()) == {1}


@pytest.mark.parametrize(
    ("error", "tries"),
    [(BranchError("f", "no EB"), 1), (InputError("f", "gone", retryable=True), 5)],
    ids=repr,
)
def test_a_file_that_is_of_no_use_is_given_up_whole(drive, error, tries):
    def work(chunk):
        if chunk.start == 0:
            raise error
        return receipt(chunk)

    pool, ledger, progress, _ = drive(work, make_chunks(10))
    (failure,) = ledger.failed.values()
    assert (failure.start, failure.stop) == (0, SIZE)
    assert failure.attempts == tries == pool.runs[failure.id]
    assert (progress.done, progress.failed) == (9, 1)


def test_a_model_that_a_worker_can_not_read_for_a_moment_is_read_again(drive):
    runs = Counter()

    def work(chunk):
        runs[chunk.id] += 1
        if runs[chunk.id] == 1 and chunk.start < 4 * SIZE:
            raise ModelError("m.onnx", "can't be read (Stale file handle)", retryable=True)
        return receipt(chunk)

    ended = drive(work, make_chunks(20))[3]
    assert ended
    assert max(runs.values()) == 2


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (ModelError("m.onnx", "bad"), 1),
        (ModelError("m.onnx", "can't be read", retryable=True), 3),
        (OutputError("out", "disk full"), 3),
    ],
    ids=repr,
)
def test_a_bad_model_or_a_full_disk_stops_the_campaign_with_that_error(drive, error, tries):
    runs = Counter()

    def work(chunk):
        runs[chunk.id] += 1
        raise error

    with pytest.raises(type(error)) as caught:
        drive(work, make_chunks(100))
    assert str(caught.value) == str(error)
    assert max(runs.values()) == tries
    assert len(runs) < 100 or tries > 1


# ---- stopping


def test_a_stop_event_ends_the_run_soon_and_keeps_what_is_done(drive):
    stop = threading.Event()

    def watch(progress):
        if progress.done >= 20:
            stop.set()

    _, ledger, progress, ended = drive(receipt, make_chunks(1000), watch=watch, stop=stop)
    assert not ended
    assert 20 <= len(ledger.done) == progress.done < 200


def test_chunks_that_run_at_a_stop_are_finished_and_kept_and_no_other_is_begun(drive):
    stop, begun, release = threading.Event(), [], threading.Event()

    def work(chunk):
        begun.append(chunk.id)
        if len(begun) > 20:
            stop.set()
            release.wait(60)
        return quick(chunk)

    def watch(progress):
        if progress.stopping:
            release.set()

    pool, ledger, progress, ended = drive(work, make_chunks(400), watch=watch, stop=stop, threads=4)
    assert not ended
    assert sorted(ledger.done) == sorted(begun)
    assert progress.done == len(begun) < 40
    assert any(len(ids) > 1 for ids in pool.loads)  # of which only the chunk that ran was finished


def test_the_wait_for_chunks_that_run_at_a_stop_has_an_end(drive):
    stop, release = threading.Event(), threading.Event()

    def work(chunk):
        stop.set()
        release.wait(60)
        return receipt(chunk)

    def watch(progress):
        if progress.stopping:
            waited.append(time.monotonic())

    waited = []
    limits = Limits(finish_s=(0.2, 0.3))
    drive_ended = threading.Timer(60, release.set)
    drive_ended.start()
    try:
        _, ledger, progress, ended = drive(work, make_chunks(8), watch=watch, stop=stop, limits=limits)
        assert not release.is_set()
    finally:
        drive_ended.cancel()
        release.set()
    assert not ended
    assert (len(ledger.done), progress.done) == (0, 0)
    assert waited


@pytest.mark.parametrize(
    ("controller", "wanted"),
    [
        ({"kind": "process"}, (30.0, 180.0)),
        ({"kind": "slurm"}, (30.0, 180.0)),
        ({"kind": "slurm", "notice_s": 80}, (20.0, 20.0)),
        ({"kind": "slurm", "notice_s": 30}, (0.0, 0.0)),
        ({"kind": "htcondor"}, (30.0, 120.0)),
    ],
)
def test_the_wait_of_a_controller_fits_between_its_signal_and_the_end_of_its_job(controller, wanted):
    spec = ControllerSpec.model_validate(controller)
    assert Limits().ending_within(controller_grace_s(spec)).finish_s == wanted


def test_chunks_that_ran_on_workers_that_are_gone_are_not_waited_for(drive):
    stop = threading.Event()

    def work(chunk):
        for worker in pools[0].workers:
            worker.life += 1  # their tasks never come back
        pools[0].workers.clear()
        stop.set()
        return receipt(chunk)

    class Watched(ThreadWorkers):
        def __init__(self, *arguments, **named):
            super().__init__(*arguments, **named)
            pools.append(self)

    pools = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(globals(), "ThreadWorkers", Watched)
        limits = Limits(finish_s=(1e6, 1e6))
        *_, ended = drive(work, make_chunks(1), stop=stop, limits=limits, workers=1, threads=1)
    assert not ended


def test_a_lost_chunk_whose_part_comes_late_is_not_run_again(drive, monkeypatch):
    late, late_part = make_chunks(1)[0], threading.Event()

    def work(chunk):
        if chunk.id == late.id and not late_part.is_set():
            late_part.set()
            raise Death
        return receipt(chunk)

    pause = driver.Driver._punish

    def write_late(self, lane, bundle, chunk, outcome):
        pause(self, lane, bundle, chunk, outcome)
        path = CampaignFolder(self._ledger.path.parent).part(chunk.id)
        write_part(path, pa.table({"entry": range(chunk.start, chunk.stop)}), lambda: receipt(chunk))

    monkeypatch.setattr(driver.Driver, "_punish", write_late)
    pool, ledger, progress, ended = drive(work, make_chunks(4), workers=1, threads=1)
    assert ended
    assert pool.runs[late.id] == 1
    assert (progress.done, progress.chunks) == (4, 4)
    assert entries(ledger) == list(range(32))


def test_without_any_worker_the_campaign_stops_after_a_while(drive):
    with pytest.raises(CampaignError, match="no worker for 0 s"):
        drive(receipt, make_chunks(2), workers=0, limits=Limits(stall_s=0.1))


def test_waiting_in_a_queue_is_no_stall(drive, monkeypatch):
    monkeypatch.setattr(ThreadWorkers, "queued", 1)
    stop = threading.Event()
    threading.Timer(1.0, stop.set).start()
    _, _, _, ended = drive(receipt, make_chunks(2), workers=0, stop=stop, limits=Limits(stall_s=0.1))
    assert not ended  # stopped by us, not by the limit


def test_the_log_has_a_line_for_each_chunk_that_ended(drive, caplog):
    def work(chunk):
        if chunk.start == 0:
            raise BranchError("a.root", "no EB")
        return receipt(chunk)

    with caplog.at_level(logging.INFO, logger="e2edist"):
        drive(work, make_chunks(5))
    ends = [r.getMessage() for r in caplog.records if r.getMessage().startswith(("done", "failed"))]
    assert len(ends) == 5
    assert sum("(a.root entries 0-8)" in line for line in ends) == 1


# ---- portions


def test_a_slow_pool_gets_parts_of_chunks_and_every_entry_is_done_once(drive):
    def work(chunk):  # says that it takes 0.1 s an event
        return receipt(chunk, stages={"source": (100.0 * chunk.events, 0.0, chunk.events)})

    limits = Limits(portion_s=(1.0, 3.0))
    _, ledger, progress, ended = drive(work, make_chunks(10, 80), limits=limits, workers=1, threads=1)
    sizes = [r.events for r in ledger.done.values()]
    assert ended
    assert entries(ledger) == list(range(800))
    # the first one is taken whole, nothing being known; then 3 s of work, less towards the end
    assert sizes[0] == 80
    assert max(sizes[1:]) <= 45
    assert progress.done == progress.chunks == len(sizes)


# ---- loads


def quick(chunk):
    """Say that a chunk took a tenth of a second."""
    return receipt(chunk, stages={"source": (100.0, 0.0, chunk.events)})


def test_small_chunks_ride_together_each_is_done_once_and_the_last_ones_ride_alone(drive):
    pool, ledger, progress, ended = drive(quick, make_chunks(400), workers=1, threads=2)
    sizes = [len(ids) for ids in pool.loads]
    assert ended
    assert set(pool.runs.values()) == {1}
    assert entries(ledger) == list(range(3200))
    assert progress.done == progress.chunks == 400
    assert (sizes[0], sizes[-1]) == (1, 1)
    assert 19 <= max(sizes) <= 20  # tenths of a second are no binary fractions
    assert len(sizes) < 100


def test_setting_up_is_no_part_of_what_a_chunk_takes(drive):
    def work(chunk):
        return receipt(chunk, stages={"eventsetup": (1e6, 0.0, 0), "source": (100.0, 0.0, SIZE)})

    pool, *_ = drive(work, make_chunks(400), workers=1, threads=1)
    assert 19 <= max(map(len, pool.loads)) <= 20


@pytest.mark.parametrize("far", [False, True])
def test_a_worker_that_dies_in_the_midst_of_a_load_puts_no_chunk_on_trial_that_waited(drive, caplog, far):
    victim, lock, place = [], threading.Lock(), 3

    def work(chunk):
        # Which chunks a load has depends on who ended first; the fourth of some larger load is to die.
        (pool,) = drive.pools
        with lock:
            bundle = next(ids for ids in pool.loads if chunk.id in ids)
            if not victim and len(bundle) > place + 1 and bundle[place] == chunk.id:
                victim.append(chunk.id)
                raise Death
        return quick(chunk)

    pool, ledger, _, _ = drive(work, make_chunks(400), workers=2, threads=1, far=far)
    (name,) = victim
    lost = next(ids for ids in pool.loads if name in ids)
    again = {name for name, runs in pool.runs.items() if runs > 1}
    # what is published is done, even if nobody lived to tell; what nobody can see is done again
    assert again == (set(lost[: place + 1]) if far else {lost[place]})
    warned = [r.getMessage() for r in caplog.records if "its worker died" in r.getMessage()]
    assert len(warned) == (0 if far else 1)
    if far:
        assert all([name] in pool.loads for name in lost)
    assert entries(ledger) == list(range(3200))
    assert not ledger.failed


def test_one_entry_that_kills_its_worker_in_a_load_is_all_that_is_lost(drive):
    def work(chunk):
        if holds(chunk, 2777):
            raise Death
        return quick(chunk)

    for far in (False, True):
        pool, ledger, progress, _ = drive(work, make_chunks(400), far=far)
        assert [(f.start, f.stop) for f in ledger.failed.values()] == [(2777, 2778)]
        assert entries(ledger) == [entry for entry in range(3200) if entry != 2777]
        assert progress.done + progress.failed == progress.chunks
        assert pool.deaths <= 13
        ledger.path.unlink()


def test_a_chunk_that_hangs_in_a_load_is_found_and_its_companions_are_done(drive):
    release = threading.Event()

    def work(chunk):
        if holds(chunk, 2403):
            release.wait(60)
            raise Death
        return quick(chunk)

    limits = Limits(chunk_s=0.2, load_s=0.4)
    try:
        pool, ledger, _, _ = drive(work, make_chunks(400), limits=limits, workers=1, threads=8)
    finally:
        release.set()
    assert any(len(ids) > 1 for ids in pool.loads)
    assert [(f.start, f.stop) for f in ledger.failed.values()] == [(2403, 2404)]
    assert entries(ledger) == [entry for entry in range(3200) if entry != 2403]


def test_chunks_that_raise_in_a_load_are_tried_alone_and_given_up(drive):
    bad = {f"{'f' * 32}-Events-{i * SIZE}-{i * SIZE + SIZE}" for i in range(0, 400, 17)}

    def work(chunk):
        if chunk.id in bad:
            raise InputError(chunk.url, "gone", retryable=True)
        return quick(chunk)

    pool, ledger, progress, _ = drive(work, make_chunks(400))
    assert set(ledger.failed) == bad
    assert all(pool.runs[name] == 5 for name in bad)
    assert all(pool.loads.count([name]) >= 4 for name in bad)
    assert sum(pool.runs.values()) == 400 + 4 * len(bad)
    assert (progress.done, progress.failed) == (400 - len(bad), len(bad))
