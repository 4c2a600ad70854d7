"""Track kinematics and impact parameters from momentum, reference point and first vertex."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from e2edist.imaging.event_batch import Array

    from ._branch_map import JaggedColumn

#: Track column -> what it is computed from; `d0` and `dz` also need the vertices' x, y (and z).
TRACK_INPUTS: dict[str, tuple[str, ...]] = {
    "pt": ("px", "py"),
    "eta": ("px", "py", "pz"),
    "phi": ("px", "py"),
    "d0": ("px", "py", "vx", "vy"),
    "dz": ("px", "py", "pz", "vx", "vy", "vz"),
    "quality": ("quality",),
}
VERTEX_INPUTS: dict[str, tuple[str, ...]] = {"d0": ("x", "y"), "dz": ("x", "y", "z")}


def first_of_each(lists: JaggedColumn) -> Array:
    """Return the first value of each event, 0 where an event has none (no vertex: the origin)."""
    starts, stops = lists.offsets[:-1], lists.offsets[1:]
    out = np.zeros(len(starts), dtype=np.float64)
    some = stops > starts
    out[some] = lists.data[starts[some]]
    return out


def track_column(column: str, given: Mapping[str, Array]) -> Array:
    """Return a track column in float64 from momentum (GeV), reference point and first vertex (cm).

    dxy = -(vx - x0) sin(phi) + (vy - y0) cos(phi) and
    dz = (vz - z0) - ((vx - x0) cos(phi) + (vy - y0) sin(phi)) pz / pT, as `reco::TrackBase` defines them.
    """
    if column == "quality":
        return given["quality"]
    px, py = given["px"].astype(np.float64), given["py"].astype(np.float64)
    pt = np.hypot(px, py)
    if column == "pt":
        return pt
    if column == "phi":
        return np.arctan2(py, px)
    if column == "eta":
        return np.arcsinh(given["pz"] / pt)
    dx, dy = given["vx"] - given["x0"], given["vy"] - given["y0"]
    if column == "d0":
        return (dy * px - dx * py) / pt
    return (given["vz"] - given["z0"]) - (dx * px + dy * py) / pt * given["pz"] / pt
