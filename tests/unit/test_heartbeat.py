"""What a running driver tells of its speed, by a clock that the test sets."""

import json

import pytest

from e2edist.accounting.progress import Progress
from e2edist.accounting.telemetry import Telemetry
from e2edist.campaign import heartbeat
from e2edist.campaign.heartbeat import Heartbeat
from e2edist.records.folder import CampaignFolder


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(heartbeat.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def heart(tmp_path):
    return Heartbeat(tmp_path, {}, Progress(100, 10_000), Telemetry("eg -> out", "EGTagger"))


def told(heart, progress):
    heart.note(progress)
    return progress.rate, progress.rate_now, progress.eta_s


def test_there_is_no_rate_before_a_worker_is_there(clock, heart):
    progress = Progress(100, 10_000, events_done=3000)
    assert told(heart, progress) == (None, None, None)
    clock[0] += 30
    assert told(heart, progress) == (None, 0.0, None)


def test_rates_leave_earlier_runs_and_the_wait_for_workers_out_and_the_rest_takes_the_mean(clock, heart):
    progress = Progress(100, 10_000, events_done=3000)
    heart.note(progress)
    clock[0] += 500
    progress.workers = 1
    heart.note(progress)
    clock[0] += 20
    progress.events_done += 1000
    assert told(heart, progress) == (50.0, pytest.approx(50.0), 120)
    clock[0] += 20
    progress.events_done += 3000
    assert told(heart, progress) == (100.0, pytest.approx(100.0), 30)
    # A worker that leaves does not begin the count anew.
    progress.workers = 0
    clock[0] += 40
    assert told(heart, progress) == (50.0, pytest.approx(50.0), 60)


def test_the_rate_of_now_is_that_of_the_last_minute(clock, heart):
    progress = Progress(100, 10_000, workers=1)
    for _ in range(100):
        heart.note(progress)
        clock[0] += 10
        progress.events_done += 10
    for _ in range(12):
        heart.note(progress)
        clock[0] += 10
        progress.events_done += 500
    mean, now, _ = told(heart, progress)
    assert mean == pytest.approx(7000 / 1120, rel=1e-3)
    assert now == pytest.approx(50.0)


def test_nothing_is_left_when_all_events_are_done(clock, heart, tmp_path):
    progress = Progress(1, 100, workers=1)
    heart.note(progress)
    clock[0] += 10
    progress.done, progress.events_done = 1, 100
    assert told(heart, progress) == (10.0, 10.0, 0)
    heart.start()
    heart.end(None)
    said = json.loads(CampaignFolder(tmp_path).heartbeat.read_text())
    assert (said["state"], said["error"], said["eta_s"], said["events_done"]) == ("done", "", 0, 100)
