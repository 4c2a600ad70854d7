"""Events made by hand: DetIds from numbers, batches from rows, and hypothesis strategies of hits."""

from math import pi

import numpy as np
import oracle
from hypothesis import settings
from hypothesis import strategies as st

from e2edist.imaging.crops import Crops, frame
from e2edist.imaging.event_batch import EventBatch, Ragged
from e2edist.imaging.layers import FillOptions, fill, hbhe_depth1
from e2edist.imaging.seeds import STATUSES, eb_hottest, hcal_tower

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
    window = {"window_rows": size[0], "window_cols": size[1]}
    seeds = eb_hottest(fill(batch, "EB_energy", ALL), *objects((eta, phi)), **window, edge="pad")
    return STATUSES[seeds.status[0]], int(seeds.row[0]), int(seeds.col[0])


def tower_seed(batch, eta, phi):
    seeds = hcal_tower(hbhe_depth1(batch), *objects((eta, phi)), no_hit="reject")
    return STATUSES[seeds.status[0]], int(seeds.row[0]), int(seeds.col[0])


def direction_of(row, column):
    """Return the (eta, phi) of the centre of an EB pixel."""
    ieta = row - 84.5
    phi = np.radians(column + 0.5 - 10)
    return 0.0174533 * ieta, float(phi - 2 * pi if phi > pi else phi)


def same(got, expected):
    status, row, column = expected
    return got == (status, -1 if row is None else row, -1 if column is None else column)


def random_crops(objects, channels=3, size=32, seed=0, most=60):
    """Return crops with up to `most` pixels a channel, of either sign, around every threshold, some empty."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, most + 1, (objects, channels)) * rng.integers(0, 2, (objects, channels))
    pixel = [
        c * size**2 + rng.permutation(size**2)[: counts[o, c]]
        for o in range(objects)
        for c in range(channels)
    ]
    offsets = np.concatenate([[0], np.cumsum(counts.ravel())])
    value = rng.normal(0, 1, offsets[-1]) ** 3
    flat = np.concatenate([np.zeros(0), *pixel]).astype(np.int32)
    return Crops(offsets.astype(np.int64), flat, value.astype(np.float32), channels, size)
