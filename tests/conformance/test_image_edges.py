"""Edges of the images that real events seldom reach, against the slow oracle and against each other."""

from math import pi

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from e2edist.imaging.batch import EventBatch, Ragged
from e2edist.imaging.crops import Window, cut, dense, frame, upsample
from e2edist.imaging.detid import eb_index, ee_index, hbhe_index
from e2edist.imaging.layers import LAYERS, FillOptions, fill, hbhe_depth1
from e2edist.imaging.seeds import STATUSES, cut_objects, seed_eb, seed_jet
from tests import oracle

# The first example compiles kernels, so there is no deadline; derandomised, so that CI is repeatable.
fast = settings(deadline=None, max_examples=60, derandomize=True, database=None)

ALL = FillOptions(track_quality=0)
HITS = {"detid": "u4", "energy": "f4", "time": "f4"}
TRACKS = {"pt": "f4", "eta": "f4", "phi": "f4", "d0": "f4", "dz": "f4", "quality": "u1"}


def eb_id(ieta, iphi):
    return 3 << 28 | 1 << 25 | (0x10000 if ieta > 0 else 0) | abs(ieta) << 9 | iphi


def ee_id(ix, iy, side):
    return 3 << 28 | 2 << 25 | (0x4000 if side > 0 else 0) | ix << 7 | iy


def hcal_id(ieta, iphi, depth, *, new=False):
    detector = 4 << 28 | (1 if abs(ieta) <= 16 else 2) << 25
    if new:
        return detector | 1 << 24 | depth << 20 | (0x80000 if ieta > 0 else 0) | abs(ieta) << 10 | iphi
    return detector | depth << 14 | (0x2000 if ieta > 0 else 0) | abs(ieta) << 7 | iphi


def signed(low, high):
    return st.tuples(st.integers(low, high), st.sampled_from([-1, 1])).map(lambda x: x[0] * x[1])


def small(values):
    return st.lists(values, max_size=12)


energies = st.floats(0.015625, 512, width=32)
any_energy = energies | st.floats(-8, 0, width=32) | st.sampled_from([float("nan"), 0.0, -0.0])
#: 0, or an angle that degrees and radians bin alike: formulas may differ by an ulp just below zero.
angles = st.floats(-4, 4, width=32).filter(lambda phi: phi == 0 or abs(phi) > 1e-6)
eb_cells = st.builds(eb_id, signed(1, 85), st.integers(1, 360))
ee_cells = st.sampled_from(sorted(oracle.ee_centres())).map(lambda cell: ee_id(*cell))
hcal_cells = st.tuples(signed(1, 29), st.integers(1, 72), st.integers(1, 3))
towers = st.builds(lambda cell, new: hcal_id(*cell, new=new), hcal_cells, st.booleans())
#: Any word, and words of the right detector whose numbers may be out of its range.
any_id = st.integers(0, 2**32 - 1) | st.builds(
    lambda detector, low: detector << 25 | low,
    st.sampled_from([0b0011_001, 0b0011_010, 0b0100_001, 0b0100_010, 0b0100_100]),
    st.integers(0, 2**25 - 1),
)
no_crystal = st.tuples(st.integers(0, 127), st.integers(0, 127), st.sampled_from([-1, 1])).filter(
    lambda cell: cell not in oracle.ee_centres()
)


def hit_lists(cells):
    return st.lists(small(st.tuples(cells, any_energy, st.floats(-32, 32, width=32))), min_size=1, max_size=3)


def table(events, columns):
    """Return a table of events, each a list of rows."""
    rows = [row for event in events for row in event]
    flat = {
        name: np.array([row[i] for row in rows], dtype) for i, (name, dtype) in enumerate(columns.items())
    }
    return Ragged(np.cumsum([0, *map(len, events)]).astype(np.int64), flat)


def hits(name, *events):
    """Return a batch of one hit table; times are zero where a row has none."""
    return EventBatch(0, len(events), {name: table([[(*h, 0.0)[:3] for h in e] for e in events], HITS)})


def image(batch, name, event=0, options=ALL):
    return frame(fill(batch, name, options), event)


def objects(*places):
    """Return objects of event 0 at (eta, phi), all passed by the cuts."""
    eta, phi = (np.array(x, np.float32) for x in zip(*places, strict=True))
    return (np.zeros(len(eta), np.int32), eta, phi), np.zeros(len(eta), np.int8)


def eb_seed(batch, eta, phi, size=(7, 13)):
    seeds = seed_eb(fill(batch, "EB_energy", ALL), *objects((eta, phi)), size, drop_edge=False)
    return STATUSES[seeds.status[0]], int(seeds.row[0]), int(seeds.col[0])


def tower_seed(batch, eta, phi):
    seeds = seed_jet(hbhe_depth1(batch), *objects((eta, phi)), keep_empty=False)
    return STATUSES[seeds.status[0]], int(seeds.row[0]), int(seeds.col[0])


def direction_of(row, column):
    """Return the (eta, phi) of the centre of an EB pixel."""
    ieta = row - 84.5
    phi = np.radians(column + 0.5 - 10)
    return 0.0174533 * ieta, float(phi - 2 * pi if phi > pi else phi)


def same(got, expected):
    status, row, column = expected
    return got == (status, -1 if row is None else row, -1 if column is None else column)


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
        got = image(batch, "HBHE_energy", event)
        assert np.array_equal(got, oracle.hbhe(batch, event))
        assert np.array_equal(upsample(got), oracle.upsampled(got))


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
    pixels = upsample(image(hits("HBHE", [(hcal_id(1, 1, 1), 25.0)]), "HBHE_energy"))
    rows, columns = np.nonzero(pixels)
    assert sorted(set(columns.tolist())) == [10, 11, 12, 13, 14]
    assert sorted(set(rows.tolist())) == [140, 141, 142, 143, 144]
    assert pixels[140, 10] == 1


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


@given(
    small(st.tuples(ee_cells | eb_cells, energies)), small(st.tuples(towers, energies)), st.integers(0, 359)
)
@fast
def test_no_endcap_pixel_leaks_into_a_barrel_crop(cells, hcal, column):
    tables = {**hits("EE", cells).tables, **hits("EB", cells).tables, **hits("HBHE", hcal).tables}
    batch = EventBatch(0, 1, tables)
    stitched = {"ECAL_energy": oracle.ecal(batch, 0), "HBHE_energy": oracle.upsampled(oracle.hbhe(batch, 0))}
    for row in (0, 7, 84, 169):
        images = crops_of(batch, list(stitched), (row, column), Window("EB", 32))
        for got, whole in zip(images, stitched.values(), strict=True):
            assert np.array_equal(got, oracle.crop(whole[55:225], row, column, 32))


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
