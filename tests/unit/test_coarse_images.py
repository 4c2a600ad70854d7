"""Towers and particles on the grids: the same pixels as by slow loops over centres, no energy lost."""

import math
from itertools import pairwise

import numpy as np
import pytest

from e2edist.imaging import coarse, layers
from e2edist.imaging.detid import tower_column, tower_row
from e2edist.imaging.event_batch import EventBatch, Ragged
from e2edist.imaging.geometry import EE_ETA_EDGES, HBHE_ETA_EDGES, eta_row, phi_column, tower_at

GRIDS = {"ECAL": coarse.ECAL, "HBHE": coarse.HBHE}


def row_middles(name):
    """Return the middle of each row, by the edges that docs/images.md gives."""
    barrel = [i * 0.0174533 for i in range(85)]
    edges = [*barrel, *EE_ETA_EDGES] if name == "ECAL" else list(HBHE_ETA_EDGES)
    middles = [(low + high) / 2 for low, high in pairwise(edges)]
    return [-middle for middle in reversed(middles)] + middles


def slow_tower(name, edges, eta, phi):
    """Return the pixels that a tower covers, in a loop over all of the grid."""
    rows = [i for i, middle in enumerate(row_middles(name)) if edges[0] <= middle < edges[1]]
    degrees, count = (1, 360) if name == "ECAL" else (5, 72)
    low, high = (math.degrees(edge) + 10 for edge in edges[2:])
    cols = [
        j
        for j in range(count)
        if any(low <= (j + 0.5 + turn * count) * degrees < high for turn in (-2, -1, 0, 1, 2))
    ]
    if rows and cols:
        return {(i, j) for i in rows for j in cols}
    row, per = eta_row(float(eta)), 1 if name == "ECAL" else 5
    return {(row // per, phi_column(float(phi)) // per)} if row >= 0 else set()


def random_towers(seed, size):
    """Return edges, directions inside of them and energies of towers of many sizes, some wrapping in phi."""
    rng = np.random.default_rng(seed)
    width = rng.choice([0.01, 0.0174, 0.025, 0.087, 0.35], size)
    span = np.radians(rng.choice([0.7, 1, 1.4, 5, 10, 20], size))
    low, begin = rng.uniform(-3.2, 3.2, size), rng.uniform(-2 * np.pi, 2 * np.pi, size)
    edges = np.stack([low, low + width, begin, begin + span], axis=1)
    inside = low + width * rng.uniform(0, 1, size), begin + span * rng.uniform(0, 1, size)
    return edges, inside, rng.exponential(5, size)


@pytest.mark.parametrize("name", GRIDS)
def test_towers_cover_what_a_slow_loop_says_and_keep_their_energy(name):
    edges, at, energy = random_towers(1, 300)
    edges[7] = 0  # as in files of Delphes that merge towers
    edges[8], edges[9] = edges[8][[1, 0, 2, 3]], np.nan
    offsets = np.array([0, 100, 100, 300])
    pixels = coarse.tower_pixels(GRIDS[name], edges, at, energy, offsets)
    place, kept = 0, pixels.row >= 0
    for k in range(300):
        expected = slow_tower(name, edges[k] if k not in (8, 9) else [0, 0, 0, 0], at[0][k], at[1][k])
        count = max(len(expected), 1)
        mine = slice(place, place + count)
        found = list(zip(pixels.row[mine][kept[mine]], pixels.col[mine][kept[mine]], strict=True))
        assert sorted(found) == sorted(expected), (k, edges[k], at[0][k])
        np.testing.assert_allclose(pixels.value[mine].sum(), energy[k], rtol=1e-12)
        place += count
        if k == 99:
            assert pixels.offsets.tolist()[:3] == [0, place, place]
    assert pixels.offsets[-1] == len(pixels.value) == place


@pytest.mark.parametrize("ieta", [-28, -21, -20, -17, -1, 1, 8, 16, 20, 21, 28])
@pytest.mark.parametrize("iphi", [1, 35, 37, 71])
def test_a_tower_of_cms_is_five_by_five_crystals(ieta, iphi):
    """Centre of a tower by |ieta| and iphi; 10 degrees are two columns of towers."""
    low, high = HBHE_ETA_EDGES[abs(ieta) - 1], HBHE_ETA_EDGES[abs(ieta)]
    halves = 2 if abs(ieta) > 20 else 1
    eta, phi = math.copysign((low + high) / 2, ieta), math.radians(5 * (iphi - 1) + 2.5 * halves)
    at = np.array([eta]), np.array([phi if phi < math.pi else phi - 2 * math.pi])
    assert tower_at(eta, phi) == (ieta, iphi)
    edges = coarse.hcal_tower_edges(*at)
    towers = {(tower_row(ieta), tower_column(iphi + half)) for half in range(halves)}
    one = np.array([0, 1])
    pixels = coarse.tower_pixels(coarse.HBHE, edges, at, np.ones(1), one)
    assert set(zip(pixels.row, pixels.col, strict=True)) == towers
    assert len(pixels.row) == halves
    crystals = coarse.tower_pixels(coarse.ECAL, edges, at, np.ones(1), one)
    assert set(zip(crystals.row // 5, crystals.col // 5, strict=True)) == towers
    assert len(crystals.row) == len(set(zip(crystals.row, crystals.col, strict=True))) == 25 * halves
    seeds = coarse.seed_pixels(pixels)
    assert set(zip(seeds.row, seeds.col, strict=True)) == {(tower_row(ieta), iphi - 1)}


def test_seeds_are_where_those_of_hits_are():
    """The HBHE frame of depth-1 hits, turned into seeds, is the seed frame of the same hits."""
    towers = [
        (a, p) for a in range(-28, 29) if a for p in (range(1, 73) if abs(a) <= 20 else range(1, 73, 2))
    ]
    rng = np.random.default_rng(3)
    chosen = [towers[k] for k in rng.permutation(len(towers))[:400]]
    ids = [0x42000000 | 1 << 14 | (0x2000 if a > 0 else 0) | abs(a) << 7 | p for a, p in chosen]
    energy = np.float32(2) ** rng.integers(-3, 4, 400)
    table = Ragged(np.array([0, 400]), {"detid": np.array(ids, "u4"), "energy": energy.astype("f4")})
    batch = EventBatch(0, 1, {"HBHE": table})
    made, expected = layers.hbhe(batch, layers.FillOptions()), layers.hbhe_depth1(batch)
    seeds = coarse.seed_pixels(coarse.Pixels(made.offsets, made.row, made.col, made.value))
    frames = np.zeros((2, 56, 72))
    np.add.at(frames[0], (seeds.row, seeds.col), seeds.value)
    np.add.at(frames[1], (expected.row, expected.col), expected.value)
    np.testing.assert_array_equal(frames[0], frames[1])


def test_the_barrel_is_rows_55_to_224():
    row = np.array([-1, 0, 54, 55, 224, 225, 279])
    pixels = coarse.barrel_pixels(coarse.Pixels(np.array([0, 7]), row, row, row))
    assert pixels.row.tolist() == [-1, -1, -1, 0, 169, -1, -1]


def test_what_has_no_place_or_no_energy_is_left_out():
    eta = np.array([0.1, np.nan, 0.1, 3.01, -5, 0.1, 0.1, 0.1], "f4")
    phi = np.array([0.1, 0.1, np.inf, 0.1, 0.1, 0.1, 0.1, 0.1], "f4")
    energy = np.array([1, 1, 1, 1, 1, -1, np.nan, np.inf], "f4")
    offsets = np.array([0, 8])
    for edges in (np.zeros((8, 4)), coarse.hcal_tower_edges(eta, phi)):
        pixels = coarse.tower_pixels(coarse.HBHE, edges, (eta, phi), energy, offsets)
        assert pixels.value[pixels.row >= 0].tolist() == [1]
    pixels = coarse.particle_pixels(coarse.ECAL, eta, phi, energy, offsets)
    assert pixels.value[(pixels.row >= 0) & (pixels.value != 0)].tolist() == [1, -1]


def test_particles_are_where_a_turn_more_puts_them():
    rng = np.random.default_rng(4)
    eta, phi = rng.uniform(-3, 3, 200), rng.uniform(-np.pi, np.pi, 200)
    offsets, value = np.array([0, 200]), np.ones(200)
    here, there = (
        coarse.particle_pixels(coarse.HBHE, eta, phi + turn, value, offsets) for turn in (0, 2 * np.pi)
    )
    np.testing.assert_array_equal(here.col, there.col)
    assert here.row.tolist() == [eta_row(float(one)) // 5 for one in eta]


def test_towers_that_cover_each_other_many_times_are_refused_before_they_are_spread():
    edges = np.tile([-3.0, 3.0, -math.pi, math.pi], (10_000, 1))
    at = np.zeros(10_000), np.zeros(10_000)
    with pytest.raises(ValueError, match="cover more than the whole detector"):
        coarse.tower_pixels(coarse.ECAL, edges, at, np.ones(10_000), np.array([0, 10_000]))
    whole = coarse.tower_pixels(coarse.ECAL, edges, at, np.eye(10_000)[0], np.array([0, 10_000]))
    assert len(whole.row) == 280 * 360 == len(set(zip(whole.row.tolist(), whole.col.tolist(), strict=True)))
