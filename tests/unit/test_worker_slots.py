"""Which worker a task is sent to."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from e2edist.pools._worker_slots import WorkerSlots


def test_no_worker_is_named_before_any_is_known():
    assert WorkerSlots().acquire("a") == ""


def test_workers_are_taken_in_turn_and_never_beyond_their_threads():
    slots = WorkerSlots()
    slots.update({"w1": 2, "w2": 1})
    assert [slots.acquire(tag) for tag in "abcd"] == ["w1", "w2", "w1", ""]
    slots.release("b")
    assert slots.acquire("e") == "w2"


def test_a_worker_that_left_is_not_named_again():
    slots = WorkerSlots()
    slots.update({"w1": 1, "w2": 1})
    assert {slots.acquire("a"), slots.acquire("b")} == {"w1", "w2"}
    slots.update({"w2": 1})
    slots.release("a")
    slots.release("b")
    assert (slots.acquire("c"), slots.acquire("d"), slots.threads) == ("w2", "", 1)


def test_a_worker_that_came_back_with_fewer_threads_gets_a_task_when_one_is_free():
    slots = WorkerSlots()
    slots.update({"w1": 3})
    assert [slots.acquire(tag) for tag in "abc"] == ["w1"] * 3
    slots.update({"w1": 1})
    assert (slots.threads, slots.acquire("d")) == (1, "")
    slots.release("a")
    assert slots.acquire("d") == ""
    slots.release("b")
    assert slots.acquire("d") == ""
    slots.release("c")
    assert (slots.acquire("d"), slots.acquire("e")) == ("w1", "")


def test_threads_that_are_taken_stay_taken_when_workers_are_looked_at_again():
    slots = WorkerSlots()
    slots.update({"w1": 2, "w2": 2})
    assert [slots.acquire(tag) for tag in "abc"] == ["w1", "w2", "w1"]
    slots.update({"w1": 2, "w2": 2, "w3": 1})
    assert sorted([slots.acquire("d"), slots.acquire("e")]) == ["w2", "w3"]
    assert slots.acquire("f") == ""


tags = st.sampled_from("abcdef")
workers = st.dictionaries(st.sampled_from(["w1", "w2", "w3"]), st.integers(1, 3))


@given(st.lists(st.one_of(tags, workers)))
def test_no_worker_ever_gets_more_tasks_than_it_has_threads(calls):
    slots, there, seated = WorkerSlots(), {}, {}
    for call in calls:
        if isinstance(call, dict):
            slots.update(call)
            there = call
        elif call in seated:
            slots.release(call)
            del seated[call]
        elif name := slots.acquire(call):
            assert Counter(seated.values())[name] < there[name]
            seated[call] = name
        taken = Counter(seated.values())
        if any(taken[name] < count for name, count in there.items()):
            assert slots.acquire("probe")
            slots.release("probe")
