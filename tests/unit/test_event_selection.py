"""Images of an event do not depend on whether other events have frames; freed memory stays."""

import ctypes
import os
import subprocess
import sys

import numpy as np
import pytest

from e2edist.config.tagger import load_tagger
from e2edist.demo import make_events
from e2edist.formats import open_events
from e2edist.imaging import layers
from e2edist.imaging.event_batch import OBJECT_KINDS
from e2edist.imaging.seeds import OK
from e2edist.imaging.select_events import select
from e2edist.worker.images import cut_images, find_candidates, make_frames

#: Cuts in GeV harder than the taggers' own, so that whole events are left out.
HARD = {"eg": 30.0, "qg": 60.0, "top": 450.0}


def events(tmp_path, name, count=150):
    tagger = load_tagger(name)
    path = make_events(tmp_path, name, count, 4, files=1)[0]
    with open_events(str(path), tagger.columns(), tagger.objects.collections) as reader:
        return reader.read(0, count), tagger


def test_selected_events_keep_their_rows_and_the_others_have_none(tmp_path):
    batch, _ = events(tmp_path, "qg")
    wanted = np.random.default_rng(1).random(batch.events) < 0.4
    some = select(batch, wanted, but=OBJECT_KINDS)
    assert some["jet"] is batch["jet"]
    for name in ("EB", "EE", "HBHE", "tracks"):
        np.testing.assert_array_equal(some[name].counts(), np.where(wanted, batch[name].counts(), 0))
        rows = wanted[batch[name].events()]
        for column, values in batch[name].columns.items():
            np.testing.assert_array_equal(some[name][column], values[rows])
    assert select(batch, np.ones(batch.events, bool)) is batch


@pytest.mark.parametrize("name", ["eg", "qg", "top"])
def test_images_are_those_of_frames_of_all_events(tmp_path, name):
    batch, tagger = events(tmp_path, name)
    tagger = tagger.model_copy(update={"objects": tagger.objects.model_copy(update={"pt_min": HARD[name]})})
    candidates = find_candidates(batch, tagger)
    passed = np.unique(candidates.objects.event[candidates.status == OK])
    assert 0 < len(passed) < batch.events
    frames = make_frames(batch, candidates, tagger)
    whole = {key: layers.fill(batch, key, tagger.fill_options) for key in frames if key in layers.LAYERS}
    whole["seed"] = tagger.seed.definition.layer.make(batch, tagger.fill_options)
    ours, theirs = cut_images(candidates, frames, tagger), cut_images(candidates, whole, tagger)
    np.testing.assert_array_equal(ours.seeds.status, theirs.seeds.status)
    for field in ("offsets", "pixel", "value"):
        np.testing.assert_array_equal(getattr(ours.crops, field), getattr(theirs.crops, field))
    left_out = np.setdiff1d(np.arange(batch.events), passed)
    assert all((np.diff(hits.offsets)[left_out] == 0).all() for hits in frames.values())


_FAULTS = """
import resource, sys
import numpy as np
from e2edist.worker.freed_memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
np.ones(1 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(1 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not the GNU C library")
def test_memory_that_is_freed_is_used_again_without_a_page_fault():
    faults = {}
    for how in ("keep", "as Dask has it"):
        command = [sys.executable, "-c", _FAULTS, how]
        # No large pages, of which one fault brings 512.
        where = os.environ | {"MALLOC_TRIM_THRESHOLD_": "65536", "NUMPY_MADVISE_HUGEPAGE": "0"}
        done = subprocess.run(command, env=where, capture_output=True, text=True, check=True)
        faults[how] = int(done.stdout)
    assert faults["as Dask has it"] > 20 * 2000
    assert faults["keep"] < 2000
