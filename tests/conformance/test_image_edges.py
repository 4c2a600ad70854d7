"""Identifiers and layers where real events seldom go, against the slow oracle and against each other."""

from math import pi

import numpy as np
import oracle
import pytest
from handmade import (
    HITS,
    TRACKS,
    angles,
    any_energy,
    any_id,
    eb_cells,
    eb_id,
    ee_cells,
    ee_id,
    energies,
    fast,
    hcal_cells,
    hcal_id,
    hit_lists,
    hits,
    image,
    no_crystal,
    signed,
    small,
    table,
    towers,
)
from hypothesis import given
from hypothesis import strategies as st

from e2edist.imaging.crops import frame
from e2edist.imaging.detid import eb_index, ee_index, hbhe_index
from e2edist.imaging.event_batch import EventBatch
from e2edist.imaging.layers import LAYERS, FillOptions, fill, hbhe_depth1

# ---- identifiers


@given(signed(1, 85), st.integers(1, 360))
@fast
def test_eb_ids_come_back(ieta, iphi):
    assert eb_index(eb_id(ieta, iphi)) == (ieta, iphi)
    assert oracle.decode(eb_id(ieta, iphi)) == ("EB", ieta, iphi)


@given(st.integers(1, 100), st.integers(1, 100), st.sampled_from([-1, 1]))
@fast
def test_ee_ids_come_back(ix, iy, side):
    assert ee_index(ee_id(ix, iy, side)) == (side, ix, iy)
    assert oracle.decode(ee_id(ix, iy, side)) == ("EE", ix, iy, side)


@given(hcal_cells, st.booleans())
@fast
def test_both_forms_of_hcal_ids_come_back(cell, new):
    assert hbhe_index(hcal_id(*cell, new=new)) == cell
    assert oracle.decode(hcal_id(*cell, new=new)) == ("HBHE", *cell)


@pytest.mark.parametrize(("name", "layers"), [("EB", ["EB_energy"]), ("HBHE", ["HBHE_energy"])])
@given(ids=st.lists(any_id, max_size=30))
@fast
def test_ids_of_no_cell_are_in_no_image(name, layers, ids):
    strangers = [i for i in ids if oracle.decode(i)[0] != name or not oracle.exists(*oracle.decode(i))]
    batch = hits(name, [(i, 1.0) for i in strangers])
    for layer in layers:
        assert not image(batch, layer).any()


@given(st.lists(no_crystal, max_size=30))
@fast
def test_ee_ids_without_a_crystal_are_in_no_image(cells):
    batch = hits("EE", [(ee_id(*cell), 1.0) for cell in cells])
    batch = EventBatch(0, 1, {**batch.tables, **hits("EB", []).tables})
    for layer in ("ECAL_energy", "EE_plus", "EE_minus"):
        assert not image(batch, layer).any(), layer


# ---- layers against the oracle


@given(hit_lists(eb_cells | any_id))
@fast
def test_any_eb_hits_give_the_oracle_images(events):
    batch = hits("EB", *events)
    for event in range(len(events)):
        for what in ("energy", "time"):
            assert np.array_equal(image(batch, f"EB_{what}", event), oracle.eb(batch, event, what))


@given(st.data(), hit_lists(ee_cells), st.sampled_from([1.0, 0.25, 0.3]))
@fast
def test_any_ecal_hits_give_the_oracle_images(draw, ends, factor):
    barrel = [draw.draw(small(st.tuples(eb_cells, any_energy, st.just(0.0)))) for _ in ends]
    batch = EventBatch(0, len(ends), {"EB": table(barrel, HITS), "EE": table(ends, HITS)})
    for event in range(len(ends)):
        stitched = image(batch, "ECAL_energy", event, FillOptions(endcap_factor=factor))
        assert np.array_equal(stitched, oracle.ecal(batch, event, factor))
        for name, side in (("EE_plus", 1), ("EE_minus", -1)):
            assert np.array_equal(image(batch, name, event), oracle.ee_plane(batch, event, side))


@given(hit_lists(towers | any_id))
@fast
def test_any_hcal_hits_give_the_oracle_images(events):
    batch = hits("HBHE", *events)
    for event in range(len(events)):
        assert np.array_equal(image(batch, "HBHE_energy", event), oracle.hbhe(batch, event))


etas = st.floats(-3.25, 3.25, width=32) | st.sampled_from(
    [float("nan"), float("inf"), 0.0, -0.0, 3.0, -3.0, *(s * x for x in oracle.EE_ETA for s in (-1, 1))]
)
track = st.tuples(
    st.floats(0, 64, width=32),
    etas.map(np.float32),
    angles | st.sampled_from([float("nan"), np.float32(pi), np.float32(-pi)]),
    st.floats(-1, 1, width=32),
    st.floats(-0.25, 0.25, width=32) | st.sampled_from([0.1, -0.1, float("nan")]).map(np.float32),
    st.integers(0, 255),
)


@given(st.lists(small(track), min_size=1, max_size=3), st.sampled_from([0, 1, 4, 6]))
@fast
def test_any_tracks_give_the_oracle_images(events, mask):
    columns = table(events, TRACKS)
    batch = EventBatch(0, len(events), {"tracks": columns, "TEC9": columns})
    for event in range(len(events)):
        for name, what in (("ECAL_tracksPt", "pt"), ("ECAL_tracksD0", "d0"), ("ECAL_tracksDz", "dz")):
            got = image(batch, name, event, FillOptions(track_quality=mask))
            assert np.array_equal(got, oracle.tracks(batch, event, what, mask)), name
        assert np.array_equal(image(batch, "TEC9", event), oracle.hit_counts(batch, event, "TEC9"))


def test_no_event_and_no_hit_give_empty_images():
    shapes = {"EB": (170, 360), "EE": (100, 100), "ECAL": (280, 360), "HBHE": (56, 72)}
    for name, layer in LAYERS.items():
        for count in (0, 2):
            columns = {t: HITS if t in ("EB", "EE", "HBHE") else TRACKS for t in layer.columns}
            batch = EventBatch(0, count, {t: table([[]] * count, c) for t, c in columns.items()})
            filled = fill(batch, name, FillOptions())
            assert filled.offsets.tolist() == [0] * (count + 1)
            assert filled.shape == shapes[layer.grid]
            for event in range(count):
                assert not frame(filled, event).any()


# ---- what happens to a hit


@given(eb_cells, energies, energies)
@fast
def test_duplicates_add(cell, a, b):
    total = image(hits("EB", [(cell, a), (cell, b)]), "EB_energy")
    assert np.count_nonzero(total) == 1
    assert total.max() == np.float32(a) + np.float32(b)


@given(small(st.tuples(eb_cells, any_energy, st.floats(-32, 32, width=32))))
@fast
def test_negative_zero_and_nan_energies_change_nothing(mixed):
    positive = [hit for hit in mixed if hit[1] > 0]
    for layer in ("EB_energy", "EB_time"):
        assert np.array_equal(image(hits("EB", mixed), layer), image(hits("EB", positive), layer))


@given(small(st.tuples(hcal_cells, energies)))
@fast
def test_both_hcal_forms_give_the_same_image(cells):
    old = hits("HBHE", [(hcal_id(*cell), e) for cell, e in cells])
    new = hits("HBHE", [(hcal_id(*cell, new=True), e) for cell, e in cells])
    assert np.array_equal(image(old, "HBHE_energy"), image(new, "HBHE_energy"))
    for a, b in zip(
        *(tuple(getattr(hbhe_depth1(x), n) for n in ("row", "col", "value")) for x in (old, new)), strict=True
    ):
        assert np.array_equal(a, b)


@given(st.sampled_from([-1, 1]), st.integers(1, 72), energies)
@fast
def test_tower_29_is_part_of_28(side, iphi, energy):
    of = {a: image(hits("HBHE", [(hcal_id(side * a, iphi, 1), energy)]), "HBHE_energy") for a in (28, 29)}
    assert np.array_equal(of[28], of[29])
    assert of[29][55 if side > 0 else 0].any()


@given(signed(1, 29), st.integers(0, 35).map(lambda k: 2 * k + 1), energies)
@fast
def test_ten_degree_towers_are_split_in_two(ieta, iphi, energy):
    row = image(hits("HBHE", [(hcal_id(ieta, iphi, 1), energy)]), "HBHE_energy").sum(axis=0)
    columns = {(iphi + 1) % 72: energy}
    if abs(ieta) > 20:
        columns = {(iphi + 1) % 72: energy / 2, (iphi + 2) % 72: energy / 2}
    assert {int(c): float(row[c]) for c in np.flatnonzero(row)} == columns


def test_hcal_iphi_1_lies_over_ecal_iphi_11_to_15():
    pixels = oracle.upsampled(image(hits("HBHE", [(hcal_id(1, 1, 1), 25.0)]), "HBHE_energy"))
    rows, columns = np.nonzero(pixels)
    assert sorted(set(columns.tolist())) == [10, 11, 12, 13, 14]
    assert sorted(set(rows.tolist())) == [140, 141, 142, 143, 144]
    assert pixels[140, 10] == 1
