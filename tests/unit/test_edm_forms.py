"""The same events in every form of CMS event data, written by real ROOT: small files of tests/edm."""

import numpy as np
import pytest
from edm_forms import FOLDER, SMALL, differences, made, read


@pytest.fixture(scope="module")
def events():
    return made()


@pytest.mark.parametrize("form", SMALL)
def test_each_form_gives_what_was_written(events, form):
    differing, cells = differences(read(FOLDER / f"{form}.root", form), events)
    assert differing == 0
    assert cells > 100  # not equal because empty


@pytest.mark.parametrize("form", [form for form in SMALL if "mini" not in form])
def test_tracks_have_the_momenta_that_were_written(events, form):
    tracks = read(FOLDER / f"{form}.root", form)["tracks"]
    assert tracks.offsets.tolist() == events["tracks_rows"].tolist()
    px, py, pz = (events[f"tracks_p{axis}"] for axis in "xyz")
    assert np.allclose(tracks["pt"], np.hypot(px, py), 1e-6, 0)
    assert np.allclose(tracks["eta"], np.arcsinh(pz / np.hypot(px, py)), 1e-5, 1e-6)
    assert np.array_equal(tracks["quality"], events["tracks_quality"])


@pytest.mark.parametrize("form", SMALL)
def test_a_range_of_entries_is_that_part_of_all(events, form):
    whole, last = read(FOLDER / f"{form}.root", form), read(FOLDER / f"{form}.root", form, 2, 3)
    assert last.event.tolist() == whole.event[2:].tolist()
    for table, ragged in last.tables.items():
        first = whole[table].offsets[2]
        for column, values in ragged.columns.items():
            assert np.array_equal(values, whole[table][column][first:]), (table, column)
