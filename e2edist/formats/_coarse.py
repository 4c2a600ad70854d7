"""What formats without hits share: pixels made of towers or particles, and objects by their labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from e2edist.errors import EntriesError
from e2edist.imaging.coarse import ECAL, HBHE, Grid, Pixels, barrel_pixels, particle_pixels, seed_pixels
from e2edist.imaging.event_batch import OBJECT_COLUMNS, OBJECT_KINDS, Array, Ragged, pixel_table
from e2edist.imaging.layers import DZ_MAX, HBHE_DEPTH1, LAYERS

from ._branch_map import Branch, Request, TableReader
from ._tables import build_pixels, columns_of, find_columns, table_reader

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ._branch_map import JaggedColumn

    #: Input -> its values, shape (rows,); that of ``edges`` (rows, 4).
    Values = Mapping[str, Array]
    #: ``make(values, offsets)``; its ValueError says what is impossible in the entries.
    Maker = Callable[[Values, Array], Pixels]

_LAYERS = {**LAYERS, HBHE_DEPTH1.name: HBHE_DEPTH1}
_OTHER_LABEL = "If the file has it under another name, write that under collections in the tagger file"


@dataclass(frozen=True, slots=True)
class CoarseLayer:
    """How a layer is made without hits.

    Attributes
    ----------
    rows : str
        Whose rows it is made of, as "towers".
    inputs : tuple of str
        What is read of them.
    make : function
        ``make(values, offsets) -> Pixels``.
    """

    rows: str
    inputs: tuple[str, ...]
    make: Maker

    @property
    def keys(self) -> tuple[str, ...]:
        """What is read where it is there."""
        return (*self.inputs, "edges")


def calorimeter_layers(
    rows: str, inputs: Mapping[str, tuple[str, ...]], make: Callable[[Grid, Values, Array], Pixels]
) -> dict[str, CoarseLayer]:
    """Return the layers of calorimeters.

    Parameters
    ----------
    rows : str
        Whose rows they are made of.
    inputs : mapping of str to tuple of str
        "ECAL" and "HBHE" -> what is read.
    make : function
        ``make(grid, values, offsets) -> Pixels``, on the grid of one of the two.
    """

    def ecal(values: Values, offsets: Array) -> Pixels:
        return make(ECAL, values, offsets)

    def hbhe(values: Values, offsets: Array) -> Pixels:
        return make(HBHE, values, offsets)

    return {
        "ECAL_energy": CoarseLayer(rows, inputs["ECAL"], ecal),
        "EB_energy": CoarseLayer(rows, inputs["ECAL"], lambda *given: barrel_pixels(ecal(*given))),
        "HBHE_energy": CoarseLayer(rows, inputs["HBHE"], hbhe),
        HBHE_DEPTH1.name: CoarseLayer(rows, inputs["HBHE"], lambda *given: seed_pixels(hbhe(*given))),
    }


def track_layers(
    rows: str, inputs: tuple[str, ...], tracks_of: Callable[[Values], Values]
) -> dict[str, CoarseLayer]:
    """Return the layers of tracks.

    Parameters
    ----------
    rows : str
        Whose rows they are made of.
    inputs : tuple of str
        What is read of them for all layers, besides d0 and dz.
    tracks_of : function
        From what is read to eta, phi, pt (0 for what is no track), and d0 and dz in cm if they are read.
    """

    def layer(column: str) -> CoarseLayer:
        more = () if column == "pt" else tuple(dict.fromkeys((column, "dz")))
        return CoarseLayer(
            rows, (*inputs, *more), lambda v, offsets: _track_pixels(column, tracks_of(v), offsets)
        )

    return {"ECAL_tracksPt": layer("pt"), "ECAL_tracksD0": layer("d0"), "ECAL_tracksDz": layer("dz")}


def _track_pixels(column: str, values: Values, offsets: Array) -> Pixels:
    kept = values["pt"] > 0
    if column != "pt":
        kept &= np.abs(values["dz"]) < DZ_MAX
    return particle_pixels(ECAL, values["eta"], values["phi"], np.where(kept, values[column], 0), offsets)


def coarse_readers(
    request: Request, made: Mapping[str, CoarseLayer], found: Mapping[str, Mapping[str, Branch]]
) -> list[TableReader]:
    """Return what reads the layers of `request`; those that can't be made are noted.

    Parameters
    ----------
    made : mapping of str to CoarseLayer
        Every layer that the format can make.
    found : mapping of str to mapping
        Rows -> input -> branch, as far as they are there.
    """
    for layer in sorted(request.layers - made.keys()):
        problem = "a file without hits has nothing to make it of"
        request.errors.add_unusable(layer, problem, "Leave that channel out")
    if not request.layers and (hits := sorted(request.columns.keys() - set(OBJECT_KINDS))):
        request.errors.add_unusable(", ".join(hits), "the file has no hits and no tracks, only coarse images")
    return [
        _reader(name, layer, {key: one for key, one in found[layer.rows].items() if key in layer.keys})
        for name, layer in made.items()
        if name in request.layers and found[layer.rows].keys() >= set(layer.inputs)
    ]


def inputs_of(request: Request, made: Mapping[str, CoarseLayer], rows: str) -> frozenset[str]:
    """Return what has to be read of towers or particles for the layers of `request`."""
    wanted = [made[name] for name in request.layers & made.keys()]
    return frozenset(key for layer in wanted if layer.rows == rows for key in layer.inputs)


def names_of(
    labels: Sequence[str], leaves: Mapping[str, str], separator: str, branches: Mapping[str, Any]
) -> dict[str, list[str]]:
    """Return input -> name of its branch, all of the first of `labels` that the file has anything of.

    Of two collections, one must not stand in for what the other lacks. Where the file has none of them, all
    names are returned, for the message.
    """
    ours = [one for one in labels if any(f"{one}{separator}{leaf}" in branches for leaf in leaves.values())]
    return {key: [f"{one}{separator}{leaf}" for one in ours[:1] or labels] for key, leaf in leaves.items()}


def _reader(name: str, layer: CoarseLayer, branches: Mapping[str, Branch]) -> TableReader:
    def build(lists: Mapping[str, JaggedColumn]) -> Ragged:
        values, offsets = _values(columns_of(branches, lists), branches)
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                pixels = layer.make(values, offsets)
        except ValueError as error:
            raise EntriesError("", str(error)) from error
        return build_pixels(_LAYERS[name], *pixels)

    return TableReader(pixel_table(name), tuple(branches.values()), build)


def _values(
    lists: Mapping[str, JaggedColumn], branches: Mapping[str, Branch]
) -> tuple[dict[str, Array], Array]:
    """Return the values of each input, and the row ranges of events, which all share."""
    offsets, values = lists["eta"].offsets, {}
    for key, column in lists.items():
        width = 4 if key == "edges" else 1
        if not np.array_equal(column.offsets, width * offsets):
            both = f"{branches['eta'].name} and {branches[key].name}"
            raise EntriesError("", f"{both} have different numbers of rows in an event")
        values[key] = column.data.reshape(-1, 4) if width == 4 else column.data
    return values, offsets


def object_readers(
    request: Request,
    key: str,
    separator: str,
    labels: Mapping[str, Sequence[str]],
    branches: Mapping[str, Any],
) -> list[TableReader]:
    """Return what reads photons, electrons and jets, each of the first label that the file has.

    Parameters
    ----------
    key : str
        Of the format in `OBJECT_COLUMNS`.
    separator : str
        What is between label and column.
    labels : mapping of str to sequence of str
        Kind -> labels where the tagger file has none.
    branches : mapping of str to object
        Name -> branch of what the file has.
    """
    there = {name.partition(separator)[0] for name in branches}
    readers = []
    for kind in [one for one in OBJECT_KINDS if one in request.columns]:
        wanted = request.collections.get(kind, labels[kind])
        leaves = {column: one.branches.get(key, (column,)) for column, one in OBJECT_COLUMNS.items()}
        label = next((label for label in wanted if label in there), None)
        if label is None:
            names = [f"{label}{separator}{leaves['pt'][0]}" for label in wanted]
            request.errors.add_missing(kind, names, branches, _OTHER_LABEL)
            continue
        named = {column: [f"{label}{separator}{leaf}" for leaf in some] for column, some in leaves.items()}
        columns = request.columns[kind]
        found = find_columns(request, kind, columns, named, branches)
        readers.append(table_reader(kind, columns, found))
    return readers
