"""Pools that are compared: a chunk is scored again, and its scores are compared with those of the part."""

from threading import Event
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from models import write_model, write_tagger
from receipts import make_receipt
from small_campaign import write_hits

from e2edist.accounting.progress import Progress, ProgressTracker
from e2edist.campaign.cross_pool_check import CrossPoolCheck
from e2edist.campaign.driver import Driver
from e2edist.campaign.limits import Limits
from e2edist.campaign.planning import make_plan
from e2edist.config.tagger import load_tagger
from e2edist.engines import EngineOptions
from e2edist.errors import CampaignError
from e2edist.pools import TaskOutcome
from e2edist.records.folder import CampaignFolder
from e2edist.records.ledger import Ledger
from e2edist.worker.rescore import rescore
from e2edist.worker.run_chunk import Chunk, TaskContext, prepare, run_chunk


@pytest.fixture
def scored(tmp_path):
    """Return (job key, chunk, path of its part) of 50 photons, scored between 0 and 1."""
    write_model(tmp_path / "m.onnx", outputs={"photon": 1})
    file = write_tagger(tmp_path / "t.toml", "m.onnx", objects={"kinds": ["photon"]})
    tagger, key = load_tagger(str(file)), str(tmp_path / "out")
    prepare(key, TaskContext(tagger, "print", key, "cpu", EngineOptions("onnx")))
    url = str(write_hits(tmp_path / "a.root", 50, 50))
    (chunk,) = make_plan(tagger, [url]).with_chunks(50).chunks()
    run_chunk(key, chunk)
    return key, chunk, CampaignFolder(tmp_path / "out").part(chunk.id)


def change(path, scores):
    """Replace the scores of a part, but not its receipt, by what `scores` makes of them; return them."""
    table = pq.read_table(path)
    place = table.schema.get_field_index("photon")
    old = table["photon"].to_numpy()
    new = scores(old)
    pq.write_table(table.set_column(place, "photon", pa.array(new, mask=np.isnan(old))), path)
    return new[~np.isnan(old)]


def test_a_chunk_that_is_scored_again_by_the_same_engine_differs_by_nothing(scored):
    key, chunk, path = scored
    assert rescore(key, chunk, b"") == {"photon": 0.0}
    assert rescore(key, chunk, path.read_bytes()) == {"photon": 0.0}


def test_scores_up_to_1_differ_as_they_are_and_larger_ones_relative_to_the_largest(scored):
    key, chunk, path = scored
    change(path, lambda scores: scores - np.float32(0.25))
    assert rescore(key, chunk, b"")["photon"] == pytest.approx(0.25, rel=1e-5)
    changed = change(path, lambda scores: scores + np.float32(100.25))
    assert rescore(key, chunk, b"")["photon"] == pytest.approx(100.0 / changed.max(), rel=1e-5)


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_a_score_that_is_no_number_on_one_of_the_two_only_is_told(scored, value):
    key, chunk, path = scored

    def spoil(scores):
        spoilt = scores.copy()
        spoilt[np.flatnonzero(~np.isnan(scores))[3]] = value
        return spoilt

    change(path, spoil)
    np.testing.assert_equal(rescore(key, chunk, b""), {"photon": value})


# ---- who is compared with whom


class RecordingPool:
    """A pool that only keeps what is submitted to it."""

    def __init__(self, name):
        self.name, self.tasks = name, []

    def submit(self, tag, function, *arguments):
        self.tasks.append((tag, function, *arguments))


CHUNK = Chunk("a.root", "hits", "Events", "f" * 32, 1, 9, 0, 9)
SCORED, EMPTY = (make_receipt(CHUNK, "f", status=status) for status in ({"ok": 3, "pt": 1}, {"pt": 4}))


def test_only_pools_of_another_kind_are_asked_and_each_of_them_once():
    check = CrossPoolCheck(1e-3, {"a": "gpu", "b": "cpu", "c": "gpu"})
    pools = {key: RecordingPool(key) for key in "abc"}
    assert not any(check.submit(key, pool) for key, pool in pools.items())  # there is no sample
    check.add_done("a", CHUNK, EMPTY)  # nor is a chunk without scores one
    assert not any(check.submit(key, pool) for key, pool in pools.items())
    check.add_done("a", CHUNK, SCORED)
    check.add_done("b", CHUNK.part(0, 1), SCORED)
    assert [check.submit(key, pool) for key, pool in pools.items()] == [False, True, False]
    assert not any(check.submit(key, pool) for key, pool in pools.items())
    ((tag, function, *arguments),) = pools["b"].tasks
    assert (function, arguments) == (rescore, ["b", CHUNK, b""])
    assert check.owns(tag)
    assert not check.owns(CHUNK.id)


@pytest.mark.parametrize(("found", "agrees"), [(0.0, True), (1e-3, True), (1.1e-3, False), (np.nan, False)])
def test_the_largest_difference_decides_and_nan_is_no_agreement(found, agrees, caplog):
    caplog.set_level("INFO", logger="e2edist")
    check = CrossPoolCheck(1e-3, {"a": "gpu", "b": "cpu"})
    outcome = TaskOutcome("compare b", "done", {"x": found, "y": 1e-4})
    pool = SimpleNamespace(name="b")
    if agrees:
        check.resolve("b", pool, outcome)
        assert (
            f"pool b: its scores differ by {max(found, 1e-4):.3g} at most from those of another pool"
            in caplog.text
        )
    else:
        with pytest.raises(CampaignError, match="pool b: scores differ from those of another pool: x by"):
            check.resolve("b", pool, outcome)


def test_a_comparison_that_failed_is_asked_again_three_times_in_all():
    check, pool = CrossPoolCheck(1e-3, {"a": "gpu", "b": "cpu"}), RecordingPool("b")
    for key in "ab":
        check.add_done(key, CHUNK, SCORED)
    for _ in range(3):
        assert check.is_due("b", 1)
        assert check.submit("b", pool)
        assert not check.is_due("b", 1)
        check.resolve("b", pool, TaskOutcome("compare b", "lost", error=ConnectionError("gone")))
    assert not check.is_due("b", 1)
    assert not check.submit("b", pool)
    assert len(pool.tasks) == 3


class OneThread:
    """A pool that does its one task when it may, and answers comparisons with a number or an error."""

    dashboard, failure_reason = "", ""

    def __init__(self, name, answer=0.0, may=lambda: True, leaves=False):
        self.name, self.answer, self.may, self.leaves = name, answer, may, leaves
        self.tasks, self.done, self.compared = [], 0, 0

    def update_demand(self, longest_s, left):
        pass

    def counts(self):
        return {"queued": 0, "running": 1, "joined": 1}

    def slots(self):
        return 0 if self.leaves and self.done else 1

    def submit(self, tag, function, *arguments):
        self.tasks.append((tag, function, arguments))

    def stop_accepting(self):
        self.leaves = True

    def wait(self, timeout):
        if not self.tasks or not self.may():
            return []
        tag, function, arguments = self.tasks.pop()
        if function is rescore:
            self.compared += 1
            if isinstance(self.answer, Exception):
                return [TaskOutcome(tag, "error", error=self.answer)]
            return [TaskOutcome(tag, "done", {"x": self.answer})]
        _, chunks, _ = arguments
        self.done += len(chunks)
        return [TaskOutcome(tag, "done", [make_receipt(chunk, "f", pool=self.name) for chunk in chunks])]


def run_both(folder, answer, chunks=6, leaves=False):
    """Run chunks over a fast pool and a slow one, whose first chunk is the last to end."""
    fast = OneThread("fast")
    slow = OneThread("slow", answer, lambda: fast.done == chunks - 1, leaves)
    stop, counts = Event(), []

    def on_progress(progress):
        counts.append(progress.done)
        if len(counts) > 100:
            stop.set()

    check = CrossPoolCheck(1e-3, {"fast": "cpu", "slow": "gpu"})
    progress = Progress(chunks, chunks)
    pools, ledger = {"fast": fast, "slow": slow}, Ledger(folder / "ledger.jsonl")
    tracker = ProgressTracker(progress, on_progress)
    driver = Driver(pools, ledger, tracker, stop, Limits(), check)
    assert driver.run([CHUNK.part(i, i + 1) for i in range(chunks)])
    assert (progress.done, fast.done, slow.done) == (chunks, chunks - 1, 1)
    return slow


def test_a_pool_whose_first_chunk_ends_last_is_compared_before_the_campaign_ends(tmp_path):
    assert run_both(tmp_path, 0.0).compared == 1


def test_a_pool_that_has_no_worker_any_more_is_not_waited_for(tmp_path):
    assert run_both(tmp_path, 0.0, leaves=True).compared == 0


def test_a_pool_whose_first_chunk_ends_last_and_disagrees_stops_the_campaign(tmp_path):
    with pytest.raises(CampaignError, match="pool slow: scores differ"):
        run_both(tmp_path, 0.5)


def test_a_comparison_that_always_fails_is_told_and_the_campaign_ends(tmp_path, caplog):
    assert run_both(tmp_path, OSError("no such part")).compared == 3
    assert caplog.text.count("pool slow: its scores could not be compared: no such part") == 3
