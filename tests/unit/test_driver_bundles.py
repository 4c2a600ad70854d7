"""The driver and bundles of small chunks."""

import threading

import pytest
from thread_workers import SIZE, Death, entries, holds, make_chunks, quick, receipt

from e2edist.campaign.limits import Limits
from e2edist.errors import (
    InputError,
)


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
