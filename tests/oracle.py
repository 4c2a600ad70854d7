"""Every image the slow and obvious way: written from the definitions, sharing nothing with the product.

Hits and objects are taken from an `EventBatch` one by one; sums are float32 and in file order.
"""

import csv
from functools import cache
from math import asinh, floor, hypot, isfinite, pi
from pathlib import Path

import numpy as np

f32 = np.float32

# fmt: off
EE_ETA = [
    1.479, 1.4964, 1.5138, 1.5312, 1.5486, 1.566, 1.5834, 1.6008, 1.6182, 1.6356, 1.653, 1.6704, 1.6878,
    1.7052, 1.7226, 1.74, 1.758, 1.776, 1.794, 1.812, 1.83, 1.85, 1.87, 1.89, 1.91, 1.93, 1.9526, 1.9752,
    1.9978, 2.0204, 2.043, 2.0688, 2.0946, 2.1204, 2.1462, 2.172, 2.202, 2.232, 2.262, 2.292, 2.322, 2.3576,
    2.3932, 2.4288, 2.4644, 2.5, 2.53, 2.56, 2.59, 2.62, 2.65, 2.72, 2.79, 2.86, 2.93, 3.0,
]
HBHE_ETA = [
    0, 0.087, 0.174, 0.261, 0.348, 0.435, 0.522, 0.609, 0.695, 0.783, 0.870, 0.957, 1.044, 1.131, 1.218,
    1.305, 1.392, 1.479, 1.566, 1.653, 1.740, 1.830, 1.930, 2.043, 2.172, 2.322, 2.500, 2.650, 3.000,
]
# fmt: on


def rows(batch, table, event, *names):
    """Return the rows of one event as tuples of the columns named."""
    ragged = batch[table]
    start, stop = ragged.offsets[event], ragged.offsets[event + 1]
    return list(zip(*(ragged[name][start:stop] for name in names), strict=True))


def kept(batch, table, event, *names):
    """Return (cell, energy, columns ...) of the hits with positive energy; NaN is not positive."""
    hits = []
    for detid, energy, *rest in rows(batch, table, event, "detid", "energy", *names):
        detector, *cell = decode(int(detid))
        if energy > 0 and detector == table and exists(detector, *cell):
            hits.append((cell, energy, *rest))
    return hits


def exists(detector, a, b, c=None):
    """Return whether there is a cell of this number."""
    if detector == "EB":
        return 1 <= abs(a) <= 85 and 1 <= b <= 360
    return (a, b, c) in ee_centres() if detector == "EE" else 1 <= abs(a) <= 29 and 1 <= b <= 72


def decode(detid):
    """Return ("EB", ieta, iphi), ("EE", ix, iy, side), ("HBHE", ieta, iphi, depth) or (None, 0, 0)."""
    detector, subdetector = detid >> 28, (detid >> 25) & 7
    if (detector, subdetector) == (3, 1):
        sign = 1 if detid & 0x10000 else -1
        return "EB", sign * ((detid >> 9) & 0x7F), detid & 0x1FF
    if (detector, subdetector) == (3, 2):
        side = 1 if detid & 0x4000 else -1
        return "EE", (detid >> 7) & 0x7F, detid & 0x7F, side
    if detector != 4 or subdetector not in (1, 2):
        return None, 0, 0
    if detid & 0x01000000:  # new form
        sign = 1 if detid & 0x80000 else -1
        return "HBHE", sign * ((detid >> 10) & 0x1FF), detid & 0x3FF, (detid >> 20) & 0xF
    sign = 1 if detid & 0x2000 else -1
    return "HBHE", sign * ((detid >> 7) & 0x3F), detid & 0x7F, (detid >> 14) & 0x1F


def eb_pixel(ieta, iphi):
    """Return row and column in the 170 x 360 grid of EB."""
    return (ieta + 84 if ieta > 0 else ieta + 85), iphi - 1


@cache
def ee_centres():
    """Return {(ix, iy, side): (x, y, z) in mm}: one quadrant from the table, the others mirrored."""
    centres = {}
    table = Path(__file__).parents[1] / "e2edist" / "imaging" / "ee_quadrant.csv"
    with table.open() as lines:
        for line in csv.DictReader(lines):
            ix, iy = int(line["ix"]), int(line["iy"])
            x, y, z = float(line["x_mm"]), float(line["y_mm"]), float(line["z_mm"])
            for side in (1, -1):
                centres[ix, iy, side] = (x, y, side * z)
                centres[101 - ix, iy, side] = (-x, y, side * z)
                centres[ix, 101 - iy, side] = (x, -y, side * z)
                centres[101 - ix, 101 - iy, side] = (-x, -y, side * z)
    return centres


@cache
def ee_pixel(ix, iy, side):
    """Return row and column of a crystal of EE in the stitched 280 x 360 grid."""
    x, y, z = ee_centres()[ix, iy, side]
    return endcap_pixel(asinh(z / hypot(x, y)), np.arctan2(y, x))


def endcap_pixel(eta, phi):
    """Return row and column of a direction, |eta| from 1.479 to 3, in the stitched grid."""
    eta_bin = 0
    while eta_bin < 54 and abs(eta) >= EE_ETA[eta_bin + 1]:
        eta_bin += 1
    row = 225 + eta_bin if eta > 0 else 54 - eta_bin
    phi_bin = floor((phi + pi) / (2 * pi) * 360)
    return row, (phi_bin + 190) % 360


def barrel_crystal(eta, phi):
    """Return row and column in the EB grid of a direction, |eta| up to 1.479."""
    ieta = min(85, floor(abs(eta) / 0.0174533) + 1)
    iphi = floor(phi * 180 / pi + 10) % 360 + 1
    return eb_pixel(-ieta if eta < 0 else ieta, iphi)


def direction_pixel(eta, phi):
    """Return row and column of a track or tracker hit in the stitched grid, None where it has none."""
    eta, phi = float(eta), float(phi)
    if not (isfinite(eta) and isfinite(phi) and abs(eta) <= 3):
        return None
    if abs(eta) > 1.479:
        return endcap_pixel(eta, phi)
    row, column = barrel_crystal(eta, phi)
    return row + 55, column


def tower_pixels(ieta, iphi):
    """Return [(row, column, fraction of the energy)] of an HCAL tower in the 56 x 72 grid."""
    a = 28 if abs(ieta) == 29 else abs(ieta)
    row = (a - 1 if ieta > 0 else -a) + 28
    column = (iphi + 1) % 72
    if abs(ieta) > 20:
        return [(row, column, f32(0.5)), (row, (column + 1) % 72, f32(0.5))]
    return [(row, column, f32(1))]


def eb(batch, event, what="energy"):
    """EB_energy, EB_time: 170 x 360."""
    image = np.zeros((170, 360), f32)
    for cell, _energy, value in kept(batch, "EB", event, what):
        image[eb_pixel(*cell)] += value
    return image


def ee_plane(batch, event, side):
    """EE_plus, EE_minus: 100 x 100."""
    image = np.zeros((100, 100), f32)
    for (ix, iy, its_side), energy in kept(batch, "EE", event):
        if its_side == side:
            image[iy - 1, ix - 1] += energy
    return image


def ecal(batch, event, endcap_factor=1.0):
    """ECAL_energy: 280 x 360, EE- below EB below EE+."""
    image = np.zeros((280, 360), f32)
    image[55:225] = eb(batch, event)
    for cell, energy in kept(batch, "EE", event):
        image[ee_pixel(*cell)] += energy
    image[:55] *= f32(endcap_factor)
    image[225:] *= f32(endcap_factor)
    return image


def hbhe(batch, event):
    """HBHE_energy: 56 x 72 towers."""
    image = np.zeros((56, 72), f32)
    for (ieta, iphi, _depth), energy in kept(batch, "HBHE", event):
        for row, column, fraction in tower_pixels(ieta, iphi):
            image[row, column] += energy * fraction
    return image


def upsampled(towers):
    """56 x 72 towers -> 280 x 360 pixels."""
    image = np.zeros((280, 360), f32)
    for row in range(56):
        for column in range(72):
            image[5 * row : 5 * row + 5, 5 * column : 5 * column + 5] = towers[row, column] / f32(25)
    return image


def tracks(batch, event, what, quality_mask=4):
    """ECAL_tracksPt, ECAL_tracksD0, ECAL_tracksDz (what = pt, d0, dz): 280 x 360."""
    image = np.zeros((280, 360), f32)
    names = ["eta", "phi", what] + (["dz"] if what != "pt" else []) + (["quality"] if quality_mask else [])
    for track in rows(batch, "tracks", event, *names):
        value_of = dict(zip(names, track, strict=True))
        pixel = direction_pixel(value_of["eta"], value_of["phi"])
        if pixel is None or (quality_mask and not int(value_of["quality"]) & quality_mask):
            continue
        if what == "pt" or abs(value_of["dz"]) < f32(0.1):
            image[pixel] += value_of[what]
    return image


def hit_counts(batch, event, layer):
    """BPIX1, TOB3, ...: number of hits, 280 x 360."""
    image = np.zeros((280, 360), f32)
    for eta, phi in rows(batch, layer, event, "eta", "phi"):
        if (pixel := direction_pixel(eta, phi)) is not None:
            image[pixel] += f32(1)
    return image


def impact(vertex, first_vertex, momentum):
    """Return (d0, dz) in cm of a track, relative to the first vertex."""
    (vx, vy, vz), (x0, y0, z0), (px, py, pz) = vertex, first_vertex, momentum
    pt = hypot(px, py)
    cos_phi, sin_phi = px / pt, py / pt
    d0 = -(vx - x0) * sin_phi + (vy - y0) * cos_phi
    dz = (vz - z0) - ((vx - x0) * cos_phi + (vy - y0) * sin_phi) * pz / pt
    return d0, dz


def nan_or_pt(pt, eta, phi, pt_min):
    """Cuts that all objects share, in order."""
    if not (isfinite(pt) and isfinite(eta) and isfinite(phi)):
        return "nan"
    return "pt" if pt < pt_min else "ok"


def egamma_seed(batch, event, obj, pt_min=10.0, eta_max=1.44, *, window=(7, 13), edge="pad"):
    """Hottest EB pixel round a photon or electron (pt, eta, phi); row and column in the EB grid."""
    pt, eta, phi = (float(x) for x in obj)
    if (status := nan_or_pt(pt, eta, phi, pt_min)) != "ok":
        return status, None, None
    if abs(eta) > float(np.float32(eta_max)):
        return "eta", None, None
    image = eb(batch, event)
    row0, column0 = barrel_crystal(eta, phi)
    best, seed = f32(0), None
    for i in range(-(window[0] // 2), window[0] // 2 + 1):
        for j in range(-(window[1] // 2), window[1] // 2 + 1):
            row, column = row0 + i, (column0 + j) % 360
            if 0 <= row < 170 and image[row, column] > best:
                best, seed = image[row, column], (row, column)
    if seed is None:
        return "no_hit", None, None
    return ("edge" if edge == "drop" and not 15 <= seed[0] <= 153 else "ok"), *seed


def jet_axis(eta, phi):
    """Return (ieta, iphi) of the HCAL tower that a jet points to."""
    a = 1
    while a < 28 and abs(eta) >= HBHE_ETA[a]:
        a += 1
    turn = phi % (2 * pi) / (2 * pi)
    iphi = floor(turn * 72) % 72 + 1 if a <= 20 else 2 * (floor(turn * 36) % 36 + 1) - 1
    return (-a if eta < 0 else a), iphi


def depth1_towers(batch, event):
    """Return {(ieta, iphi): energy of depth 1}."""
    towers = {}
    for (ieta, iphi, depth), energy in kept(batch, "HBHE", event):
        if depth == 1 and abs(ieta) <= 28:
            towers[ieta, iphi] = towers.get((ieta, iphi), f32(0)) + energy
    return towers


def jet_seed(batch, event, obj, pt_min=35.0, eta_max=2.4, *, keep_empty=False):
    """Hottest depth-1 tower round a jet (pt, eta, phi); row and column in the stitched grid."""
    pt, eta, phi = (float(x) for x in obj)
    if (status := nan_or_pt(pt, eta, phi, pt_min)) != "ok":
        return status, None, None
    if abs(eta) >= float(np.float32(eta_max)):
        return "eta", None, None
    towers = depth1_towers(batch, event)
    ieta0, iphi0 = jet_axis(eta, phi)
    best, seed = f32(0), None
    for i in range(-3, 4):
        for j in range(-3, 4):
            tower = (ieta0 + i, (iphi0 - 1 + j) % 72 + 1)
            if tower in towers and towers[tower] > best:
                best, seed = towers[tower], tower
    if seed is None:
        if not keep_empty:
            return "no_hit", None, None
        seed = ieta0, iphi0
    row, column, _ = tower_pixels(*seed)[0]
    return ("ok" if abs(seed[0]) <= 16 else "seed_eta"), 5 * row + 2, 5 * column + 2


def crop(image, row, column, n):
    """Cut n x n pixels round a seed: phi wraps, rows outside are zero."""
    c = n // 2 - 1 if n % 2 == 0 else n // 2
    cut = np.zeros((n, n), f32)
    for i in range(n):
        for j in range(n):
            if 0 <= row - c + i < image.shape[0]:
                cut[i, j] = image[row - c + i, (column - c + j) % 360]
    return cut


def normalised(x, threshold, scale, offset):
    """Threshold, scale and shift one pixel."""
    x = f32(0) if abs(x) < f32(threshold) else x
    return x * f32(scale) + f32(offset)
