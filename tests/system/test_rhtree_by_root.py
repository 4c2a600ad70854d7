"""The same events as hits and as images that ROOT wrote give the same tables of scores, cell by cell."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from environments import python_with
from rhtree_files import BRANCHES, content_of, crops_of, few_events, save_for_root

from e2edist import predict
from e2edist.config.tagger import load_tagger
from e2edist.demo import make_events
from e2edist.formats import open_events

EVENTS = 60
WRITER = Path(__file__).with_name("root_rhtree.py")
SMALL = Path(__file__).resolve().parents[1] / "unit" / "rhtree.root"


def write_by_root(python, arrays, path):
    done = subprocess.run([python, WRITER, arrays, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return path


@pytest.mark.parametrize("name", ["eg", "qg"])
def test_scores_from_images_written_by_root_are_those_from_hits(name, tmp_path):
    python, tagger = python_with("root"), load_tagger(name)
    (hits,) = make_events(tmp_path, name, EVENTS, seed=5, files=1)
    with open_events(str(hits), tagger.columns(), tagger.objects.collections) as reader:
        batch = reader.read(0, EVENTS)
    content = content_of(batch, tagger, dict.fromkeys(channel.layer for channel in tagger.channels))
    arrays = save_for_root(tmp_path / "arrays.npz", content)
    images = write_by_root(python, arrays, tmp_path / "images.root")
    expected, got = (predict(str(path), name).to_pandas() for path in (hits, images))
    assert (expected["status"] == "ok").sum() > EVENTS / 2
    # It is another file and has no branch of truth; the rest must be equal to the last bit.
    cells = expected.columns.drop(["uuid", "file", "label"])
    assert got["label"].isna().all()
    differing = [c for c in cells if not expected[c].equals(got[c])]
    assert differing == []
    assert len(got) == len(expected)


def test_the_small_file_is_what_root_writes_of_its_events(tmp_path):
    python, events = python_with("root"), few_events()
    eg, qg = load_tagger("eg"), load_tagger("qg")
    eg = eg.model_copy(update={"objects": eg.objects.model_copy(update={"kinds": ("photon",)})})
    content = content_of(events, eg, BRANCHES) | content_of(events, qg, [])
    arrays = save_for_root(tmp_path / "arrays.npz", content, crops_of(events, content))
    made = write_by_root(python, arrays, tmp_path / "small.root")
    for tagger in (eg, qg):
        batches = []
        for path in (made, SMALL):
            with open_events(str(path), tagger.columns(), tagger.objects.collections) as reader:
                batches.append(reader.read(0, 3))
        for table, rows in batches[0].tables.items():
            for column, values in rows.columns.items():
                np.testing.assert_array_equal(values, batches[1][table][column])
