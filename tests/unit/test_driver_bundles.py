"""The driver and bundles of small chunks."""

import threading

import pytest
from thread_workers import SIZE, Death, entries, holds, make_chunks, quick, receipt

from e2edist.campaign.limits import Limits
from e2edist.errors import (
    InputError,
)


def test_small_chunks_are_bundled_each_is_done_once_and_the_last_ones_have_tasks_of_their_own(drive):
    pool, ledger, progress, ended = drive(quick, make_chunks(400), workers=1, threads=2)
    sizes = [len(ids) for ids in pool.bundles]
    assert ended
    assert set(pool.runs.values()) == {1}
    assert entries(ledger) == list(range(3200))
    assert progress.done == progress.chunks == 400
    assert (sizes[0], sizes[-1]) == (1, 1)
    assert 19 <= max(sizes) <= 20  # tenths of a second are no binary fractions
    assert len(sizes) < 100


def test_setup_is_no_part_of_the_time_of_a_chunk(drive):
    def work(chunk):
        return receipt(chunk, stages={"eventsetup": (1e6, 0.0, 0), "source": (100.0, 0.0, SIZE)})

    pool, *_ = drive(work, make_chunks(400), workers=1, threads=1)
    assert 19 <= max(map(len, pool.bundles)) <= 20


@pytest.mark.parametrize("shared_disk", [True, False])
def test_a_worker_that_dies_counts_against_no_chunk_of_its_bundle_that_had_not_started(
    drive, caplog, shared_disk
):
    victim, lock, place = [], threading.Lock(), 3

    def work(chunk):
        # Which chunks a bundle has depends on who ended first; the fourth of some larger bundle is to die.
        (pool,) = drive.pools
        with lock:
            bundle = next(ids for ids in pool.bundles if chunk.id in ids)
            if not victim and len(bundle) > place + 1 and bundle[place] == chunk.id:
                victim.append(chunk.id)
                raise Death
        return quick(chunk)

    pool, ledger, _, _ = drive(work, make_chunks(400), workers=2, threads=1, shared_disk=shared_disk)
    (name,) = victim
    lost = next(ids for ids in pool.bundles if name in ids)
    again = {name for name, runs in pool.runs.items() if runs > 1}
    # what is published is done, even if nobody lived to tell; what nobody can see is done again
    assert again == ({lost[place]} if shared_disk else set(lost[: place + 1]))
    warned = [r.getMessage() for r in caplog.records if "its worker died" in r.getMessage()]
    assert len(warned) == (1 if shared_disk else 0)
    if not shared_disk:
        assert all([name] in pool.bundles for name in lost)
    assert entries(ledger) == list(range(3200))
    assert not ledger.failed


def test_one_entry_of_a_bundle_that_kills_its_worker_is_all_that_is_lost(drive):
    def work(chunk):
        if holds(chunk, 2777):
            raise Death
        return quick(chunk)

    for shared_disk in (True, False):
        pool, ledger, progress, _ = drive(work, make_chunks(400), shared_disk=shared_disk)
        assert [(f.start, f.stop) for f in ledger.failed.values()] == [(2777, 2778)]
        assert entries(ledger) == [entry for entry in range(3200) if entry != 2777]
        assert progress.done + progress.failed == progress.chunks
        assert pool.deaths <= 13
        ledger.path.unlink()


def test_a_chunk_of_a_bundle_that_hangs_is_found_and_the_others_are_done(drive):
    release = threading.Event()

    def work(chunk):
        if holds(chunk, 2403):
            release.wait(60)
            raise Death
        return quick(chunk)

    limits = Limits(chunk_s=0.2, bundle_s=0.4)
    try:
        pool, ledger, _, _ = drive(work, make_chunks(400), limits=limits, workers=1, threads=8)
    finally:
        release.set()
    assert any(len(ids) > 1 for ids in pool.bundles)
    assert [(f.start, f.stop) for f in ledger.failed.values()] == [(2403, 2404)]
    assert entries(ledger) == [entry for entry in range(3200) if entry != 2403]


def test_chunks_of_a_bundle_that_raise_are_tried_alone_and_given_up(drive):
    bad = {f"{'f' * 32}-Events-{i * SIZE}-{i * SIZE + SIZE}" for i in range(0, 400, 17)}

    def work(chunk):
        if chunk.id in bad:
            raise InputError(chunk.url, "gone", retryable=True)
        return quick(chunk)

    pool, ledger, progress, _ = drive(work, make_chunks(400))
    assert set(ledger.failed) == bad
    assert all(pool.runs[name] == 5 for name in bad)
    assert all(pool.bundles.count([name]) >= 4 for name in bad)
    assert sum(pool.runs.values()) == 400 + 4 * len(bad)
    assert (progress.done, progress.failed) == (400 - len(bad), len(bad))
