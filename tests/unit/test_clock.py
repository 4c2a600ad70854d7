"""The clock of stages: they and the rest add up to the time that passed."""

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_campaign import edges_only

from e2edist.records.receipt import add_times
from e2edist.worker.clock import OTHER, Clock


def test_stages_and_the_rest_add_up_to_the_time_of_the_clock():
    began = time.perf_counter()
    clock = Clock()
    for name in ("read", "infer", "read"):
        with clock.stage(name, 10):
            time.sleep(0.02)
        time.sleep(0.01)
    with clock.stage("write", 5):
        time.sleep(0.02)
        times = clock.times()
    taken = (time.perf_counter() - began) * 1e3
    assert {name: items for name, (_, _, items) in times.items()} == {
        "read": 20,
        "infer": 10,
        "write": 5,
        OTHER: 0,
    }
    assert times["read"][0] >= 40
    assert times["write"][0] >= 20
    assert times[OTHER][0] >= 30
    assert 110 <= sum(wall for wall, _, _ in times.values()) <= taken + 0.01
    assert sum(cpu for _, cpu, _ in times.values()) < 60


def test_the_cpu_time_of_a_stage_is_that_of_its_own_thread():
    clock, done = Clock(), threading.Event()
    neighbour = threading.Thread(target=lambda: [sum(range(1000)) for _ in iter(done.is_set, True)])
    neighbour.start()
    with clock.stage("wait"):
        time.sleep(0.1)
    done.set()
    neighbour.join()
    wall, cpu, _ = clock.times()["wait"]
    assert wall >= 100
    assert cpu < 50


def test_a_stage_that_fails_still_counts():
    clock = Clock()
    with pytest.raises(ValueError, match="x"), clock.stage("read", 3):
        raise ValueError("x")
    assert clock.times()["read"][2] == 3


times = st.dictionaries(st.sampled_from("abcd"), st.tuples(*[st.integers(0, 9)] * 3), max_size=4)


@edges_only
@given(times, times, times)
def test_adding_times_is_associative_and_loses_nothing(a, b, c):
    assert add_times(add_times(a, b), c) == add_times(a, add_times(b, c))
    total = add_times(a, b)
    assert sum(map(sum, total.values())) == sum(map(sum, a.values())) + sum(map(sum, b.values()))
