"""What a running campaign shows of itself."""

import pytest
from receipts import CHUNK, make_receipt

from e2edist.accounting import telemetry
from e2edist.accounting.progress import Progress
from e2edist.accounting.telemetry import Telemetry, running
from e2edist.pools._dashboard_page import _Metrics, curves, headline, shown, stages


def receipt(pool, start, seconds=2.0):
    stages = {"source": (500.0 * seconds, 1.0, 100), "EGTagger": (500.0 * seconds, 1.0, 50)}
    chunk = CHUNK.part(start, start + 100)
    return make_receipt(chunk, pool=pool, host="node1", rows=50, stages=stages)


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(telemetry.time, "time", lambda: now[0])
    return now


def workers(joined=1):
    return {"gpu": {"queued": 2, "running": joined, "joined": joined}}


def test_rate_busy_fraction_and_forecast_are_those_of_the_points(clock):
    one = Telemetry("eg -> out", "EGTagger")
    for i in range(5):
        one.sample(Progress(20, 2000, i, 0, 100 * i, workers=2), workers())
        one.done(receipt("gpu", 100 * i))
        clock[0] += 2.0
    one.sample(Progress(20, 2000, 5, 0, 500, workers=2), workers())
    look = one.look()
    assert look.rate() == pytest.approx(50.0)
    assert look.eta_s() == pytest.approx(30.0)
    curve = curves(look)["gpu"]
    assert curve["rate"][-1] == pytest.approx(50.0)
    assert curve["busy"][-1] == pytest.approx(0.25)  # a second in the model of two seconds of two threads
    assert curve["joined"][-1] == 1
    assert "<b>5</b> of 20 chunks done" in headline(look)
    assert "0:00:30" in headline(look)


def test_the_bars_of_a_pool_stand_end_to_end_in_ms_per_event(clock):
    one = Telemetry("x", "EGTagger")
    for pool, seconds in (("gpu", 1.0), ("cpu", 4.0)):
        one.done(receipt(pool, 0, seconds))
    bars = stages(one.look())
    assert bars["source"] == {"pool": ["gpu", "cpu"], "left": [0.0, 0.0], "right": [5.0, 20.0]}
    assert bars["EGTagger"] == {"pool": ["gpu", "cpu"], "left": [5.0, 20.0], "right": [10.0, 40.0]}


def test_nothing_grows_without_end(clock):
    one = Telemetry("x", "EGTagger")
    for i in range(3000):
        one.sample(Progress(10**5, 10**7, i, 0, 100 * i), workers())
        one.done(receipt("gpu", i, seconds=i))
        one.failed(f"entry {i}")
        clock[0] += 2.0
    look = one.look()
    assert len(look.points) <= 600
    assert look.points[0].t == 1000.0
    assert [round(row[0]) for row in look.slowest] == list(range(2999, 2989, -1))
    assert look.failures[-1] == "entry 2999"
    assert len(look.failures) == 10


def test_metrics_are_there_while_a_campaign_is_shown_and_not_after(clock):
    one = Telemetry("x", "EGTagger")
    with shown(one):
        one.done(receipt("gpu", 0))
        one.sample(Progress(20, 2000, 1, 0, 100), workers(joined=3))
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
