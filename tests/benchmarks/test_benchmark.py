"""The benchmark runs, and all ways give the same scores. What it measures is nobody's pass or failure."""

import json
import subprocess
import sys
from pathlib import Path

import dataset
import measure
import numpy as np
import ours
import pytest
import reading
import unsplit
from peers import _dense, batched, kept, paper, processes, script

from e2edist.config.tagger import load_tagger
from e2edist.engines import EngineOptions
from e2edist.formats import inspect
from e2edist.records.chunk import Chunk
from e2edist.worker.run_chunk import TaskContext, prepare, run_chunk

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def demo_only(monkeypatch):
    """Make samples of demo events, here and in what is started."""
    monkeypatch.setenv("E2EDIST_DATA", "/nonexistent")


def product(folder, sample):
    """Return keys and scores of the product's chunk function, in this process."""
    (folder / "predictions").mkdir(parents=True)
    prepare(str(folder), TaskContext(load_tagger(sample.tagger), "x", str(folder), "here", EngineOptions()))
    for path in sample.big:
        info = inspect(path)
        known = (path, info.format, info.tree, info.uuid, info.size, info.entries)
        run_chunk(str(folder), Chunk(*known, 0, info.entries))
    return ours.read(folder, {"files": sample.big})


@pytest.mark.slow
@pytest.mark.parametrize("name", dataset.TAGGERS)
def test_ways_that_share_no_kernel_give_the_same_objects_and_scores(name, tmp_path, demo_only):
    sample = dataset.make(tmp_path / "data", name, 1, distinct=10)
    keys, scores = product(tmp_path / "out", sample)
    assert len(keys) > 5
    task = {"tagger": sample.tagger, "files": sample.big}
    for way in (processes, batched, kept, paper):
        work = [(*one, sample.tagger) for one in _dense.ranges(task, 3)]
        found = _dense.join([way.entries(*one) for one in work])
        assert np.array_equal(found[0], keys), way.LABEL
        assert np.abs(found[1] - scores).max() <= measure.TOLERANCE, way.LABEL
    found = script.run(task)
    assert np.array_equal(found[0], keys)
    assert np.abs(found[1] - scores).max() <= measure.TOLERANCE


def test_a_way_whose_scores_are_not_ours_is_an_error(tmp_path):
    path = tmp_path / "way.npz"
    np.savez(path, keys=np.arange(3), scores=np.float32([0.1, 0.2, 0.3]))
    expected = (np.arange(3), np.float32([0.1, 0.2, 0.30001]))
    assert 0 < measure.difference(path, (expected[0], expected[1] - np.float32(5e-6))) <= measure.TOLERANCE
    with pytest.raises(AssertionError, match="a score differs"):
        measure.difference(path, (expected[0], expected[1] + np.float32(0.01)))
    with pytest.raises(AssertionError, match="3 objects that are not our 2"):
        measure.difference(path, (expected[0][:2], expected[1][:2]))


def test_copies_of_a_sample_are_files_of_their_own_with_the_same_events(tmp_path, demo_only):
    sample = dataset.make(tmp_path, "eg", 2, distinct=6, files=3)
    infos = [inspect(path) for path in sample.big]
    assert len({info.uuid for info in infos}) == 3
    assert [info.entries for info in infos] == [12, 12, 12]
    assert sample.copies == 6


def test_every_container_compression_and_way_to_a_file_gives_the_same_values(tmp_path, demo_only, capsys):
    rows = reading.rows(tmp_path / "data", "qg", 1, 1)
    remote = [] if reading.lacks_xrootd() else ["ZSTD, xrootd", "ZSTD, xrootd, staged"]
    assert list(rows) == [*reading.CODECS, "RNTuple, ZSTD", "ZSTD, staged", *remote]
    assert ("left out: reading by xrootd" in capsys.readouterr().out) != bool(remote)
    assert any(path.is_file() for path in (tmp_path / "data" / "scratch").rglob("*")), "nothing was staged"
    assert rows["LZMA"]["bytes"] < rows["uncompressed"]["bytes"]


def test_reading_of_unsplit_events_is_measured_in_turn_and_all_forms_give_the_same():
    files = {form: ROOT / f"tests/edm/{form}.root" for form in ("object_wise", "member_wise")}
    found = unsplit.rates(files, load_tagger("eg"), 2)
    assert [len(found[form]) for form in files] == [2, 2]
    assert len(unsplit.repeated({"run": np.arange(3), "EB_rows": np.array([0, 2, 2, 5])}, 2)["run"]) == 6


@pytest.mark.slow
def test_one_command_prints_every_ratio_and_writes_them_down(tmp_path, demo_only):
    command = [sys.executable, "workflows/benchmark.py", "--quick", "--taggers", "eg", "--copies", "1"]
    command += ["--repeats", "1", "--ways", "processes", "paper", "--json", str(tmp_path / "out.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    for row in (
        "e2edist",
        "the limit",
        "multiprocessing",
        "the paper's way",
        "efficiency, warm",
        "best peer",
    ):
        assert row in done.stdout, row
    results = json.loads((tmp_path / "out.json").read_text())["results"]
    assert [name.split(",")[0] for name in results] == ["eg", "eg"]
