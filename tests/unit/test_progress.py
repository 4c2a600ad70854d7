"""Counts, rates and remaining time of a run: one model, whoever shows them, by a clock that the test sets."""

import io
import json
import re
import time

import pytest
from receipts import CHUNK, make_receipt
from rich.console import Console

from e2edist.accounting import progress as progress_module
from e2edist.accounting.progress import Progress, ProgressTracker
from e2edist.accounting.telemetry import Telemetry
from e2edist.campaign import heartbeat as heartbeat_module
from e2edist.campaign.heartbeat import Heartbeat, heartbeat
from e2edist.campaign.heartbeat_record import HeartbeatRecord
from e2edist.cli.progress import emit_progress, show_progress
from e2edist.config.site import PoolSpec
from e2edist.control.status_screen import rate_line
from e2edist.pools._dashboard_page import _Metrics, headline, shown


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def tracker(clock):
    return ProgressTracker(Progress(100, 10_000))


def published(tracker, **counts):
    """Publish changed counts; return mean rate, current rate and remaining seconds."""
    for name, value in counts.items():
        setattr(tracker.counts, name, value)
    tracker.publish()
    progress = tracker.snapshot()
    return progress.rate, progress.rate_now, progress.eta_s


# ---- rates


def test_there_is_no_rate_before_a_worker_is_there(clock, tracker):
    assert published(tracker, events_done=3000) == (None, None, None)
    clock[0] += 30
    assert published(tracker) == (None, 0.0, None)


def test_rates_leave_earlier_runs_and_the_wait_for_workers_out_and_the_rest_takes_the_mean(clock, tracker):
    published(tracker, events_done=3000)
    clock[0] += 500
    published(tracker, threads=1)
    clock[0] += 20
    assert published(tracker, events_done=4000) == (50.0, pytest.approx(50.0), 120)
    clock[0] += 20
    assert published(tracker, events_done=7000) == (100.0, pytest.approx(100.0), 30)
    # A worker that leaves does not restart the measurement.
    clock[0] += 40
    assert published(tracker, threads=0) == (50.0, pytest.approx(50.0), 60)
    end = tracker.snapshot()
    assert (end.start_s, end.elapsed_s) == (500.0, 80.0)


def test_the_current_rate_is_that_of_the_last_minute(clock, tracker):
    published(tracker, threads=1)
    for number, step in [(100, 10), (12, 500)]:
        for _ in range(number):
            published(tracker)
            clock[0] += 10
            tracker.counts.events_done += step
    mean, now, _ = published(tracker)
    assert mean == pytest.approx(7000 / 1120, rel=1e-3)
    assert now == pytest.approx(50.0)


def test_rates_are_of_the_moment_at_which_they_are_read(clock, tracker):
    published(tracker, threads=1)
    clock[0] += 10
    published(tracker, events_done=1000)
    assert tracker.snapshot().rate == 100.0
    clock[0] += 10  # the driver is busy
    assert tracker.snapshot().rate == 50.0
    assert tracker.snapshot().eta_s == 180


def test_closing_the_pools_does_not_lower_the_rate(clock, tracker):
    published(tracker, threads=1)
    clock[0] += 10
    tracker.stop_clock()
    clock[0] += 60
    assert published(tracker, events_done=1000) == (100.0, 100.0, 90)
    assert tracker.snapshot().elapsed_s == 10.0


def test_the_workers_that_did_it_are_told_to_the_end(clock, tracker):
    tracker.set_pools({"cpu": (2, 0, 2, 2)})
    tracker.stop_clock()
    tracker.set_pools({"cpu": (2, 0, 0, 0)})  # the pools close
    assert tracker.snapshot().pools == {"cpu": (2, 0, 2, 2)}


class _Pool:
    name, dashboard, failure_reason = "cpu", "", ""

    def counts(self):
        return {"queued": 0, "running": 2, "joined": 2}

    def job_seconds(self):
        return 12.0, 3.0


def test_workers_that_come_are_written_down_at_once_and_what_jobs_took_in_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(heartbeat_module, "INTERVAL_S", 60.0)
    tracker = ProgressTracker(Progress(4, 100))
    beat = Heartbeat(tmp_path, {"cpu": PoolSpec(workers=2)}, Telemetry("eg -> out", "EGTagger", tracker))
    with heartbeat(beat):
        beat.add_pool(_Pool())
        tracker.counts.threads = 2
        deadline = time.monotonic() + 30
        while tracker.snapshot().pools["cpu"] != (2, 0, 2, 2):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    last = json.loads((tmp_path / "usage.jsonl").read_text().splitlines()[-1])
    assert last["jobs"] == {"cpu": [2, 2, 0.0, 12.0, 3.0]}


def test_nothing_is_left_when_all_events_are_done(clock, tracker, tmp_path):
    published(tracker, threads=1)
    clock[0] += 10
    assert published(tracker, done=100, events_done=10_000) == (1000.0, 1000.0, 0)
    with heartbeat(Heartbeat(tmp_path, {}, Telemetry("eg -> out", "EGTagger", tracker))):
        pass
    content = json.loads((tmp_path / "progress.json").read_text())
    assert [content[key] for key in ("state", "error", "eta_s", "events_done")] == ["done", "", 0, 10_000]


def test_a_snapshot_does_not_change_with_the_counts(tracker):
    tracker.counts.add_done("gpu", 100)
    tracker.publish()
    snapshot = tracker.snapshot()
    tracker.counts.add_done("gpu", 100)
    tracker.counts.add_lost_time("gpu", 5.0)
    assert (snapshot.done, snapshot.done_by, snapshot.lost_s) == (1, {"gpu": 1}, {})
    assert tracker.snapshot().done == 1  # not published yet


# ---- who shows them


class OnePool:
    name, dashboard, failure_reason = "gpu", "http://127.0.0.1:8787/status", ""

    def counts(self):
        return {"queued": 2, "running": 3, "joined": 3}


def numbers(text):
    """Return the numbers of a text, of which times count in seconds."""
    text = re.sub(r"(\d+):(\d\d):(\d\d)", lambda m: str(int(m[1]) * 3600 + int(m[2]) * 60 + int(m[3])), text)
    return [int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", re.sub("<.*?>", " ", text))]


def test_terminal_events_page_metrics_file_and_status_give_the_same_numbers_at_the_same_moment(
    clock, tmp_path
):
    terminal, events = io.StringIO(), []
    specs = {"gpu": PoolSpec(workers=4)}
    with show_progress(Console(file=terminal, width=200), "eg") as show:
        emit = emit_progress(events.append)
        tracker = ProgressTracker(Progress(100, 10_000), lambda progress: (show(progress), emit(progress)))
        telemetry = Telemetry("run", "EGTagger", tracker)
        beat = Heartbeat(tmp_path, specs, telemetry)
        beat.add_pool(OnePool())
        with shown(telemetry), heartbeat(beat):
            tracker.counts.threads = 6  # of three workers
            tracker.publish()
            clock[0] += 120
            for number in range(30):
                telemetry.done(make_receipt(CHUNK.part(number, number + 1), pool="gpu"))
                tracker.counts.add_done("gpu", 100)
            tracker.counts.failed = 2
            tracker.publish()
            beat.end(None)
            page = headline(telemetry.snapshot())
            metrics = {
                (sample.name, *sample.labels.values()): sample.value
                for family in _Metrics().collect()
                for sample in family.samples
            }
    file = json.loads((tmp_path / "progress.json").read_text())
    chunks, done, failed, all_events, events_done, rate, now, eta = 100, 30, 2, 10_000, 3000, 25, 25, 280

    line = terminal.getvalue().splitlines()[-1]
    assert numbers(line) == [done, chunks, rate, eta, now, 3, 4, 2, failed]
    assert numbers(page) == [done, chunks, failed, events_done, all_events, rate, eta]
    for facts in (file, events[-1]):
        keys = ("chunks", "done", "failed", "events", "events_done", "rate", "rate_now", "eta_s")
        expected = [chunks, done, failed, all_events, events_done, rate, now, eta]
        assert [facts[key] for key in keys] == expected
        assert (facts["workers"], facts["threads"]) == (3, 6)
    assert (file["events_per_s"], file["events_per_s_now"]) == (rate, now)
    assert events[-1]["pools"] == {"gpu": (4, 2, 3, 3)}
    assert file["pools"]["gpu"].items() >= {"wanted": 4, "queued": 2, "running": 3, "joined": 3}.items()
    assert metrics["e2edist_chunks_planned",] == chunks
    assert metrics["e2edist_chunks_total", "gpu"] == done
    assert metrics["e2edist_chunks_failed_total",] == failed
    assert (metrics["e2edist_events_planned",], metrics["e2edist_events_done",]) == (all_events, events_done)
    assert metrics["e2edist_workers", "gpu", "queued"] == 2
    assert numbers(rate_line(HeartbeatRecord.of(file).progress)) == [now, rate, eta]


def test_the_first_worker_is_told_at_once(tmp_path):
    tracker = ProgressTracker(Progress(100, 10_000))
    pool = OnePool()
    pool.counts = lambda: {"queued": 0, "running": tracker.counts.threads, "joined": tracker.counts.threads}
    beat = Heartbeat(tmp_path, {"gpu": PoolSpec(workers=3)}, Telemetry("run", "EGTagger", tracker))
    beat.add_pool(pool)
    with heartbeat(beat):
        tracker.counts.threads = 3
        end = time.monotonic() + 1.5  # before the next heartbeat is due
        while tracker.snapshot().pools.get("gpu") != (3, 0, 3, 3):
            assert time.monotonic() < end
            time.sleep(0.05)


@pytest.mark.parametrize(
    ("counts", "line"),
    [
        ({}, "waiting for workers"),
        ({"threads": 1, "rate": 0.0, "rate_now": 0.0}, "first chunks: workers load code and model"),
        ({"threads": 1, "rate": 0.0, "failed": 1}, "no events yet"),
        (
            {"threads": 1, "rate": 9.0, "done_by": {"cpu": 1}, "eta_s": 5},
            "0 events/s now, 9 mean, ETA 0:00:05",
        ),
    ],
)
def test_status_gives_no_rate_that_is_not_known(counts, line):
    assert rate_line(Progress(8, 800, **counts)) == line


def test_the_keys_of_file_and_events_stay_as_programs_know_them(tracker, tmp_path):
    counts = {
        *("chunks", "events", "done", "failed", "events_done", "in_flight", "lost_s", "done_by"),
        *("workers", "threads"),
        *("rate", "rate_now", "eta_s", "pools", "stopping", "finished_late", "cut_off", "warnings"),
    }
    assert tracker.snapshot().facts().keys() == counts
    with heartbeat(Heartbeat(tmp_path, {}, Telemetry("eg", "EGTagger", tracker))):
        file = json.loads((tmp_path / "progress.json").read_text())
    rates = {"events_per_s", "events_per_s_now"}
    assert file.keys() == counts | rates | {
        *("host", "pid", "controller", "started", "state", "error", "updated")
    }
