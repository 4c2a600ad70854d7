"""Image layers: what one channel is made of, as sparse whole-detector frames.

A frame is never made dense on the way to a crop. It is kept as the list of its non-zero pixels per
event (`Hits`), each pixel once, duplicates added in float32 in the order of the file. A dense frame
(`crops.frame`) and a crop (`crops.cut`) are two views of that list, so they agree bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from .detid import depth1_towers, eb_pixels, ee_plane_pixels, ee_stitched_pixels, hbhe_pixels
from .event_batch import PIXEL_COLUMNS, TRACKER_LAYERS, Columns, EventBatch, Ragged, pixel_table
from .geometry import (
    EB_FIRST_ROW,
    EB_SHAPE,
    ECAL_SHAPE,
    EE_SHAPE,
    HBHE_SHAPE,
    direction_pixels,
    ee_table,
)
from .hits import Hits, add_up, joined_order

#: Part of the campaign fingerprint: raise it whenever any pixel of any layer or crop may change.
IMAGING_VERSION = 1
#: Tracks count in the d0 and dz layers below this |dz| in cm.
DZ_MAX = np.float32(0.1)
#: Grid -> its rows and columns.
GRIDS = {"EB": EB_SHAPE, "ECAL": ECAL_SHAPE, "HBHE": HBHE_SHAPE, "EE": EE_SHAPE, "towers": HBHE_SHAPE}


@dataclass(frozen=True, slots=True)
class FillOptions:
    """What a tagger may choose about the filling of layers.

    Attributes
    ----------
    track_quality : int
        Bit mask of CMSSW track qualities, one of which a track must have; 4 is high purity, 0 takes all.
    endcap_factor : float
        Factor on the EE energies of ECAL_energy; some trainings used 1/4.
    """

    track_quality: int = 4
    endcap_factor: float = 1.0

    def needed(self, columns: Columns) -> Columns:
        """Return which of a layer's columns are read: no track quality where all tracks are taken."""
        if self.track_quality or "tracks" not in columns:
            return columns
        return {**columns, "tracks": columns["tracks"] - {"quality"}}


@dataclass(frozen=True, slots=True)
class Layer:
    """One kind of image channel.

    Attributes
    ----------
    grid : str
        EB (170x360), ECAL (280x360), HBHE (56x72) or EE (100x100).
    columns : mapping of str to frozenset of str
        Tables and columns of an `EventBatch` that it is made from.
    make : callable
        ``make(batch, options) -> Hits``, from tables of hits or tracks.
    unit : str
        Of its pixels.
    signed : bool
        Whether pixels have both signs, and zero is in the middle of a picture's colours.
    meaning : str
        Its definition in one line; docs/images.md has the whole.
    name : str
        As taggers write it.
    """

    grid: str
    columns: Columns
    make: Callable[[EventBatch, FillOptions], Hits]
    unit: str
    signed: bool = False
    meaning: str = ""
    name: str = ""

    def needed(self, options: FillOptions) -> Columns:
        """Return the tables and columns that a format must give: hits, or where it has none, pixels."""
        return {**options.needed(self.columns), pixel_table(self.name): frozenset(PIXEL_COLUMNS)}

    def fill(self, batch: EventBatch, options: FillOptions) -> Hits:
        """Return the sparse frames of all events of `batch`, from ready-made pixels where it has them."""
        pixels = batch.tables.get(pixel_table(self.name))
        return self.make(batch, options) if pixels is None else _ready_made(pixels, self, options)


def _ready_made(pixels: Ragged, layer: Layer, options: FillOptions) -> Hits:
    hits = add_up(pixels.offsets, pixels["row"], pixels["col"], pixels["value"], GRIDS[layer.grid])
    if layer.name != "ECAL_energy" or options.endcap_factor == 1:
        return hits
    endcap = (hits.row < EB_FIRST_ROW) | (hits.row >= EB_FIRST_ROW + EB_SHAPE[0])
    factor = np.where(endcap, np.float32(options.endcap_factor), np.float32(1))
    return replace(hits, value=hits.value * factor)


def eb(batch: EventBatch, column: str) -> Hits:
    """Return the EB frame (170x360) of a hit column: energies in GeV or times in ns, added per crystal."""
    table = batch["EB"]
    row, col = eb_pixels(table["detid"], table["energy"])
    return add_up(table.offsets, row, col, table[column], EB_SHAPE)


def ee_plane(batch: EventBatch, side: int) -> Hits:
    """Return the 100x100 energy plane of one endcap, side -1 or +1; row iy-1, column ix-1."""
    table = batch["EE"]
    row, col = ee_plane_pixels(table["detid"], table["energy"], ee_table(), side)
    return add_up(table.offsets, row, col, table["energy"], EE_SHAPE)


def ecal(batch: EventBatch, options: FillOptions) -> Hits:
    """Return the stitched ECAL frame (280x360), energies in GeV."""
    barrel, table = eb(batch, "energy"), batch["EE"]
    row, col = ee_stitched_pixels(table["detid"], table["energy"], ee_table())
    ends = add_up(table.offsets, row, col, table["energy"], ECAL_SHAPE)
    order = joined_order(barrel.offsets, ends.offsets)
    factor = np.float32(options.endcap_factor)
    value = np.concatenate([barrel.value, ends.value * factor])
    return Hits(
        barrel.offsets + ends.offsets,
        np.concatenate([barrel.row + np.int16(EB_FIRST_ROW), ends.row])[order],
        np.concatenate([barrel.col, ends.col])[order],
        value[order],
        ECAL_SHAPE,
    )


def hbhe(batch: EventBatch, _: FillOptions) -> Hits:
    """Return the HBHE tower frame (56x72): energies in GeV, depths added."""
    table = batch["HBHE"]
    row, col, value = hbhe_pixels(table["detid"], table["energy"])
    return add_up(table.offsets * 2, row, col, value, HBHE_SHAPE)


def hbhe_depth1(batch: EventBatch) -> Hits:
    """Return depth-1 tower energies by (HBHE row, iphi-1), for jet seeds; 10-degree towers not split."""
    table = batch["HBHE"]
    row, col = depth1_towers(table["detid"], table["energy"])
    return add_up(table.offsets, row, col, table["energy"], HBHE_SHAPE)


def tracks(batch: EventBatch, options: FillOptions, column: str) -> Hits:
    """Return a track frame (280x360) at the vertex direction: the sum of pt in GeV, or of d0 or dz in cm.

    d0 and dz take tracks with ``|dz| < 0.1`` cm only (docs/images.md, Tracks).
    """
    table = batch["tracks"]
    row, col = direction_pixels(table["eta"], table["phi"])
    keep = np.ones(len(row), bool)
    if options.track_quality:
        keep &= (table["quality"] & options.track_quality) != 0
    if column != "pt":
        keep &= np.abs(table["dz"]) < DZ_MAX
    return add_up(table.offsets, np.where(keep, row, np.int16(-1)), col, table[column], ECAL_SHAPE)


def tracker_counts(batch: EventBatch, name: str) -> Hits:
    """Return the number of hits of a tracker layer per stitched pixel (280x360)."""
    table = batch[name]
    row, col = direction_pixels(table["eta"], table["phi"])
    return add_up(table.offsets, row, col, np.ones(len(row), np.float32), ECAL_SHAPE)


def _needs(table: str, *columns: str) -> Columns:
    return {table: frozenset(columns)}


def _tracker_layer(name: str) -> Layer:
    def make(batch: EventBatch, _: FillOptions) -> Hits:
        return tracker_counts(batch, name)

    meaning = f"hits of the tracker layer {name} at their direction"
    return Layer("ECAL", _needs(name, "eta", "phi"), make, "hits", meaning=meaning)


_ECAL_COLUMNS = {**_needs("EB", "detid", "energy"), **_needs("EE", "detid", "energy")}
_TRACK = ("eta", "phi", "quality")

#: Every layer that a tagger may name.
LAYERS: dict[str, Layer] = {
    "EB_energy": Layer(
        "EB",
        _needs("EB", "detid", "energy"),
        lambda b, _: eb(b, "energy"),
        "GeV",
        meaning="energy of the barrel's rechits, per crystal",
    ),
    "EB_time": Layer(
        "EB",
        _needs("EB", "detid", "energy", "time"),
        lambda b, _: eb(b, "time"),
        "ns",
        signed=True,
        meaning="time of the barrel's rechits, per crystal",
    ),
    "EE_minus": Layer(
        "EE",
        _needs("EE", "detid", "energy"),
        lambda b, _: ee_plane(b, -1),
        "GeV",
        meaning="energy of the rechits of EE-, row iy, column ix; a whole frame, no channel of a crop",
    ),
    "EE_plus": Layer(
        "EE",
        _needs("EE", "detid", "energy"),
        lambda b, _: ee_plane(b, +1),
        "GeV",
        meaning="energy of the rechits of EE+, row iy, column ix; a whole frame, no channel of a crop",
    ),
    "ECAL_energy": Layer(
        "ECAL",
        _ECAL_COLUMNS,
        ecal,
        "GeV",
        meaning="energy of all ECAL rechits, endcap crystals in the pixel at their direction",
    ),
    "HBHE_energy": Layer(
        "HBHE",
        _needs("HBHE", "detid", "energy"),
        hbhe,
        "GeV",
        meaning="energy of HCAL towers, depths added; 5x5 pixels each in a crop",
    ),
    "ECAL_tracksPt": Layer(
        "ECAL",
        _needs("tracks", "pt", *_TRACK),
        lambda b, o: tracks(b, o, "pt"),
        "GeV",
        meaning="sum of pT of tracks at their direction at the vertex",
    ),
    "ECAL_tracksD0": Layer(
        "ECAL",
        _needs("tracks", "d0", "dz", *_TRACK),
        lambda b, o: tracks(b, o, "d0"),
        "cm",
        signed=True,
        meaning="sum of d0 of tracks with |dz| < 0.1 cm",
    ),
    "ECAL_tracksDz": Layer(
        "ECAL",
        _needs("tracks", "dz", *_TRACK),
        lambda b, o: tracks(b, o, "dz"),
        "cm",
        signed=True,
        meaning="sum of dz of tracks with |dz| < 0.1 cm",
    ),
}
LAYERS.update({name: _tracker_layer(name) for name in TRACKER_LAYERS})
LAYERS = {name: replace(layer, name=name) for name, layer in LAYERS.items()}
#: What jet seeds are looked for in; not on the grid of any image.
HBHE_DEPTH1 = Layer(
    "towers", LAYERS["HBHE_energy"].columns, lambda b, _: hbhe_depth1(b), "GeV", name="HBHE_depth1"
)


def fill(batch: EventBatch, name: str, options: FillOptions) -> Hits:
    """Return the sparse frames of layer `name` for all events of `batch`."""
    return LAYERS[name].fill(batch, options)
