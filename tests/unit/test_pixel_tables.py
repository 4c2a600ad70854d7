"""Images that a format has as they are: the same frames, seeds and crops as from the hits they came from."""

import numpy as np
import pytest
from ntuples import write_hits

from e2edist.config.tagger import load_tagger
from e2edist.demo import make_events
from e2edist.errors import EntriesError, UnknownNameError
from e2edist.formats import open_events
from e2edist.formats.api import build_pixels, join_rows, pixel_table
from e2edist.imaging.event_batch import OBJECT_KINDS, EventBatch
from e2edist.imaging.layers import HBHE_DEPTH1, LAYERS, FillOptions
from e2edist.worker.images import make_images

EVENTS = 20


@pytest.fixture(scope="module", params=["eg", "qg"])
def tagger(request):
    """A packaged tagger."""
    return load_tagger(request.param)


@pytest.fixture(scope="module")
def hits(tagger, tmp_path_factory):
    """Events with hits."""
    (path,) = make_events(tmp_path_factory.mktemp("hits"), tagger.name, EVENTS, seed=2, files=1)
    with open_events(str(path), tagger.columns(), tagger.objects.collections) as reader:
        return reader.read(0, EVENTS)


def pixels_of(batch, layer, options=FillOptions()):  # noqa: B008 - frozen
    """Return the pixel table of a layer, each pixel in two halves that have to be added."""
    made = layer.make(batch, options)
    half = build_pixels(layer, made.offsets, made.row, made.col, made.value / 2)
    return join_rows([half, half])


def ready_made(batch, tagger):
    layers = (tagger.seed.definition.layer, *(LAYERS[channel.layer] for channel in tagger.channels))
    tables = {pixel_table(layer.name): pixels_of(batch, layer, tagger.fill_options) for layer in layers}
    objects = {kind: batch[kind] for kind in OBJECT_KINDS if kind in batch.tables}
    return EventBatch(batch.start, batch.stop, tables | objects)


def test_images_from_pixels_are_those_from_hits_bit_for_bit(hits, tagger):
    expected, got = make_images(hits, tagger), make_images(ready_made(hits, tagger), tagger)
    assert expected.accepted.any()
    np.testing.assert_array_equal(got.seeds.status, expected.seeds.status, strict=True)
    np.testing.assert_array_equal(got.seeds.row, expected.seeds.row, strict=True)
    np.testing.assert_array_equal(got.seeds.col, expected.seeds.col, strict=True)
    np.testing.assert_array_equal(got.crops.offsets, expected.crops.offsets, strict=True)
    np.testing.assert_array_equal(got.crops.pixel, expected.crops.pixel, strict=True)
    np.testing.assert_array_equal(got.crops.value, expected.crops.value, strict=True)


@pytest.mark.parametrize("factor", [1.0, 0.25])
def test_the_endcap_factor_is_for_rows_of_endcaps(factor):
    layer = LAYERS["ECAL_energy"]
    row, value = np.array([0, 54, 55, 224, 225, 279]), np.ones(6)
    table = build_pixels(layer, np.array([0, 6]), row, row, value)
    batch = EventBatch(0, 1, {pixel_table(layer.name): table})
    found = layer.fill(batch, FillOptions(endcap_factor=factor))
    assert found.value.tolist() == [factor, factor, 1, 1, factor, factor]


def test_pixels_without_place_or_value_are_left_out():
    row, value = np.array([-1, 3, 4, 55]), np.array([5.0, 0.0, -2.0, 1.0])
    table = build_pixels(HBHE_DEPTH1, np.array([0, 1, 2, 4]), row, row % 56, value)
    assert table.offsets.tolist() == [0, 0, 0, 2]
    assert table["row"].tolist() == [4, 55]
    assert table["value"].tolist() == [-2.0, 1.0]
    assert {name: values.dtype.str[1:] for name, values in table.columns.items()} == {
        "row": "i2",
        "col": "i2",
        "value": "f4",
    }


@pytest.mark.parametrize(("row", "col"), [(56, 0), (0, 72), (0, -1), (70_000, 0)])
def test_pixels_outside_the_grid_are_damage(row, col):
    with pytest.raises(EntriesError, match="pixels of HBHE_energy are outside its 56x72 grid"):
        build_pixels(
            LAYERS["HBHE_energy"], np.array([0, 1]), np.array([row]), np.array([col]), np.array([1.0])
        )


def test_a_column_that_pixels_do_not_have_is_refused(tmp_path):
    write_hits(tmp_path / "hits.root", 2)
    wanted = {"pixels:EB_energy": frozenset({"energy"})}
    with pytest.raises(UnknownNameError, match="column of pixels:EB_energy"):
        open_events(str(tmp_path / "hits.root"), wanted)
