"""Events as plain arrays: what the formats give and what the images are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .lumi_mask import lumis_of

Array = NDArray[Any]
#: table name -> names of its columns, e.g. ``{"EB": {"detid", "energy"}}``
Columns = Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class ObjectColumn:
    """A column of reconstructed objects: one entry in `OBJECT_COLUMNS` takes it from input to results.

    Attributes
    ----------
    dtype : str
        numpy's name of its type.
    meaning : str
        What it is, with its unit.
    branches : mapping of str to tuple of str
        Format -> names that it may have in an input file, best first: behind ``Photon_`` in hit ntuples,
        below the product in CMS event data. A format that is not there takes the name of the column.
    missing : number, optional
        What stands in memory where a file does not have it, null in the results; without it, a file must have
        the column.
    """

    dtype: str
    meaning: str
    branches: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    missing: float | None = None

    def is_missing(self, values: Array) -> Array:
        """Return where `values` are `missing` or, of floats that may be missing, NaN; bool, as `values`."""
        if self.missing is None:
            return np.zeros(len(values), np.bool_)
        return np.asarray((values == self.missing) | (values != values))  # noqa: PLR0124 - NaN


#: What the members of a candidate's four-vector begin with, since CMSSW 7_4.
_P4 = "obj.m_state.p4Polar_.fCoordinates.f"


def _edm(name: str) -> tuple[str, ...]:
    """Return the names of a kinematic value below a candidate's product: since CMSSW 7_4, and until 7_3."""
    return f"{_P4}{name.title()}", f"obj.{name}_"


#: The columns of photons, electrons and jets: formats read them, `objects.collect` carries them, parts have
#: them.
OBJECT_COLUMNS: dict[str, ObjectColumn] = {
    "pt": ObjectColumn(
        "f4", "transverse momentum in GeV", {"hits": ("pt", "et"), "edm": _edm("pt"), "delphes": ("PT",)}
    ),
    "eta": ObjectColumn("f4", "pseudorapidity", {"edm": _edm("eta"), "delphes": ("Eta",)}),
    "phi": ObjectColumn("f4", "azimuth in radians", {"edm": _edm("phi"), "delphes": ("Phi",)}),
    "label": ObjectColumn("i4", "truth, null where unknown", missing=-1),
}
OBJECT_KINDS = ("photon", "electron", "jet")
TRACKER_LAYERS = (
    *(f"BPIX{i}" for i in range(1, 5)),
    *(f"FPIX{i}" for i in range(1, 4)),
    *(f"TIB{i}" for i in range(1, 5)),
    *(f"TID{i}" for i in range(1, 4)),
    *(f"TOB{i}" for i in range(1, 7)),
    *(f"TEC{i}" for i in range(1, 10)),
)
#: Column -> dtype for each table that a format can fill. ``quality`` is CMSSW's bit mask,
#: ``d0`` and ``dz`` are in cm relative to the first vertex, energies and pt in GeV, times in ns,
#: angles in radians. Tracker layers (BPIX1 ...) hold the (eta, phi) of their hits.
TABLES: dict[str, dict[str, str]] = {
    "EB": {"detid": "u4", "energy": "f4", "time": "f4"},
    "EE": {"detid": "u4", "energy": "f4", "time": "f4"},
    "HBHE": {"detid": "u4", "energy": "f4"},
    "tracks": {"pt": "f4", "eta": "f4", "phi": "f4", "d0": "f4", "dz": "f4", "quality": "u1"},
    **{kind: {name: column.dtype for name, column in OBJECT_COLUMNS.items()} for kind in OBJECT_KINDS},
    **{layer: {"eta": "f4", "phi": "f4"} for layer in TRACKER_LAYERS},
}
#: Number of an event -> its dtype.
EVENT_NUMBERS = {"run": "u4", "lumi": "u4", "event": "u8"}
#: Column -> dtype that a format adds to the table of objects where the file says where to cut their images
#: out: the pixel on the EB grid of photons and electrons, on the stitched ECAL grid of jets; -1 where the
#: file says that there is none.
SEED_COLUMNS = {"seed_row": "i2", "seed_col": "i2"}
#: Stands in `seed_row` of objects of files that say nothing.
NOT_GIVEN = -2
#: Column -> dtype of the tables of ready-made or coarse images (`pixel_table`).
PIXEL_COLUMNS = {"row": "i2", "col": "i2", "value": "f4"}
_PIXELS = "pixels:"


def pixel_table(layer: str) -> str:
    """Return what the table is called with which a format without hits gives a layer's pixels as they are.

    Its rows are pixels on the layer's own grid in any order; pixels that occur twice are added, zeros are not
    there.
    """
    return _PIXELS + layer


def layer_of(table: str) -> str:
    """Return the layer whose pixels a table has; empty for other tables."""
    return table.removeprefix(_PIXELS) if table.startswith(_PIXELS) else ""


def dtypes_of(table: str) -> Mapping[str, str]:
    """Return column -> dtype of a table; KeyError if there is none of that name."""
    return PIXEL_COLUMNS if layer_of(table) else TABLES[table]


@dataclass(frozen=True, slots=True)
class Ragged:
    """Variable-length rows of several columns, as offsets and flat arrays.

    Attributes
    ----------
    offsets : int64, shape (events + 1,)
        Row range of event i is the half-open range ``offsets[i]:offsets[i + 1]``; ``offsets[0] == 0``.
    columns : mapping of str to array, shape (rows,)
        Native byte order, dtypes of `TABLES`.
    """

    offsets: Array
    columns: Mapping[str, Array]

    @property
    def rows(self) -> int:
        """Number of rows of all events together."""
        return int(self.offsets[-1])

    def __getitem__(self, column: str) -> Array:
        return self.columns[column]

    def counts(self) -> Array:
        """Return rows per event, int64, shape (events,)."""
        return np.diff(self.offsets)

    def events(self) -> Array:
        """Return the event index of each row, int32, shape (rows,)."""
        counts = self.counts()
        return np.repeat(np.arange(len(counts), dtype=np.int32), counts)


@dataclass(frozen=True, slots=True)
class EventBatch:
    """A half-open range of entries of one file, in memory.

    Attributes
    ----------
    start, stop : int
        Entry range in the tree, half-open.
    tables : mapping of str to Ragged
        Keys and columns as requested, all with ``stop - start`` events.
    run, lumi, event : uint32, uint32, uint64, shape (events,), or None
        Event numbers where the file has them in readable form.
    notes : tuple of str
        What of the file is left out or approximate, and why, as event numbers that can't be decoded.
    in_mask : bool, shape (events,), or None
        Which events are in the lumi mask that it was read with; the others have no rows in any table.
    """

    start: int
    stop: int
    tables: Mapping[str, Ragged]
    run: Array | None = field(default=None)
    lumi: Array | None = field(default=None)
    event: Array | None = field(default=None)
    notes: tuple[str, ...] = ()
    in_mask: Array | None = field(default=None)

    @property
    def events(self) -> int:
        """Number of events."""
        return self.stop - self.start

    @property
    def events_in_mask(self) -> int | None:
        """Number of events in the lumi mask; None where it was read without one."""
        return None if self.in_mask is None else int(self.in_mask.sum())

    def lumis(self) -> dict[str, list[tuple[int, int]]]:
        """Return the luminosity blocks of the events that count, as far as they are known (`lumis_of`)."""
        if self.run is None or self.lumi is None:
            return {}
        counted = slice(None) if self.in_mask is None else self.in_mask
        return lumis_of(self.run[counted], self.lumi[counted])

    def __getitem__(self, table: str) -> Ragged:
        return self.tables[table]
