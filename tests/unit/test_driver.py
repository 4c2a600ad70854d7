"""The driver: what is in flight, workers that die, portions, and what the log says."""

import threading
import time
from collections import Counter

import pytest
from thread_workers import SIZE, Death, Dropped, entries, holds, make_chunks, receipt

from e2edist.campaign.limits import Limits

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


def test_tasks_that_get_lost_a_few_times_count_against_no_chunk(drive):
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
