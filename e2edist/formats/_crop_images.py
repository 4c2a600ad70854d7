"""Ready-made crops of photons (SCRegressor) put back onto the barrel that they were cut from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from e2edist.errors import EntriesError
from e2edist.imaging.event_batch import pixel_table
from e2edist.imaging.layers import GRIDS, LAYERS

from ._branch_map import Branch, JaggedColumn, TableReader
from ._check_branch import check_branch, raw_bytes
from ._image_columns import fold_crops
from ._seeded_objects import seed_places
from ._tables import build_pixels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from e2edist.imaging.event_batch import Array, Ragged

    from ._branch_map import Request

LAYER = LAYERS["EB_energy"]
#: Rows and columns of a crop, and the row and column of its seed.
SIZE, CENTRE = 32, 15
_TYPE = "std::vector<std::vector<float>>"


def crop_reader(request: Request, name: str, seeds: Sequence[str]) -> TableReader | None:
    """Return what reads EB_energy from the crops in branch `name`, or note why they can't be read."""
    branches = request.branches
    source = branches[name]
    typename = str(getattr(source, "typename", "unknown"))
    if typename != _TYPE or not hasattr(source, "has_member") or not source.member("fEntryOffsetLen"):
        request.errors.add_unusable(LAYER.name, f"branch {name!r} has type {typename!r}, wanted is {_TYPE}")
        return None
    if source.num_entries != source.tree.num_entries:
        request.errors.add_unusable(
            LAYER.name, f"branch {name!r} has another number of entries than the tree"
        )
        return None
    if missing := [one for one in seeds if one not in branches]:
        request.errors.add_missing(f"seeds of {name}", missing, branches)
        return None
    at = [check_branch(branches[one], LAYER.name, "number", request.errors) for one in seeds]
    crops = Branch(name, False, raw_bytes(), source, np.dtype("u1"), fold=fold_crops(name, SIZE * SIZE))

    def build(lists: Mapping[str, JaggedColumn]) -> Ragged:
        return on_barrel(name, lists[name], lists[seeds[0]], lists[seeds[1]])

    found = tuple(branch for branch in at if branch)
    return TableReader(pixel_table(LAYER.name), (crops, *found), build) if len(found) == 2 else None


def on_barrel(name: str, crops: JaggedColumn, rows: JaggedColumn, cols: JaggedColumn) -> Ragged:
    """Return the pixels of crops (`CROP_PIXEL`) on the EB grid; those in several crops of an event once.

    Raises
    ------
    EntriesError
        There are more or fewer crops than seeds, or two crops of an event differ where both lie.
    """
    pixels, events = crops.data, len(crops.offsets) - 1
    event = np.repeat(np.arange(events), np.diff(crops.offsets))
    present = np.bincount(event[pixels["at"] < 0], minlength=events)
    if not (np.array_equal(present, np.diff(rows.offsets)) and np.array_equal(rows.offsets, cols.offsets)):
        raise EntriesError("", f"{name} has another number of images than the event has seeds")
    seed_row, seed_col = seed_places("photon", rows.data, cols.data)
    seed = rows.offsets[event] + pixels["crop"]
    row = seed_row[seed].astype(np.int64) - CENTRE + pixels["at"] // SIZE
    col = (seed_col[seed].astype(np.int64) - CENTRE + pixels["at"] % SIZE) % GRIDS["EB"][1]
    row[pixels["at"] < 0] = -1
    keep = _first_of_each(name, event, row, col, pixels["value"])
    row[~keep] = -1
    return build_pixels(LAYER, crops.offsets, row, col, pixels["value"])


def _first_of_each(name: str, event: Array, row: Array, col: Array, value: Array) -> Array:
    """Return which pixels are the first at their place in the event."""
    rows, columns = GRIDS["EB"]
    place = (event * (rows + 1) + row + 1) * columns + col
    _, first, same = np.unique(place, return_index=True, return_inverse=True)
    if np.any((row >= 0) & (value[first][same] != value)):
        raise EntriesError("", f"two images of an event in {name} differ where they overlap")
    keep = np.zeros(len(row), np.bool_)
    keep[first] = True
    return keep
