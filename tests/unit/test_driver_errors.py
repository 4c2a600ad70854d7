"""The driver and chunks that raise: bugs, bad entries, files and models."""

import threading
import time
from collections import Counter
from dataclasses import replace

import pytest
from thread_workers import SIZE, ThreadWorkers, entries, holds, make_chunks, receipt

from e2edist.accounting.progress import Progress, ProgressTracker
from e2edist.campaign import retry_policy
from e2edist.campaign.cross_pool_check import CrossPoolCheck
from e2edist.campaign.driver import Driver
from e2edist.campaign.limits import Limits
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
from e2edist.records.ledger import Ledger
from e2edist.worker import run_bundle

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
    tracker = ProgressTracker(Progress(2000, 16000))
    check = CrossPoolCheck(0.0, {"good": "", "bad": ""})
    one = Driver({"good": good, "bad": bad}, ledger, tracker, threading.Event(), Limits(), check)
    try:
        with pytest.raises(ProgrammingError, match="NameError: oops"):
            one.run(make_chunks(2000))
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
    assert "EntriesError: basket is damaged" in failure.reason
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
