"""Slow words for pat::PackedCandidate: one at a time, in Python's own numbers, float where C++ has it.

`pack` is what CMSSW's own producer does to a number before it is written.
"""

import math
import struct

import numpy as np


def single(value):
    """Return a number as a C++ float has it."""
    return struct.unpack("<f", struct.pack("<f", value))[0]


#: PDG ids of charged candidates.
SIGNED_CHARGES = (211, -211, 11, -11, 13, -13)
PI, MOST = single(math.pi), 32767.0


def half(packed):
    """Return 16 bits as MiniFloatConverter::float16to32 does: sign, 5 bits of exponent, 10 of mantissa."""
    sign, exponent, mantissa = packed >> 15, packed >> 10 & 31, packed & 1023
    if exponent == 31:
        value = math.nan if mantissa else math.inf
    elif exponent:
        value = (1 + mantissa / 1024) * 2.0 ** (exponent - 15)
    else:
        value = mantissa / 1024 * 2.0**-14
    return -value if sign else value


def scaled(packed, most):
    signed = packed - 65536 if packed > 32767 else packed
    return single(single(signed * single(most)) / MOST)


def phi_of(packed):
    pt = half(packed["pt"])
    shift = 0.1 * pt if pt < 1 else 0.1 / pt
    sign = 1 if int(single(pt * 10)) % 2 == 0 else -1
    phi = scaled(packed["phi"], 3.2) + sign * shift * 3.2 / MOST
    if phi <= -math.pi or phi > math.pi:
        phi -= math.floor(phi / (2 * math.pi) + 0.5) * 2 * math.pi
    return phi


def track(packed, vertices):
    """Return pt, eta, phi, d0, dz and quality of the pseudo-track of one candidate, as float.

    Parameters
    ----------
    packed : dict of str to int
        Inputs as `PACKED_NAMES` has them; without dpt and deta of an old release.
    vertices : list of (x, y, z)
        Those of its event; d0 and dz are relative to the first.
    """
    eta4, phi4 = scaled(packed["eta"], 6.0), phi_of(packed)
    deta, dphi = half(packed.get("deta", 0)), scaled(packed["dphi"], 3.2)
    eta = single(eta4 + deta)
    phi = single(phi4 + dphi)
    if phi > PI:
        phi = single(phi - single(2 * PI))
    if phi < -PI:
        phi = single(phi + single(2 * PI))
    found = {"pt": single(half(packed["pt"]) + half(packed.get("dpt", 0))), "eta": eta, "phi": phi}
    found["quality"] = 1 | (packed["flags"] >> 3 & 1) << 2
    has_vertex = packed["key"] != 0xFFFFFFFF
    own = vertices[packed["key"]] if has_vertex else (0.0, 0.0, 0.0)
    dxy = single(half(packed["dxy"]) / 100.0)
    along = single(half(packed["dz"]) / 100.0 if has_vertex else scaled(packed["dz"], 40.0))
    turned = single(phi4 + dphi)
    sin, cos = single(math.sin(turned)), single(math.cos(turned))
    x, y = own[0] - single(dxy * sin), own[1] + single(dxy * cos)
    dx, dy = x - vertices[0][0], y - vertices[0][1]
    turned = single(single(phi4) + dphi)
    sin, cos = single(math.sin(turned)), single(math.cos(turned))
    slope = single(math.sinh(eta if deta else eta4))
    found["d0"] = single(-dx * sin + dy * cos)
    found["dz"] = single((own[2] + along - vertices[0][2]) - (dx * cos + dy * sin) * slope)
    return found


def pack(value, most):
    """Return a signed fraction of `most` in 16 bits."""
    return round(value / most * MOST) & 0xFFFF


def pack_half(value):
    """Return a number in 16 bits of half precision."""
    return struct.unpack("<H", struct.pack("<e", value))[0]


def candidates(seed, events=40):
    """Return rows of packed candidates and the vertices of each event; all sorts of numbers are there."""
    random = np.random.default_rng(seed)
    rows, positions = [], []
    for _ in range(events):
        vertices = random.normal(0, (0.1, 0.1, 5), (random.integers(1, 5), 3)).astype("f4").astype(float)
        positions.append([tuple(one) for one in vertices])
        rows.append([])
        for _ in range(random.integers(0, 60)):
            pt = float(random.exponential(3) + 0.1)
            one = {
                "pt": pack_half(pt),
                "eta": pack(random.uniform(-3, 3), 6.0),
                "phi": pack(random.uniform(-np.pi, np.pi), 3.2),
                "dpt": pack_half(random.choice((0.0, 0.25 * pt))),
                "deta": pack_half(random.choice((0.0, 0.01))),
                "dphi": pack(random.choice((0.0, random.normal(0, 0.2))), 3.2),
                "dxy": pack_half(random.normal(0, 3)),
                "dz": pack_half(random.normal(0, 30)),
                "flags": int(random.integers(0, 2048)),
                "pdg": int(random.choice((*SIGNED_CHARGES, 22, 130, 1, 2))),
                "key": int(random.choice((*range(len(vertices)), 0xFFFFFFFF))),
            }
            rows[-1].append(one)
    return rows, positions
