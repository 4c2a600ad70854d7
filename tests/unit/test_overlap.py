"""Pools that are compared: a chunk is scored again, and its scores lie so far from those of the part."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from models import write_model, write_tagger
from receipts import make_receipt
from test_campaign import write_hits

from e2edist.campaign.chunk import PREDICTIONS, Chunk, Job, prepare, run_chunk
from e2edist.campaign.overlap import Overlap, rescore
from e2edist.campaign.plan import make_plan
from e2edist.engines import EngineOptions
from e2edist.errors import CampaignError
from e2edist.pools import Outcome
from e2edist.spec.tagger import load_tagger


@pytest.fixture
def scored(tmp_path):
    """Return (job key, chunk, path of its part) of 50 photons, scored between 0 and 1."""
    write_model(tmp_path / "m.onnx", outputs={"photon": 1})
    file = write_tagger(tmp_path / "t.toml", "m.onnx", objects={"kinds": ["photon"]})
    tagger, key = load_tagger(str(file)), str(tmp_path / "out")
    prepare(key, Job(tagger, "print", key, "cpu", EngineOptions("onnx")))
    url = str(write_hits(tmp_path / "a.root", 50, 50))
    (chunk,) = make_plan(tagger, [url]).with_chunks(50).chunks()
    run_chunk(key, chunk)
    return key, chunk, tmp_path / "out" / PREDICTIONS / f"{chunk.id}.parquet"


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
    far = change(path, lambda scores: scores + np.float32(100.25))
    assert rescore(key, chunk, b"")["photon"] == pytest.approx(100.0 / far.max(), rel=1e-5)


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


class Asked:
    """A pool that only notes what it is asked."""

    def __init__(self, name):
        self.name, self.tasks = name, []

    def submit(self, tag, function, *arguments):
        self.tasks.append((tag, function, *arguments))


CHUNK = Chunk("a.root", "hits", "Events", "f" * 32, 1, 9, 0, 9)
SCORED, EMPTY = (make_receipt(CHUNK, "f", status=status) for status in ({"ok": 3, "pt": 1}, {"pt": 4}))


def test_only_pools_of_another_kind_are_asked_and_each_of_them_once():
    overlap = Overlap(1e-3, {"a": "gpu", "b": "cpu", "c": "gpu"})
    pools = {key: Asked(key) for key in "abc"}
    assert not any(overlap.ask(key, pool) for key, pool in pools.items())  # there is no sample
    overlap.note("a", CHUNK, EMPTY)  # nor is a chunk without scores one
    assert not any(overlap.ask(key, pool) for key, pool in pools.items())
    overlap.note("a", CHUNK, SCORED)
    overlap.note("b", CHUNK.part(0, 1), SCORED)
    assert [overlap.ask(key, pool) for key, pool in pools.items()] == [False, True, False]
    assert not any(overlap.ask(key, pool) for key, pool in pools.items())
    ((tag, function, *arguments),) = pools["b"].tasks
    assert (function, arguments) == (rescore, ["b", CHUNK, b""])
    assert overlap.owns(tag)
    assert not overlap.owns(CHUNK.id)


@pytest.mark.parametrize(("found", "agrees"), [(0.0, True), (1e-3, True), (1.1e-3, False), (np.nan, False)])
def test_the_largest_difference_decides_and_nan_is_no_agreement(found, agrees):
    overlap = Overlap(1e-3, {"a": "gpu", "b": "cpu"})
    outcome = Outcome("overlap b", "done", {"x": found, "y": 1e-4})
    pool = SimpleNamespace(name="b")
    if agrees:
        overlap.settle("b", pool, outcome)
        assert overlap.found == {"b": max(found, 1e-4)}
    else:
        with pytest.raises(CampaignError, match="pool b: scores differ from those of another pool: x by"):
            overlap.settle("b", pool, outcome)


def test_a_comparison_that_was_lost_is_asked_again():
    overlap, pool = Overlap(1e-3, {"a": "gpu", "b": "cpu"}), Asked("b")
    overlap.note("a", CHUNK, SCORED)
    assert overlap.ask("b", pool)
    overlap.settle("b", pool, Outcome("overlap b", "lost", error=ConnectionError("gone")))
    assert overlap.ask("b", pool)
    assert len(pool.tasks) == 2
