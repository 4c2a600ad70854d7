"""Seeds and crops where real events seldom go: wrap, edges, ties; against the slow oracle."""

from math import pi

import numpy as np
import oracle
import pytest
from handmade import (
    ALL,
    HITS,
    angles,
    any_energy,
    direction_of,
    eb_cells,
    eb_id,
    eb_seed,
    ee_id,
    energies,
    fast,
    hcal_id,
    hits,
    image,
    same,
    signed,
    small,
    table,
    tower_seed,
    towers,
)
from hypothesis import assume, given
from hypothesis import strategies as st

from e2edist.imaging.crops import Window, cut, dense
from e2edist.imaging.event_batch import EventBatch
from e2edist.imaging.layers import fill
from e2edist.imaging.seeds import STATUSES, cut_objects

# ---- seeds


@given(small(st.tuples(eb_cells, any_energy)), st.floats(-1.75, 1.75, width=32), angles, st.data())
@fast
def test_any_egamma_seed_is_the_oracles(others, eta, phi, draw):
    assume(abs(eta) <= 1.44)
    row, column = oracle.barrel_crystal(float(eta), float(phi))
    near = st.tuples(st.integers(-5, 5), st.integers(-8, 8), st.sampled_from([1.0, 2.0, 3.0]))
    places = [(row + i, (column + j) % 360, e) for i, j, e in draw.draw(small(near)) if 0 <= row + i < 170]
    close = [(eb_id(r - 84 if r > 84 else r - 85, c + 1), e) for r, c, e in places]
    batch = hits("EB", others + close)
    for size in ((7, 13), (1, 1), (5, 3)):
        expected = oracle.egamma_seed(batch, 0, (50, eta, phi), window=size)
        assert same(eb_seed(batch, eta, phi, size), expected)


@given(st.floats(-2.375, 2.375, width=32), angles, st.data())
@fast
def test_any_jet_seed_is_the_oracles(eta, phi, draw):
    ieta, iphi = oracle.jet_axis(float(eta), float(phi))
    near = st.tuples(
        st.integers(-5, 5), st.integers(-5, 5), st.integers(1, 2), st.sampled_from([1.0, 2.0, -1.0])
    )
    cells = [
        (hcal_id(ieta + i, (iphi - 1 + j) % 72 + 1, depth), e)
        for i, j, depth, e in draw.draw(small(near))
        if 1 <= abs(ieta + i) <= 29
    ]
    batch = hits("HBHE", cells)
    assert same(tower_seed(batch, eta, phi), oracle.jet_seed(batch, 0, (50, eta, phi)))


@given(st.lists(st.tuples(eb_cells, energies), unique_by=lambda h: h[0], max_size=30), st.randoms())
@fast
def test_seeds_do_not_depend_on_the_order_of_hits(cells, random):
    shuffled = random.sample(cells, len(cells))
    for eta, phi in ((0.3, 0.1), (-1.4, pi), (1.2, -2.0)):
        assert eb_seed(hits("EB", cells), eta, phi, (61, 121)) == eb_seed(
            hits("EB", shuffled), eta, phi, (61, 121)
        )


@given(st.integers(0, 359), st.permutations([(-1, 2), (0, -6), (-1, -6), (3, 6), (-1, 6)]))
@fast
def test_of_equal_egamma_pixels_the_lowest_window_row_then_column_wins(column, places):
    batch = hits("EB", [(eb_id(20 + i, (column + j) % 360 + 1), 4.0) for i, j in places])
    eta, phi = direction_of(104, column)
    assert eb_seed(batch, eta, phi) == ("ok", 103, (column - 6) % 360)


@given(st.integers(1, 72), st.permutations([(-2, 1), (-2, -3), (1, -3), (3, 3)]))
@fast
def test_of_equal_towers_the_lowest_ieta_then_iphi_offset_wins(iphi, places):
    batch = hits("HBHE", [(hcal_id(8 + i, (iphi - 1 + j) % 72 + 1, 1), 4.0) for i, j in places])
    phi = np.radians(5 * iphi - 2.5)
    column = 5 * (((iphi - 1 - 3) % 72 + 2) % 72) + 2
    assert tower_seed(batch, 0.66, phi) == ("ok", 5 * (5 + 28) + 2, column)


def test_near_eta_zero_a_window_has_six_tower_rows():
    for ieta, found in ((-3, False), (-2, True), (-1, True), (4, True), (5, False)):
        batch = hits("HBHE", [(hcal_id(ieta, 3, 1), 1.0)])
        assert (tower_seed(batch, 0.04, 0.2)[0] == "ok") == found, ieta


def test_towers_beyond_16_are_rejected_as_seeds():
    assert tower_seed(hits("HBHE", [(hcal_id(16, 3, 1), 1.0)]), 1.4, 0.2)[0] == "ok"
    assert (
        tower_seed(hits("HBHE", [(hcal_id(17, 3, 1), 2.0), (hcal_id(16, 3, 1), 1.0)]), 1.4, 0.2)[0]
        == "seed_eta"
    )
    assert tower_seed(hits("HBHE", [(hcal_id(-16, 3, 2), 1.0)]), -1.4, 0.2)[0] == "no_hit"


numbers = st.sampled_from([0.0, 9.99, 10.0, 34.9, 35.0, 50.0, 1.44, -1.44, 1.4, 1.5, 2.4, -2.4, 2.39, -2.41])
any_number = (numbers | st.sampled_from([float("nan"), float("inf"), -float("inf")])).map(np.float32)


@given(any_number, any_number, any_number)
@fast
def test_cuts_come_in_the_order_nan_pt_eta(pt, eta, phi):
    one = tuple(np.array([x]) for x in (pt, eta, phi))
    batch = EventBatch(0, 1, {"EB": table([[]], HITS), "HBHE": table([[]], HITS)})
    for status, expected in (
        (cut_objects(*one, 10.0, 1.44, True), oracle.egamma_seed(batch, 0, (pt, eta, phi))),
        (cut_objects(*one, 35.0, 2.4, False), oracle.jet_seed(batch, 0, (pt, eta, phi))),
    ):
        assert STATUSES[status[0]] == {"no_hit": "ok"}.get(expected[0], expected[0])


# ---- crops


def crops_of(batch, names, centre, window):
    centres = (np.zeros(1, np.int32), np.array([centre[0]], np.int16), np.array([centre[1]], np.int16))
    return dense(cut([fill(batch, name, ALL) for name in names], centres, window))[0]


@given(
    small(st.tuples(eb_cells, energies)),
    st.integers(0, 169),
    st.integers(0, 359),
    st.sampled_from([1, 2, 31, 32, 125, 360]),
)
@fast
def test_eb_crops_equal_the_oracle_at_every_edge(cells, row, column, n):
    near = [(eb_id(r - 84 if r > 84 else r - 85, column + 1), 2.0) for r in {0, row, 169}]
    batch = hits("EB", cells + near)
    expected = oracle.crop(oracle.eb(batch, 0), row, column, n)
    assert np.array_equal(crops_of(batch, ["EB_energy"], (row, column), Window("EB", n))[0], expected)


@given(
    small(st.tuples(towers, energies)), st.integers(0, 279), st.integers(0, 359), st.sampled_from([32, 125])
)
@fast
def test_stitched_crops_of_towers_equal_the_oracle_at_every_edge(cells, row, column, n):
    batch = hits("HBHE", cells)
    expected = oracle.crop(oracle.upsampled(oracle.hbhe(batch, 0)), row, column, n)
    assert np.array_equal(crops_of(batch, ["HBHE_energy"], (row, column), Window("ECAL", n))[0], expected)


@given(small(st.tuples(eb_cells, energies)), small(st.tuples(towers, energies)), st.integers(0, 359))
@fast
def test_no_endcap_pixel_leaks_into_a_barrel_crop(cells, hcal, column):
    ends = [(ee_id(*cell), 1.0) for cell in oracle.ee_centres() if abs(cell[0] - cell[1]) == 20]
    tables = {**hits("EE", ends).tables, **hits("EB", cells).tables, **hits("HBHE", hcal).tables}
    batch = EventBatch(0, 1, tables)
    stitched = {"ECAL_energy": oracle.ecal(batch, 0), "HBHE_energy": oracle.upsampled(oracle.hbhe(batch, 0))}
    for row in (0, 7, 84, 169):
        images = crops_of(batch, list(stitched), (row, column), Window("EB", 32))
        for got, whole in zip(images, stitched.values(), strict=True):
            assert np.array_equal(got, oracle.crop(whole[55:225], row, column, 32))


def test_a_barrel_crop_is_empty_when_only_the_endcaps_have_energy():
    every = [(ee_id(*cell), 1.0) for cell in oracle.ee_centres()]
    batch = EventBatch(0, 1, {**hits("EE", every).tables, **hits("EB", []).tables})
    assert image(batch, "ECAL_energy").sum() == 14648
    for row in (0, 14, 84, 154, 169):
        assert not crops_of(batch, ["ECAL_energy"], (row, 200), Window("EB", 32)).any()
        assert crops_of(batch, ["ECAL_energy"], (row + 55, 200), Window("ECAL", 189)).any()


@given(small(st.tuples(signed(1, 85), st.integers(1, 360), energies)), st.integers(0, 359))
@fast
def test_turning_an_event_turns_nothing_but_the_seed_column(cells, turn):
    first = hits("EB", [(eb_id(85, 1), 1.0), *((eb_id(a, b), e) for a, b, e in cells)])
    turned = hits(
        "EB",
        [(eb_id(85, turn + 1), 1.0), *((eb_id(a, (b - 1 + turn) % 360 + 1), e) for a, b, e in cells)],
    )
    for row in (0, 100, 169):
        assert np.array_equal(
            crops_of(first, ["EB_energy"], (row, 0), Window("EB", 32)),
            crops_of(turned, ["EB_energy"], (row, turn), Window("EB", 32)),
        )


def test_an_endcap_plane_has_no_place_in_a_crop():
    with pytest.raises(ValueError, match="no place"):
        crops_of(hits("EE", []), ["EE_plus"], (0, 0), Window("ECAL", 125))
