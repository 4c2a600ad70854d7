"""Campaigns over towers, candidates and ready-made images, as docs/taggers.md and docs/inputs.md say."""

import runpy
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
import uproot
from environments import python_with
from rhtree_files import content_of, write_lists
from runs import KEY, ROOT, plain, receipts

from e2edist import open_results, predict
from e2edist.config.tagger import load_tagger
from e2edist.demo import make_events
from e2edist.formats import open_events

EXAMPLES = ROOT / "docs" / "examples"
WRITER = Path(__file__).with_name("root_rntuple.py")
SMALL = ROOT / "tests" / "unit" / "nano_collections.root"
#: Columns that tell one file from another.
PLACE = ("uuid", "file", "dataset")


def same_cells(one, other):
    """Return whether two tables are equal but for the names of their files."""
    return one.drop_columns(PLACE).equals(other.drop_columns(PLACE))


@pytest.fixture
def example(tmp_path):
    """The tagger of docs/taggers.md, with the model that the page's command makes."""
    shutil.copy(EXAMPLES / "coarse_jets.toml", tmp_path)
    make = runpy.run_path(str(EXAMPLES / "make_model.py"))
    make["save"](
        make["make_model"]("coarse_jets", *make["MODELS"]["coarse_jets"]), tmp_path / "coarse_jets.onnx"
    )
    return "coarse_jets.toml"


def results(folder):
    return plain(open_results(folder).table()).sort_by([(name, "ascending") for name in KEY])


def of_file(rows, name):
    return rows.filter(pc.match_substring(rows["file"], f"/{name}.root"))


def test_the_small_rntuple_is_what_root_writes(tmp_path):
    python, made = python_with("root"), tmp_path / "made.root"
    subprocess.run([python, WRITER, made], check=True, capture_output=True)
    batches = []
    for path in (made, SMALL):
        with open_events(str(path), {"jet": frozenset({"pt", "eta"})}, format="pfnano") as reader:
            batches.append((reader.info.edges, reader.read(0, 5)))
    (edges, ours), (expected, theirs) = batches
    assert edges == expected == (0, 3, 5)
    assert ours.event.tolist() == theirs.event.tolist()
    np.testing.assert_array_equal(ours["jet"]["pt"], theirs["jet"]["pt"], strict=True)


@pytest.mark.slow  # about 15 s: a campaign and two verbs on its output
def test_delphes_and_pfnano_run_as_the_docs_say(data, tmp_path, example, submit, verb):
    names = ("delphes", "pfnano", "pfnano_rntuple")
    inputs = [data / f"root/{name}.root" for name in names]
    done = submit("--tagger", example, "--input", *inputs, "--output", "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("the images are approximate") == 2  # once for each format
    assert f"note: {inputs[1]} and 1 more: the images are" in done.stdout
    rows = results(tmp_path / "out")
    delphes, tree, ntuple = (of_file(rows, name) for name in names)
    assert [np.sum(pc.equal(one["status"], "ok")) for one in (delphes, tree, ntuple)] == [32, 29, 29]
    assert same_cells(tree, ntuple)
    for receipt in receipts(tmp_path / "out"):
        assert receipt["notes"][0].startswith("the images are approximate: made of ")
        assert ("run, lumi: Delphes output has none" in receipt["notes"]) == (
            receipt["chunk"]["format"] == "delphes"
        )
    assert delphes["run"].null_count == len(delphes)
    assert tree["run"].null_count == 0

    again = plain(predict([str(path) for path in inputs], str(tmp_path / example)))
    assert same_cells(rows, again.sort_by([(name, "ascending") for name in KEY]))
    assert verb("aggregate", "out", "--friend").returncode == 0
    friends = sorted((tmp_path / "out" / "aggregated" / "friends").iterdir())
    counts = {path.name.partition("-")[0]: uproot.num_entries(path) for path in friends}
    assert len(counts) == 3
    report = verb("report", "out")
    assert report.returncode == 0, report.stderr
    page = (tmp_path / "out" / "report" / "report.html").read_text(encoding="utf-8")
    assert "the images are approximate: made of Delphes towers" in page
    assert list((tmp_path / "out" / "report").glob("means-*.png"))


def test_ready_made_images_are_scored_as_the_hits_they_were_made_from(tmp_path, submit):
    """One campaign over both: what differs is the file alone, and truth, which the ntuple does not have."""
    tagger = load_tagger("qg")
    (hits,) = make_events(tmp_path, "qg", 40, seed=5, files=1)
    with open_events(str(hits), tagger.columns(), tagger.objects.collections) as reader:
        batch = reader.read(0, 40)
    layers = [channel.layer for channel in tagger.channels]
    images = write_lists(tmp_path / "images.root", content_of(batch, tagger, layers))
    done = submit("--tagger", "qg", "--input", hits, images, "--output", "out")
    assert done.returncode == 0, done.stderr
    rows = results(tmp_path / "out")
    one, other = (of_file(rows, path.stem).drop_columns("label") for path in (hits, images))
    assert np.sum(pc.equal(one["status"], "ok")) > 20
    assert same_cells(one, other)
    notes = {receipt["chunk"]["format"]: receipt.get("notes", []) for receipt in receipts(tmp_path / "out")}
    assert "ECAL_tracksPt is ECAL_tracksPt_atECALfixIP" in notes["rhtree"]
    assert "jet: seeds are jetSeed_ieta and jetSeed_iphi" in notes["rhtree"]
