"""Tracks of MiniAOD: charged packed candidates, unpacked by the formulas of pat::PackedCandidate.

MiniAOD keeps no general tracks, but momentum, impact parameters and quality of the track of each charged
candidate, in 16 bits each. The arithmetic is that of CMSSW, in float32 where it is float there, which reads
files of older releases by the same formulas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from e2edist.errors import EntriesError

from ._branch_map import JaggedColumn, TableReader
from ._tables import build_table, columns_of, offsets_of
from ._track_columns import first_of_each

if TYPE_CHECKING:
    from collections.abc import Mapping

    from e2edist.imaging.event_batch import Array, Ragged

    from ._branch_map import Branch

_PHI = ("pt", "phi", "dphi")
#: Track column -> inputs below; those of `OPTIONAL` where the file has them.
PACKED_INPUTS: dict[str, tuple[str, ...]] = {
    "pt": ("pt", "dpt"),
    "eta": ("eta", "deta"),
    "phi": _PHI,
    "d0": (*_PHI, "dxy", "key"),
    "dz": (*_PHI, "dxy", "key", "dz", "eta", "deta"),
    "quality": ("flags",),
}
#: Input -> its name below the product.
PACKED_NAMES: dict[str, tuple[str, ...]] = {
    "pt": ("obj.packedPt_",),
    "eta": ("obj.packedEta_",),
    "phi": ("obj.packedPhi_",),
    "dpt": ("obj.packedDTrkPt_",),
    "deta": ("obj.packedDEta_",),
    "dphi": ("obj.packedDPhi_",),
    "dxy": ("obj.packedDxy_",),
    "dz": ("obj.packedDz_",),
    "flags": ("obj.qualityFlags_",),
    "pdg": ("obj.pdgId_",),
    # The vertex of a candidate: its index in a list that is the same for all, or in a whole reference.
    "key": ("obj.pvRefKey_", "obj.pvRef_.product_.elementIndex_"),
}
#: What the first releases do not have: there the track's momentum is the candidate's.
OPTIONAL = frozenset({"dpt", "deta"})
#: Index of no vertex.
_NO_KEY = 0xFFFFFFFF
#: PDG ids that pat::PackedCandidate takes for charged, without signs.
_CHARGED = (11, 13, 15, 24, 211)
_HIGH_PURITY = 8
_MOST, _PI = np.float32(np.iinfo(np.int16).max), np.float32(np.pi)


class Vertices(NamedTuple):
    """Primary vertices of some events: positions in cm, one row a vertex."""

    x: JaggedColumn
    y: JaggedColumn
    z: JaggedColumn


def packed_inputs(wanted: frozenset[str]) -> frozenset[str]:
    """Return what track columns are computed from; the number of tracks alone needs some too."""
    return frozenset({"pdg", *(one for column in wanted or {"pt"} for one in PACKED_INPUTS[column])})


def packed_reader(
    wanted: frozenset[str], given: Mapping[str, Branch], places: Mapping[str, Branch]
) -> TableReader:
    """Return what reads packed candidates as tracks.

    Parameters
    ----------
    wanted : frozenset of str
        Track columns.
    given : mapping of str to Branch
        Those of `packed_inputs` that the file has.
    places : mapping of str to Branch
        x, y and z of the vertices, for d0 and dz.
    """

    def build(lists: Mapping[str, JaggedColumn]) -> Ragged:
        kept = charged(columns_of(given, lists))
        at = Vertices(**columns_of(places, lists)) if places else None
        rows = kept["pdg"].offsets
        with np.errstate(all="ignore"):
            made = {c: JaggedColumn(rows, packed_column(c, kept, at)) for c in wanted or {"pt"}}
        return build_table("tracks", made, wanted)

    return TableReader("tracks", tuple(dict.fromkeys((*given.values(), *places.values()))), build)


def charged(lists: Mapping[str, JaggedColumn]) -> dict[str, JaggedColumn]:
    """Return the inputs of the candidates that have a charge, in their order."""
    kept = np.isin(np.abs(lists["pdg"].data.astype(np.int64)), _CHARGED)
    offsets = np.concatenate(([0], np.cumsum(kept)))[offsets_of("packed", lists)]
    for name, one in lists.items():
        if one.data.dtype.kind not in "iu":
            raise EntriesError("", f"the packed candidates have {name} of type {one.data.dtype}, not in bits")
    return {name: JaggedColumn(offsets, one.data[kept]) for name, one in lists.items()}


def packed_column(column: str, given: Mapping[str, JaggedColumn], vertices: Vertices | None) -> Array:
    """Return a track column of charged candidates, which d0 and dz have relative to the first vertex.

    Raises
    ------
    EntriesError
        A candidate belongs to a vertex that its event does not have.
    """
    values = {name: one.data for name, one in given.items()}
    if column == "quality":
        # As pseudoTrack() has it: every track is loose (bit 0), some are of high purity (bit 2).
        return np.where(values["flags"] & _HIGH_PURITY, 5, 1).astype(np.uint8)
    if column == "pt":
        return _half(values["pt"]).astype(np.float64) + _half_or_0(values, "dpt")
    if column == "eta":
        return _eta(values)
    if column == "phi":
        at_vertex = (_phi(values) + _scaled(values["dphi"], 3.2)).astype(np.float32)
        turn = np.float32(2) * _PI
        at_vertex = np.where(at_vertex > _PI, at_vertex - turn, at_vertex)
        return np.where(at_vertex < -_PI, at_vertex + turn, at_vertex)
    if vertices is None:
        raise ValueError(f"{column} needs vertices")
    return _impact_parameter(column, values, vertices, given["pt"].offsets)


def _impact_parameter(column: str, values: Mapping[str, Array], vertices: Vertices, offsets: Array) -> Array:
    """Return d0 or dz relative to the first vertex: dxy(p) and dz(p) of pat::PackedCandidate."""
    counts = np.diff(offsets)
    known, places = _places(values["key"].astype(np.int64), vertices.x.offsets, counts)
    own = [_at(one.data, known, places) for one in vertices]
    first = [np.repeat(first_of_each(one), counts) for one in vertices]
    dphi, dxy = _scaled(values["dphi"], 3.2), _centimetres(values["dxy"]).astype(np.float32)
    sin, cos = _sin_cos((_phi(values) + dphi).astype(np.float32))
    dx = own[0] - dxy * sin - first[0]
    dy = own[1] + dxy * cos - first[1]
    sin, cos = _sin_cos(_phi(values).astype(np.float32) + dphi)
    if column == "d0":
        return np.asarray(-dx * sin + dy * cos)
    along = np.where(known, _centimetres(values["dz"]), _scaled(values["dz"], 40.0)).astype(np.float32)
    return np.asarray(own[2] + along - first[2] - (dx * cos + dy * sin) * _slope(values))


def _at(positions: Array, known: Array, places: Array) -> Array:
    out = np.zeros(len(places), np.float64)
    out[known] = positions[places[known]]
    return out


def _places(keys: Array, bounds: Array, counts: Array) -> tuple[Array, Array]:
    """Return which candidates have a vertex, and where it is among those of all events."""
    known = keys != _NO_KEY
    if (known & (keys >= np.repeat(np.diff(bounds), counts))).any():
        raise EntriesError("", "packed candidates belong to vertices that their event does not have")
    return known, np.where(known, np.repeat(bounds[:-1], counts) + keys, 0)


def _slope(values: Mapping[str, Array]) -> Array:
    """Return pz/pT as float32: that of the candidate, or of its track where that has another direction."""
    slope = np.sinh(_scaled(values["eta"], 6.0).astype(np.float64)).astype(np.float32)
    if "deta" not in values:
        return slope
    at_vertex = np.sinh(_eta(values).astype(np.float64)).astype(np.float32)
    return np.where(_half(values["deta"]) != 0, at_vertex, slope)


def _half(packed: Array) -> Array:
    """Return numbers of 16 bits as float32: MiniFloatConverter's tables are those of IEEE half floats."""
    return packed.astype(np.uint16).view(np.float16).astype(np.float32)


def _centimetres(packed: Array) -> Array:
    return _half(packed).astype(np.float64) / 100.0


def _half_or_0(values: Mapping[str, Array], name: str) -> Array:
    return _half(values[name]) if name in values else np.zeros(1, np.float32)


def _scaled(packed: Array, most: float) -> Array:
    """Return signed fractions of `most` as float32."""
    return packed.astype(np.uint16).view(np.int16).astype(np.float32) * np.float32(most) / _MOST


def _eta(values: Mapping[str, Array]) -> Array:
    eta = _scaled(values["eta"], 6.0).astype(np.float64)
    return (eta + _half_or_0(values, "deta")).astype(np.float32)


def _phi(values: Mapping[str, Array]) -> Array:
    """Return the candidate's azimuth in float64: moved by a pseudo-random bit, lest two have the same."""
    pt = _half(values["pt"])
    shift = np.where(pt < 1, 0.1 * pt.astype(np.float64), 0.1 / pt.astype(np.float64))
    sign = np.where(np.fmod(np.trunc(pt * np.float32(10)), 2) == 0, 1.0, -1.0)
    phi = _scaled(values["phi"], 3.2) + sign * shift * 3.2 / float(_MOST)
    turned = phi - np.floor(phi / (2 * np.pi) + 0.5) * 2 * np.pi
    return np.where((phi <= -np.pi) | (phi > np.pi), turned, phi)


def _sin_cos(phi: Array) -> tuple[Array, Array]:
    # By way of float64, whose sines are the same on every machine once they are rounded.
    wide = phi.astype(np.float64)
    return np.sin(wide).astype(np.float32), np.cos(wide).astype(np.float32)
