"""What the rest of a campaign would take, from chunks made by hand."""

import io
from threading import Event

import pytest
from receipts import make_receipt

from e2edist.accounting.estimate import Measured, Sampler, best, enough_chunks, extrapolate, measure_pools
from e2edist.accounting.progress import Progress
from e2edist.cli.console import make_console
from e2edist.cli.tables import print_estimate

GPU = {"kind": "slurm", "threads": 2, "workers": 4, "nodes": 1.0, "gpus": 4, "factor": 2.0, "unit": "h"}
CPU = {"kind": "slurm", "threads": 8, "workers": 1, "nodes": 0.5, "gpus": 0, "factor": 1.0, "unit": "h"}


def receipt(pool, events, seconds, setup=0.0):
    stages = {"eventsetup": [setup * 1e3, 0.0, 0], "source": [seconds * 1e3, 0.0, events]}
    return make_receipt(pool=pool, events=events, stages=stages)


def test_rates_leave_setting_up_out_and_know_their_spread():
    found = measure_pools([receipt("gpu", 100, 1.0, 7.0), receipt("gpu", 100, 2.0), receipt("cpu", 0, 1.0)])
    assert found.keys() == {"gpu"}
    gpu = found["gpu"]
    assert gpu.rates == [100.0, 50.0]
    assert (gpu.rate, gpu.setup_s) == (75.0, 7.0)
    assert gpu.spread == pytest.approx(35.355 / 2**0.5 / 75, rel=1e-3)
    assert Measured([5.0]).spread == 1.0


def test_time_hours_and_charge_follow_from_rate_and_number_of_jobs():
    measured = {"gpu": Measured([100.0, 100.0], setup_s=10.0)}
    found = extrapolate(measured, {"gpu": GPU}, {"gpu": 4}, 80_000, 50.0)
    assert [one.jobs for one in found] == [1, 2, 4, 8, 16, 32, 64]
    one = found[2]  # 4 jobs of 4 workers of 2 threads
    assert one.seconds == pytest.approx(50 + 10 + 80_000 / (100 * 32))
    hours = 4 * one.seconds / 3600
    assert (one.node_h, one.gpu_h, one.charge) == pytest.approx((hours, 4 * hours, 2 * hours))
    assert one.spread == 0.0
    assert one.core_h == pytest.approx(8 * hours)


def test_where_nothing_is_charged_the_fewest_core_hours_are_the_cheapest():
    measured = {"cpu": Measured([10.0, 10.0], setup_s=10.0)}
    choices = extrapolate(measured, {"cpu": CPU | {"nodes": 0.0}}, {"cpu": 4}, 10**5, 60.0)
    cheap, fast = best(choices)
    assert (cheap.jobs, fast.jobs) == (1, 64)


@pytest.mark.parametrize(
    ("facts", "charged", "has", "lacks"),
    [
        (CPU, True, ["node h", "charge"], ["core h"]),
        (CPU | {"nodes": 0.0}, True, ["core h"], ["node h", "charge", "GPU h"]),
        (CPU | {"nodes": 0.0, "gpus": 1}, True, ["core h", "GPU h"], ["node h", "charge"]),
        (CPU, False, [], ["core h", "node h", "charge"]),
    ],
)
def test_an_estimate_shows_the_hours_that_somebody_counts(facts, charged, has, lacks):
    choices = extrapolate({"cpu": Measured([10.0, 10.0])}, {"cpu": facts}, {"cpu": 1}, 10**5, 60.0)
    said = io.StringIO()
    print_estimate(make_console(file=said, width=80), choices, [], 10**5, charged=charged)
    assert all(word in said.getvalue() for word in ["time to finish", *has])
    assert not any(word in said.getvalue() for word in lacks)


def test_the_cheapest_and_the_fastest_are_found_over_all_pools():
    measured = {"gpu": Measured([1000.0, 1000.0]), "cpu": Measured([10.0, 10.0])}
    facts = {"gpu": GPU, "cpu": CPU}
    choices = extrapolate(measured, facts, {"gpu": 1, "cpu": 1}, 10**6, 60.0)
    cheap, fast = best(choices)
    assert (cheap.pool, cheap.jobs) == ("gpu", 1)
    assert (fast.pool, fast.jobs) == ("gpu", 16)
    assert cheap.charge == min(one.charge for one in choices)
    assert fast.seconds == min(one.seconds for one in choices)
    assert best([]) is None


def test_a_sample_ends_when_every_pool_has_done_enough_or_its_time_is_over():
    wanted = enough_chunks({"gpu": GPU, "cpu": CPU})
    assert wanted == {"gpu": 4, "cpu": 16}
    sampler = Sampler(Event(), wanted, 100.0)
    sampler.on_progress(Progress(99, 1))
    assert not sampler.stop.is_set()
    sampler.on_progress(Progress(99, 1, done_by={"gpu": 9, "cpu": 15}, start_s=520.0, elapsed_s=0.0))
    assert not sampler.stop.is_set()
    assert sampler.start_s == 520.0
    sampler.on_progress(Progress(99, 1, done_by={"gpu": 9, "cpu": 16}, start_s=520.0, elapsed_s=10.0))
    assert sampler.stop.is_set()
    late = Sampler(Event(), wanted, 100.0)
    late.on_progress(Progress(99, 1, elapsed_s=100.0))
    assert not late.stop.is_set()
    late.on_progress(Progress(99, 1, elapsed_s=101.0))
    assert late.stop.is_set()
