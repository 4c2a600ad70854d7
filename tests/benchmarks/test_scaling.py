"""Simulated campaigns are the real driver's, on a clock of their own."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import scaling
import scaling_runs
from receipts import make_receipt
from simulated import make_plan
from virtual import Work, simulate

from e2edist.campaign import driver

ROOT = Path(__file__).resolve().parents[2]
#: Of a busy machine: one standard deviation is a fifth.
SCATTER = tuple(np.random.default_rng(0).lognormal(0, 0.2, 200))


@pytest.mark.parametrize("workers", [1, 7, 64])
def test_equal_chunks_take_the_ideal_time(workers):
    # Eight chunks of ten seconds for each worker.
    run = simulate(make_plan(8 * workers, chunk_events=1000), workers, Work(0.0, 0.01))
    assert run.wall_s == pytest.approx(80, rel=0.05)
    assert run.wall_s >= 80 - 1e-6
    assert run.efficiency == pytest.approx(80 / run.wall_s)
    assert run.tail_loss < 0.05
    assert run.start_loss == 0


def test_a_seed_decides_everything():
    work = Work(0.5, 0.01, SCATTER, starts=(1.0, 20.0), setups=(2.0, 3.0), gap=0.02, dispatch=0.001)
    runs = [simulate(make_plan(320, chunk_events=1000), 32, work, seed) for seed in (1, 1, 2)]
    assert runs[0] == runs[1]
    assert runs[0].wall_s != runs[2].wall_s


def test_scatter_costs_little_where_workers_have_ten_minutes_of_work():
    work = Work(0.5, 0.06, SCATTER, setups=(3.0,), gap=0.02, dispatch=0.001)
    run = simulate(make_plan(640, chunk_events=1000), 64, work)
    assert run.tail_loss < 0.05
    assert run.efficiency > 0.9


def test_worker_time_is_work_start_up_tail_and_pauses():
    late = Work(0.0, 0.01, starts=(0.0, 30.0))
    run = simulate(make_plan(80, chunk_events=1000), 8, late)
    assert run.start_loss > 0
    assert run.efficiency + run.start_loss + run.tail_loss == pytest.approx(1)
    pauses = simulate(make_plan(80, chunk_events=1000), 8, Work(0.0, 0.01, gap=0.5))
    assert pauses.efficiency + pauses.start_loss + pauses.tail_loss < 0.97


def test_a_worker_that_nobody_needs_is_lost_time():
    run = simulate(make_plan(1, chunk_events=1000), 4, Work(0.0, 0.01))
    assert (run.efficiency, run.start_loss) == (pytest.approx(0.25), pytest.approx(0.75))


def test_the_driver_has_its_clock_back_afterwards():
    simulate(make_plan(2), 1, Work(0.0, 0.01))
    assert driver.time is time


def receipt(pid, started, events, seconds, setup=0.0):
    stages = {"eventsetup": (setup * 1e3, 0.0, 0), "source": (seconds * 1e3, 0.0, events)}
    return make_receipt(pid=pid, started=started, events=events, stages=stages)


def test_times_of_a_campaign_are_split_into_chunk_and_event(monkeypatch, tmp_path):
    receipts = [
        receipt(1, 110.0, 100, 2.0, setup=3.0),
        receipt(1, 115.5, 200, 3.0),
        receipt(2, 112.0, 300, 4.0),
    ]
    plan = make_plan(1)
    plan.write(tmp_path)
    monkeypatch.setattr(scaling, "read_receipts", lambda folder, fingerprint: iter(receipts))
    lines = [
        {"run": "x", "pools": {}},
        {"run": "x", "t": 100.0, "jobs": {}},
        {"run": "x", "t": 120.0, "jobs": {}},
    ]
    (tmp_path / "usage.jsonl").write_text("\n".join(map(json.dumps, lines)))
    work = scaling.work_of([tmp_path], dispatch_ms=2.0)
    assert (work.fixed, work.per_event) == (pytest.approx(1.0), pytest.approx(0.01))
    assert work.ratios == pytest.approx((1, 1, 1))
    assert (work.starts, work.setups) == ((10.0, 12.0), (3.0, 0.0))
    assert (work.gap, work.dispatch) == (pytest.approx(0.5), 0.002)


def test_efficiencies_are_medians_of_each_round_against_its_fewest_workers():
    def some(events, *walls):
        return [{"events": events, "wall_s": wall, "busy": 0.9, "cpu_us": 20.0} for wall in walls]

    runs = {("strong", 1): some(100, 9.0, 10.0, 30.0), ("strong", 2): some(100, 4.5, 6.25, 30.0)}
    runs |= {("weak", 1): some(50, 5.0), ("weak", 2): some(100, 6.25)}
    strong, weak = scaling_runs.series(runs, "here")
    assert [p["efficiency"] for p in strong["points"]] == [1.0, pytest.approx(0.8)]
    assert strong["points"][1]["rounds"] == pytest.approx([1.0, 0.8, 0.5])
    assert [p["efficiency"] for p in weak["points"]] == [1.0, pytest.approx(0.8)]


def test_a_measured_campaign_s_time_begins_where_a_worker_has_set_up(monkeypatch, tmp_path):
    receipts = [receipt(1, 110.0, 100, 2.0, setup=3.0), receipt(2, 112.0, 300, 4.0, setup=2.0)]
    make_plan(1).write(tmp_path)
    monkeypatch.setattr(scaling_runs, "read_receipts", lambda folder, fingerprint: iter(receipts))
    found = scaling_runs.times(tmp_path)
    assert (found["events"], found["wall_s"], found["cpu_us"]) == (400, 5.0, 0.0)
    assert found["busy"] == pytest.approx(6 / 10)


@pytest.mark.slow
def test_campaigns_are_measured_simulated_and_drawn(tmp_path, monkeypatch):
    monkeypatch.setenv("E2EDIST_DATA", "/nonexistent")

    def run(*line):
        done = subprocess.run(
            [sys.executable, *map(str, line)], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    kept, files = tmp_path / "kept", [tmp_path / "measured.json", tmp_path / "simulated.json"]
    here = Path("tests/benchmarks")
    run(here / "scaling_runs.py", "local", "--copies", 1, "--rounds", 1, "--keep", kept, "--json", files[0])
    outs = sorted(kept.glob("local-*/out"))
    assert len(outs) == 3
    said = run(here / "scaling.py", *outs, "--workers", 1, 16, "--minutes", 1, "--json", files[1])
    assert "tail" in said
    run("-m", "e2edist.report", outs[0], "--no-images", "--scaling", *files)
    assert (outs[0] / "report" / "scalability.pdf").exists()


@pytest.mark.slow
def test_a_large_file_is_planned_run_and_told_about():
    line = [sys.executable, "tests/benchmarks/large.py", "8000", "--cluster", "1000", "--minutes", "2"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["plan"]["clusters"] == 8
    whole = found["campaign"]
    assert (whole["whole"], whole["code"], whole["events"]) == (True, 0, 8000)
