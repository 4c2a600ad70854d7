"""Task bundles: which chunks share a task, and what becomes of each of them."""

import itertools
import pickle
import time

import pytest
from receipts import make_receipt

from e2edist.campaign.bundle_result import resolve
from e2edist.campaign.bundles import TaskBundle, bundle_chunks
from e2edist.campaign.throughput import ThroughputModel
from e2edist.campaign.work_queue import PendingQueue
from e2edist.errors import EntriesError, InputError, ModelError, OutputError, ProgrammingError
from e2edist.pools import TaskOutcome
from e2edist.records.chunk import Chunk
from e2edist.worker import run_bundle
from e2edist.worker.run_bundle import run_chunks


def make_chunks(count, size=100):
    return [Chunk(f"{i}.root", "hits", "Events", f"{i:032x}", 1, size, 0, size) for i in range(count)]


CHUNKS = make_chunks(5)


def measured(seconds=0.1, max_bundle=256):
    """Return the throughput of a pool whose chunks of 100 events take so long."""
    throughput = ThroughputModel(max_bundle=max_bundle)
    throughput.add(100, seconds)
    return throughput


def never(_):
    return False


# ---- making bundles


def test_before_anything_is_measured_each_chunk_has_its_own_task():
    assert (
        len(bundle_chunks(PendingQueue(make_chunks(1000)), ThroughputModel(max_bundle=256), 2.0, 1, never))
        == 1
    )


def test_a_bundle_has_as_many_chunks_as_take_the_wanted_time():
    pending = PendingQueue(make_chunks(1000))
    assert [c.id for c in bundle_chunks(pending, measured(), 2.05, 1, never)] == [
        c.id for c in make_chunks(20)
    ]
    assert (len(pending), pending.next.url) == (980, "20.root")


def test_a_chunk_takes_no_less_than_the_shortest_did_however_few_events_it_has():
    throughput = measured()
    throughput.add(100_000, 10.0)  # a large file: the cost of opening one does not show there
    assert throughput.estimate_s(100) == 0.1
    assert len(bundle_chunks(PendingQueue(make_chunks(1000)), throughput, 2.05, 1, never)) == 20


def test_bundles_grow_by_doubling():
    throughput, sizes = measured(max_bundle=1), []
    pending = PendingQueue(make_chunks(100_000))
    for _ in range(6):
        sizes.append(len(bundle_chunks(pending, throughput, 1e9, 1, never)))
        throughput.grow(sizes[-1])
    assert sizes == [1, 2, 4, 8, 16, 32]


def test_towards_the_end_bundles_shrink_to_single_chunks():
    pending, sizes = PendingQueue(make_chunks(100)), []
    while pending:
        sizes.append(len(bundle_chunks(pending, measured(), 1e9, 2, never)))
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 25
    assert sizes[-4:] == [1, 1, 1, 1]


def test_a_long_chunk_has_a_task_of_its_own_after_the_bundle_before_it():
    pending = PendingQueue([*make_chunks(2), *make_chunks(1, 5000), *make_chunks(50)])
    bundles = [[c.events for c in bundle_chunks(pending, measured(), 2.0, 1, never)] for _ in range(2)]
    assert bundles == [[100, 100], [5000]]


def test_a_chunk_with_a_failure_record_has_a_task_of_its_own():
    chunks = make_chunks(50)
    pending = PendingQueue(chunks)

    def run_alone(chunk):
        return chunk is chunks[3]

    assert [len(bundle_chunks(pending, measured(), 0.5, 1, run_alone)) for _ in range(3)] == [3, 1, 5]


# ---- running bundles


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
        results = run_chunks("job", CHUNKS, budget_s)
        assert begun == CHUNKS[: len(results)]
        return results

    return run


def test_a_chunk_that_raises_does_not_stop_the_others(run):
    error = EntriesError("a", "bad")
    error.ranges = ((1, 2),)
    results = run([(CHUNKS[1], error)])
    assert len(results) == 5
    assert results[1].ranges == ((1, 2),)
    assert [one.id for i, one in enumerate(results) if i != 1] == [
        chunk.id for i, chunk in enumerate(CHUNKS) if i != 1
    ]


@pytest.mark.parametrize("error", [ModelError("m", "bad"), OutputError("out", "disk full")], ids=repr)
def test_an_error_that_all_chunks_would_have_ends_the_bundle(run, error):
    results = run([(CHUNKS[1], error)])
    assert (len(results), type(results[1])) == (2, type(error))


def test_when_its_time_is_over_a_bundle_returns_what_it_has(run):
    assert len(run(seconds=0.05, budget_s=0.07)) == 2


def test_parts_in_messages_limit_a_bundle(run):
    assert len(run(part=bytes(3 << 20))) == 2


def test_a_draining_worker_starts_no_further_chunk(run, monkeypatch):
    calls = itertools.count()
    monkeypatch.setattr(run_bundle, "is_draining", lambda: next(calls) >= 2)
    assert len(run()) == 2


class OddError(Exception):
    def __init__(self, one, two):
        super().__init__(one)
        self.lock = two


class OddSystemError(OSError):
    def __init__(self, one, two):
        super().__init__(one)
        self.lock = two


def test_an_error_that_can_not_be_pickled_is_sent_as_its_text_and_holds_no_memory(run):
    results = run([(CHUNKS[0], OddError("no such thing", lambda: None))])
    assert isinstance(results[0], ProgrammingError)
    assert "OddError: no such thing" in str(results[0])
    assert "Traceback" in pickle.loads(pickle.dumps(results[0])).traceback
    results = run([(CHUNKS[0], OddSystemError("away", lambda: None))])
    assert (type(results[0]), str(results[0])) == (OSError, "OddSystemError: away")
    deep = InputError("a", "gone")
    deep.__cause__ = OddError("below", lambda: None)
    results = run([(CHUNKS[0], deep)])
    assert (type(results[0]), results[0].__cause__, results[0].__traceback__) == (InputError, None, None)


# ---- what becomes of them


def places(chunks):
    return [CHUNKS.index(chunk) for chunk in chunks]


LOST = TaskOutcome("tag", "lost", error=RuntimeError("worker died"))


@pytest.mark.parametrize(
    ("published", "running", "not_started"),
    [
        ([], [0], [1, 2, 3, 4]),
        ([0, 1], [2], [3, 4]),
        ([0, 2], [3], [1, 4]),  # the second had raised before
        ([0, 1, 2, 3, 4], [], []),
        ([1, 2, 3, 4], [], [0]),
    ],
)
def test_of_a_lost_task_the_chunk_after_the_last_part_was_running(published, running, not_started):
    receipts = {CHUNKS[i].id: make_receipt(CHUNKS[i]) for i in published}
    result = resolve(TaskBundle(tuple(CHUNKS), 0.0, 0.0), LOST, lambda chunk: receipts.get(chunk.id))
    assert places(chunk for chunk, _ in result.done) == published
    assert places(chunk for chunk, _ in result.failed) == running
    assert all(outcome is LOST for _, outcome in result.failed)
    assert places(result.not_started) == not_started
    assert not result.run_alone


def test_without_a_shared_disk_no_chunk_fails_and_all_run_alone_from_then_on():
    result = resolve(TaskBundle(tuple(CHUNKS), 0.0, 0.0), LOST, None)
    assert (result.done, result.failed, result.not_started, result.run_alone) == ([], [], CHUNKS, True)


def test_without_a_shared_disk_a_chunk_that_ran_alone_fails():
    result = resolve(TaskBundle((CHUNKS[0],), 0.0, 0.0), LOST, None)
    assert (places(chunk for chunk, _ in result.failed), result.not_started) == ([0], [])


def test_chunks_that_were_not_started_are_returned():
    error = InputError("a", "gone")
    result = resolve(
        TaskBundle(tuple(CHUNKS), 0.0, 0.0), TaskOutcome("tag", "done", [make_receipt(), error]), None
    )
    assert places(chunk for chunk, _ in result.done) == [0]
    assert [(CHUNKS.index(chunk), why.kind, why.error) for chunk, why in result.failed] == [
        (1, "error", error)
    ]
    assert (places(result.not_started), result.run_alone) == ([2, 3, 4], False)
