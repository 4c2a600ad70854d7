"""The driver when it is stopped, and when it has no workers."""

import logging
import threading
import time

import pyarrow as pa
import pytest
import thread_workers
from thread_workers import Death, ThreadWorkers, entries, make_chunks, quick, receipt

from e2edist.campaign import result_recorder
from e2edist.campaign.limits import Limits
from e2edist.config.controller import ControllerSpec
from e2edist.errors import (
    BranchError,
    CampaignError,
)
from e2edist.pools import controller_grace_s
from e2edist.records.folder import CampaignFolder
from e2edist.records.parts import write_part


def test_a_stop_event_ends_the_run_soon_and_keeps_what_is_done(drive):
    stop = threading.Event()

    def on_progress(progress):
        if progress.done >= 20:
            stop.set()

    _, ledger, progress, ended = drive(receipt, make_chunks(1000), on_progress=on_progress, stop=stop)
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

    def on_progress(progress):
        if progress.stopping:
            release.set()

    pool, ledger, progress, ended = drive(
        work, make_chunks(400), on_progress=on_progress, stop=stop, threads=4
    )
    assert not ended
    assert sorted(ledger.done) == sorted(begun)
    assert progress.done == len(begun) < 40
    assert any(len(ids) > 1 for ids in pool.bundles)  # of which only the chunk that ran was finished


def test_the_wait_for_chunks_that_run_at_a_stop_has_an_end(drive):
    stop, release = threading.Event(), threading.Event()

    def work(chunk):
        stop.set()
        release.wait(60)
        return receipt(chunk)

    def on_progress(progress):
        if progress.stopping:
            waited.append(time.monotonic())

    waited = []
    limits = Limits(finish_s=(0.2, 0.3))
    drive_ended = threading.Timer(60, release.set)
    drive_ended.start()
    try:
        _, ledger, progress, ended = drive(
            work, make_chunks(8), on_progress=on_progress, stop=stop, limits=limits
        )
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
        patch.setattr(thread_workers, "ThreadWorkers", Watched)
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

    apply = result_recorder.ResultRecorder._apply

    def write_late(self, state, bundle, chunk, outcome):
        apply(self, state, bundle, chunk, outcome)
        path = CampaignFolder(self._ledger.path.parent).part(chunk.id)
        write_part(path, pa.table({"entry": range(chunk.start, chunk.stop)}), lambda: receipt(chunk))

    monkeypatch.setattr(result_recorder.ResultRecorder, "_apply", write_late)
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
