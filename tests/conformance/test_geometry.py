"""DetIds and endcap pixels agree with an independent geometry, cell by cell."""

from itertools import pairwise
from math import asinh, atan2, degrees, hypot, sqrt

import numpy as np
import oracle
import pytest

from e2edist.imaging.detid import eb_index, ee_index, hbhe_index
from e2edist.imaging.geometry import ee_table


@pytest.fixture(scope="module")
def cells(data):
    with np.load(data / "geometry" / "cells.npz") as file:
        return {name: file[name] for name in file.files}


def positions(cells, part):
    return list(zip(*(cells[f"{part}_{name}"].tolist() for name in ("detid", "x", "y", "z")), strict=True))


def test_endcap_pixels_equal_those_of_the_independent_geometry(cells):
    crystals = positions(cells, "EE")
    assert len(crystals) == 14648
    table = ee_table()
    for detid, x, y, z in crystals:
        _, ix, iy, side = oracle.decode(detid)
        assert ee_index(detid) == (side, ix, iy)
        pixel = oracle.endcap_pixel(asinh(z / hypot(x, y)), atan2(y, x))
        assert pixel == oracle.ee_pixel(ix, iy, side)
        assert pixel == tuple(table[(side + 1) // 2, ix - 1, iy - 1])
        assert (x > 0, y > 0, z > 0) == (ix > 50, iy > 50, side > 0)
        nominal = oracle.ee_centres()[ix, iy, side]
        assert sqrt(sum((1000 * a - b) ** 2 for a, b in zip((x, y, z), nominal, strict=True))) < 0.01
    assert np.count_nonzero(table[..., 0] >= 0) == 14648


def test_barrel_ids_lie_where_the_independent_geometry_puts_them(cells):
    crystals = positions(cells, "EB")
    etas = {}
    for detid, x, y, z in crystals:
        _, ieta, iphi = oracle.decode(detid)
        assert eb_index(detid) == (ieta, iphi)
        away = degrees(atan2(y, x)) - (iphi - 10.5)
        assert abs((away + 180) % 360 - 180) < 0.5
        etas.setdefault(ieta, []).append(asinh(z / hypot(x, y)))
    ordered = sorted(etas)
    for lower, upper in pairwise(ordered):
        assert max(etas[lower]) < min(etas[upper])


@pytest.mark.parametrize("part", ["HB", "HEHF"])
def test_hcal_ids_lie_where_the_independent_geometry_puts_them(cells, part):
    seen = 0
    for detid, x, y, z in positions(cells, part):
        name, ieta, iphi, *depth = (*oracle.decode(detid), 0)
        if name is None:  # HF
            assert hbhe_index(detid) == (0, 0, 0)
            continue
        assert hbhe_index(detid) == (ieta, iphi, depth[0])
        assert (ieta > 0) == (z > 0)
        width = 5 if abs(ieta) <= 20 else 10
        phi = degrees(atan2(y, x)) % 360
        assert abs(phi - (5 * (iphi - 1) + width / 2)) < width / 2
        eta = abs(asinh(z / hypot(x, y)))
        low, high = oracle.HBHE_ETA[min(abs(ieta), 28) - 1], oracle.HBHE_ETA[min(abs(ieta), 28)]
        assert low - 0.1 < eta < high + 0.1
        seen += 1
    assert seen >= 1296
