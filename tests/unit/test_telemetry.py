"""What dashboard and metrics show of a running campaign."""

import pytest
from receipts import CHUNK, make_receipt

from e2edist.accounting import telemetry
from e2edist.accounting.progress import Progress, ProgressTracker
from e2edist.accounting.telemetry import Telemetry, running
from e2edist.pools._dashboard_page import _Metrics, curves, headline, shown, stages


def receipt(pool, start, seconds=2.0, setup_s=0.0):
    stages = {"eventsetup": (1e3 * setup_s, 1.0, 0)}
    stages |= {"source": (500.0 * seconds, 1.0, 100), "EGTagger": (500.0 * seconds, 1.0, 50)}
    chunk = CHUNK.part(start, start + 100)
    return make_receipt(chunk, pool=pool, host="node1", rows=50, stages=stages)


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(telemetry.time, "time", lambda: now[0])
    return now


def sample(one, joined=1, **counts):
    """Add a point with the given counts."""
    for name, value in counts.items():
        setattr(one.tracker.counts, name, value)
    one.tracker.publish()
    one.tracker.set_pools({"gpu": (4, 2, joined, joined)})
    one.sample()


@pytest.fixture
def one():
    return Telemetry("eg -> out", "EGTagger", ProgressTracker(Progress(20, 2000)))


def test_rate_and_busy_fraction_of_the_curves_are_those_of_the_points(clock, one):
    for i in range(5):
        sample(one, threads=2)
        one.done(receipt("gpu", 100 * i))
        clock[0] += 2.0
    sample(one, done=5, events_done=500)
    snapshot = one.snapshot()
    curve = curves(snapshot)["gpu"]
    assert curve["rate"][-1] == pytest.approx(50.0)
    assert curve["busy"][-1] == pytest.approx(0.25)  # a second in the model of two seconds of two threads
    assert curve["joined"][-1] == 1
    assert "<b>5</b> of 20 chunks done" in headline(snapshot)


def test_the_bars_of_a_pool_stand_end_to_end_in_ms_per_event(one):
    for pool, seconds in (("gpu", 1.0), ("cpu", 4.0)):
        one.done(receipt(pool, 0, seconds, setup_s=9.0))
    bars = stages(one.snapshot())
    assert list(bars) == ["source", "EGTagger"]  # setting up is no part of an event's time
    assert bars["source"] == {"pool": ["gpu", "cpu"], "left": [0.0, 0.0], "right": [5.0, 20.0]}
    assert bars["EGTagger"] == {"pool": ["gpu", "cpu"], "left": [5.0, 20.0], "right": [10.0, 40.0]}


def test_nothing_grows_without_end(clock, one):
    for i in range(3000):
        sample(one, done=i, events_done=100 * i)
        one.done(receipt("gpu", i, seconds=i))
        one.failed(f"entry {i}")
        clock[0] += 2.0
    snapshot = one.snapshot()
    assert len(snapshot.points) <= 600
    assert snapshot.points[0].t == 1000.0
    assert [round(row[0]) for row in snapshot.slowest] == list(range(2999, 2989, -1))
    assert snapshot.failures[-1] == "entry 2999"
    assert len(snapshot.failures) == 10


def test_metrics_are_there_while_a_campaign_is_shown_and_not_after(one):
    with shown(one):
        one.done(receipt("gpu", 0))
        one.tracker.counts.add_done("gpu", 100)
        sample(one, joined=3)
        found = {
            (sample.name, *sample.labels.values()): sample.value
            for family in _Metrics().collect()
            for sample in family.samples
        }
        assert found["e2edist_chunks_total", "gpu"] == 1
        assert found["e2edist_events_total", "gpu"] == 100
        assert found["e2edist_stage_seconds_total", "gpu", "EGTagger"] == 1.0
        assert found["e2edist_workers", "gpu", "queued"] == 2
        assert found["e2edist_workers", "gpu", "joined"] == 3
        assert found["e2edist_events_planned",] == 2000
    assert running == []
    assert list(_Metrics().collect()) == []
