"""How much of a chunk a pool is given."""

import math

from hypothesis import given
from hypothesis import strategies as st

from e2edist.campaign.throughput import ThroughputModel, portion
from e2edist.campaign.work_queue import PendingQueue
from e2edist.records.chunk import Chunk

LIMITS = (5.0, 300.0)


def test_a_pool_that_is_not_measured_gets_whole_chunks():
    assert portion(10_000, 0.0, 1.0, LIMITS) == 10_000


def test_a_slow_pool_gets_what_it_does_in_the_longest_time():
    assert portion(10_000, 10.0, 1e9, LIMITS) == 3000


def test_a_fast_pool_gets_the_whole_chunk():
    assert portion(10_000, 1000.0, 1e9, LIMITS) == 10_000


def test_towards_the_end_a_thread_gets_a_third_of_its_share_of_what_is_left():
    assert portion(10_000, 100.0, 6000.0, LIMITS) == 2000


def test_no_piece_is_shorter_than_the_least_time():
    assert portion(10_000, 100.0, 3.0, LIMITS) == 500


def test_far_from_the_end_a_thread_gets_what_it_does_in_the_longest_time():
    assert portion(10_000, 10.0, math.inf, LIMITS) == 3000


def test_a_short_rest_is_not_left_behind():
    assert portion(700, 100.0, 1500.0, LIMITS) == 700


@given(
    st.integers(1, 10**7),
    st.floats(0, 1e6),
    st.one_of(st.floats(0, 1e9), st.just(math.inf)),
    st.floats(0.1, 10),
    st.floats(10, 1000),
)
def test_a_portion_is_never_empty_nor_more_than_there_is(have, rate, share, least, most):
    assert 1 <= portion(have, rate, share, (least, most)) <= have


def test_the_rate_is_events_over_seconds_of_the_threads_together():
    throughput = ThroughputModel()
    throughput.add(100, 1.0)
    assert throughput.rate == 0  # too short to mean anything
    throughput.add(300, 1.0)
    assert throughput.rate == 200


@given(st.lists(st.sampled_from(["extend", "put_back", "pop"])))
def test_pending_chunks_keep_their_order_and_the_sum_of_their_events(calls):
    pending, expected = PendingQueue(), []
    for count, call in enumerate(calls):
        chunk = Chunk("a.root", "hits", "Events", "f" * 32, 1, 10**6, 0, count)
        if call == "extend":
            pending.extend([chunk])
            expected.append(chunk)
        elif call == "put_back":
            pending.put_back(chunk)
            expected.insert(0, chunk)
        elif expected:
            assert pending.pop() == expected.pop(0)
        assert (len(pending), pending.events) == (len(expected), sum(chunk.events for chunk in expected))
