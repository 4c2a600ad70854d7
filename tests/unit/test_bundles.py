"""Chunks that ride together in one task: how loads are made, and what becomes of each of their chunks."""

import itertools
import pickle
import time

import pytest
from receipts import make_receipt

from e2edist.campaign.bundles import TaskBundle, bundle_chunks, resolve
from e2edist.campaign.throughput import PendingQueue, ThroughputModel
from e2edist.errors import EntriesError, InputError, ModelError, OutputError, ProgrammingError
from e2edist.pools import TaskOutcome
from e2edist.records.chunk import Chunk
from e2edist.worker import run_bundle
from e2edist.worker.run_bundle import run_chunks


def make_chunks(count, size=100):
    return [Chunk(f"{i}.root", "hits", "Events", f"{i:032x}", 1, size, 0, size) for i in range(count)]


CHUNKS = make_chunks(5)


def measured(seconds=0.1, load=256):
    """Return the pace of a pool whose chunks of 100 events take so long."""
    pace = ThroughputModel(load=load)
    pace.add(100, seconds)
    return pace


def nobody(_):
    return False


# ---- making loads


def test_before_anything_is_measured_a_chunk_rides_alone():
    assert len(bundle_chunks(PendingQueue(make_chunks(1000)), ThroughputModel(load=256), 2.0, 1, nobody)) == 1


def test_as_many_ride_together_as_take_the_wanted_time():
    waiting = PendingQueue(make_chunks(1000))
    assert [c.id for c in bundle_chunks(waiting, measured(), 2.05, 1, nobody)] == [
        c.id for c in make_chunks(20)
    ]
    assert (len(waiting), waiting.next.url) == (980, "20.root")


def test_a_chunk_takes_no_less_than_the_shortest_did_however_few_events_it_has():
    pace = measured()
    pace.add(100_000, 10.0)  # a large file: the cost of opening one does not show there
    assert pace.takes_s(100) == 0.1
    assert len(bundle_chunks(PendingQueue(make_chunks(1000)), pace, 2.05, 1, nobody)) == 20


def test_loads_grow_by_doubling():
    pace, sizes = measured(load=1), []
    waiting = PendingQueue(make_chunks(100_000))
    for _ in range(6):
        sizes.append(len(bundle_chunks(waiting, pace, 1e9, 1, nobody)))
        pace.grow(sizes[-1])
    assert sizes == [1, 2, 4, 8, 16, 32]


def test_towards_the_end_loads_shrink_to_single_chunks():
    waiting, sizes = PendingQueue(make_chunks(100)), []
    while waiting:
        sizes.append(len(bundle_chunks(waiting, measured(), 1e9, 2, nobody)))
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 25
    assert sizes[-4:] == [1, 1, 1, 1]


def test_a_long_chunk_rides_alone_and_waits_for_the_next_load():
    waiting = PendingQueue([*make_chunks(2), *make_chunks(1, 5000), *make_chunks(50)])
    loads = [[c.events for c in bundle_chunks(waiting, measured(), 2.0, 1, nobody)] for _ in range(2)]
    assert loads == [[100, 100], [5000]]


def test_a_chunk_with_a_case_rides_alone():
    chunks = make_chunks(50)
    waiting = PendingQueue(chunks)

    def run_alone(chunk):
        return chunk is chunks[3]

    assert [len(bundle_chunks(waiting, measured(), 0.5, 1, run_alone)) for _ in range(3)] == [3, 1, 5]


# ---- running loads


@pytest.fixture
def run(monkeypatch):
    """Return a function that runs the five chunks, of which some raise, and gives what came of them."""

    def run(errors=(), budget_s=10.0, seconds=0.0, part=b""):
        begun = []

        def run_chunk(_, chunk):
            begun.append(chunk)
            time.sleep(seconds)
            if chunk in dict(errors):
                raise dict(errors)[chunk]
            return make_receipt(chunk, payload=part)

        monkeypatch.setattr(run_bundle, "run_chunk", run_chunk)
        fates = run_chunks("job", CHUNKS, budget_s)
        assert begun == CHUNKS[: len(fates)]
        return fates

    return run


def test_a_chunk_that_raises_does_not_stop_the_others(run):
    error = EntriesError("a", "bad")
    error.ranges = ((1, 2),)
    fates = run([(CHUNKS[1], error)])
    assert len(fates) == 5
    assert fates[1].ranges == ((1, 2),)
    assert [fate.id for i, fate in enumerate(fates) if i != 1] == [
        chunk.id for i, chunk in enumerate(CHUNKS) if i != 1
    ]


@pytest.mark.parametrize("error", [ModelError("m", "bad"), OutputError("out", "disk full")], ids=repr)
def test_an_error_that_would_be_that_of_all_ends_the_load(run, error):
    fates = run([(CHUNKS[1], error)])
    assert (len(fates), type(fates[1])) == (2, type(error))


def test_when_its_time_is_over_a_load_goes_home_with_what_it_has(run):
    assert len(run(seconds=0.05, budget_s=0.07)) == 2


def test_parts_that_travel_fill_a_load(run):
    assert len(run(part=bytes(3 << 20))) == 2


def test_a_worker_that_was_told_to_end_begins_no_further_chunk(run, monkeypatch):
    told = itertools.count()
    monkeypatch.setattr(run_bundle, "is_draining", lambda: next(told) >= 2)
    assert len(run()) == 2


class OddError(Exception):
    def __init__(self, one, two):
        super().__init__(one)
        self.lock = two


class OddSystemError(OSError):
    def __init__(self, one, two):
        super().__init__(one)
        self.lock = two


def test_an_error_that_can_not_travel_goes_as_its_text_and_holds_no_memory(run):
    fates = run([(CHUNKS[0], OddError("no such thing", lambda: None))])
    assert isinstance(fates[0], ProgrammingError)
    assert "OddError: no such thing" in str(fates[0])
    assert "Traceback" in pickle.loads(pickle.dumps(fates[0])).traceback
    fates = run([(CHUNKS[0], OddSystemError("away", lambda: None))])
    assert (type(fates[0]), str(fates[0])) == (OSError, "OddSystemError: away")
    deep = InputError("a", "gone")
    deep.__cause__ = OddError("below", lambda: None)
    fates = run([(CHUNKS[0], deep)])
    assert (type(fates[0]), fates[0].__cause__, fates[0].__traceback__) == (InputError, None, None)


# ---- what becomes of them


def places(chunks):
    return [CHUNKS.index(chunk) for chunk in chunks]


LOST = TaskOutcome("tag", "lost", error=RuntimeError("worker died"))


@pytest.mark.parametrize(
    ("published", "running", "waited"),
    [
        ([], [0], [1, 2, 3, 4]),
        ([0, 1], [2], [3, 4]),
        ([0, 2], [3], [1, 4]),  # the second had raised before
        ([0, 1, 2, 3, 4], [], []),
        ([1, 2, 3, 4], [], [0]),
    ],
)
def test_of_a_lost_load_the_chunk_after_the_last_part_was_running(published, running, waited):
    receipts = {CHUNKS[i].id: make_receipt(CHUNKS[i]) for i in published}
    landing = resolve(TaskBundle(tuple(CHUNKS), 0.0, 0.0), LOST, lambda chunk: receipts.get(chunk.id))
    assert places(chunk for chunk, _ in landing.done) == published
    assert places(chunk for chunk, _ in landing.failed) == running
    assert all(outcome is LOST for _, outcome in landing.failed)
    assert places(landing.back) == waited
    assert not landing.run_alone


def test_where_parts_can_not_be_seen_nobody_is_blamed_and_all_ride_alone_from_then_on():
    landing = resolve(TaskBundle(tuple(CHUNKS), 0.0, 0.0), LOST, None)
    assert (landing.done, landing.failed, landing.back, landing.run_alone) == ([], [], CHUNKS, True)


def test_where_parts_can_not_be_seen_one_that_rides_alone_is_blamed():
    landing = resolve(TaskBundle((CHUNKS[0],), 0.0, 0.0), LOST, None)
    assert (places(chunk for chunk, _ in landing.failed), landing.back) == ([0], [])


def test_chunks_that_were_not_begun_go_back():
    error = InputError("a", "gone")
    landing = resolve(
        TaskBundle(tuple(CHUNKS), 0.0, 0.0), TaskOutcome("tag", "done", [make_receipt(), error]), None
    )
    assert places(chunk for chunk, _ in landing.done) == [0]
    assert [(CHUNKS.index(chunk), why.kind, why.error) for chunk, why in landing.failed] == [
        (1, "error", error)
    ]
    assert (places(landing.back), landing.run_alone) == ([2, 3, 4], False)
