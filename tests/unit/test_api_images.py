"""`e2edist.make_images`: the images of objects, dense, sparse and awkward, and the rows of the objects."""

import numpy as np
import psutil
import pytest
from small_campaign import write_hits

import e2edist
from e2edist.api import object_images
from e2edist.config.tagger import load_tagger
from e2edist.demo import make_events
from e2edist.engines import EngineOptions, make_engine

ROWS = ["entry", "kind", "object", "pt", "eta", "phi", "label", "seed_row", "seed_col", "status"]


@pytest.fixture(scope="module", params=["eg", "top"])
def demo(request, tmp_path_factory):
    """A tagger and a file of demo events for it."""
    (path,) = make_events(tmp_path_factory.mktemp("demo"), request.param, 40, seed=3, files=1)
    return load_tagger(request.param), str(path)


def painted(sparse, like):
    """Return sparse images as dense ones."""
    shape = (1, len(sparse.background), 1, 1)
    out = np.broadcast_to(sparse.background.reshape(shape), like.shape).copy()
    out[sparse.image, sparse.channel, sparse.row, sparse.col] = sparse.value
    return out


@pytest.mark.parametrize("normalised", [False, True])
def test_all_layouts_hold_the_same_images(demo, normalised):
    tagger, file = demo
    dense, sparse, lists = (
        e2edist.make_images(file, tagger, 5, 30, layout=layout, normalised=normalised)
        for layout in ("dense", "sparse", "awkward")
    )
    size, channels = tagger.crop.size, len(tagger.channels)
    assert dense.pixels.shape == (len(dense), channels, size, size)
    assert dense.pixels.dtype == sparse.pixels.value.dtype == np.float32
    np.testing.assert_array_equal(painted(sparse.pixels, dense.pixels), dense.pixels)
    assert len(lists.pixels) == len(dense) > 5
    for name in ("channel", "row", "col", "value"):
        flat = np.concatenate([np.asarray(one) for one in lists.pixels[name]])
        np.testing.assert_array_equal(flat, getattr(sparse.pixels, name))
    assert dense.channels == tuple(channel.layer for channel in tagger.channels)
    assert dense.objects.equals(sparse.objects)
    assert dense.objects.equals(lists.objects)


def test_normalised_images_are_those_that_the_network_gets(demo):
    tagger, file = demo
    images = e2edist.make_images(file, tagger, normalised=True)
    scores = e2edist.predict(file, tagger)
    assert images.candidates.select(ROWS).equals(scores.select(ROWS))
    engine = make_engine(tagger, EngineOptions())
    batch = np.zeros((engine.batch, *images.pixels.shape[1:]), np.float32)
    some = min(len(images), engine.batch)
    batch[:some] = images.pixels[:some]
    for name, column in engine.predict(batch).items():
        found = scores.filter(_ok(scores))[name].to_numpy()
        np.testing.assert_array_equal(column[:some], found[:some])


def _ok(table):
    return np.array(table["status"].to_pylist()) == "ok"


def test_raw_images_hold_the_energy_of_the_hits(small):
    tagger, url = small
    images = e2edist.make_images(url, tagger, 3, 4)
    assert images.objects["entry"].to_pylist() == [3]
    assert images.candidates.num_rows == 5
    assert np.count_nonzero(images.pixels) == 3  # the hits of each event
    assert repr(images) == "<1 images of 1 x 32 x 32 (EB_energy), raw, of 5 candidates>"


def test_no_events_give_no_images(small):
    tagger, url = small
    assert e2edist.make_images(url, tagger, 4, 4).pixels.shape == (0, 1, 32, 32)
    assert len(e2edist.make_images(url, tagger, 4, 4, layout="awkward").pixels) == 0


def test_a_model_with_channels_last_gets_them_last(build, tmp_path):
    tagger = build({"model": {"layout": "NHWC"}, "objects": {"kinds": ["photon"]}}, layout="NHWC")
    file = write_hits(tmp_path / "a.root", 10, 5)
    raw = e2edist.make_images(file, tagger).pixels
    last = e2edist.make_images(file, tagger, normalised=True).pixels
    np.testing.assert_array_equal(raw.transpose(0, 2, 3, 1) != 0, last != 0)


def test_a_wrong_layout_and_too_many_images_are_refused(small, monkeypatch):
    tagger, url = small
    with pytest.raises(e2edist.ConfigError, match=r"layout: there is no 'spares'\. Did you mean 'sparse'"):
        e2edist.make_images(url, tagger, layout="spares")
    memory = psutil.virtual_memory()._replace(available=1000)
    monkeypatch.setattr(object_images.psutil, "virtual_memory", lambda: memory)
    with pytest.raises(e2edist.ResourceError, match=r'50 dense images .* or layout="sparse"'):
        e2edist.make_images(url, tagger)
