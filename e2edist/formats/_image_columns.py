"""Dense images to their pixels while they are read: functions for `Branch.fold`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from e2edist.errors import EntriesError

from ._baskets import BYTE_COUNT_FLAG, VECTOR
from ._branch_map import JaggedColumn

if TYPE_CHECKING:
    from e2edist.imaging.event_batch import Array

    from ._branch_map import Fold

#: A pixel of an image: its place in the flat list of the file, and what is there.
PIXEL = np.dtype([("at", np.int32), ("value", np.float32)])
#: A pixel of one of several images of an entry; of each image one with ``at == -1`` says that it is there.
CROP_PIXEL = np.dtype([("crop", np.int32), ("at", np.int32), ("value", np.float32)])
_TODO = "Leave the file out, or make the ntuple again"


def fold_images(name: str, size: int, *, signed: bool) -> Fold:
    """Return what keeps the pixels (`PIXEL`) of one image an entry.

    Parameters
    ----------
    name : str
        Of the branch, for the messages.
    size : int
        Pixels of an image; an entry with another number of them raises EntriesError.
    signed : bool
        Whether negative pixels are kept; those that are 0 never are.
    """

    def fold(column: JaggedColumn, first: int) -> JaggedColumn:
        counts = np.diff(column.offsets)
        if (counts != size).any():
            wrong = int(np.argmax(counts != size))
            what = f"branch {name!r} has {counts[wrong]} numbers in entry {first + wrong}, not {size}"
            raise EntriesError("", what, _TODO)
        kept, starts = _kept(column.data, size, signed=signed)
        pixels = np.empty(len(kept), PIXEL)
        pixels["at"], pixels["value"] = kept % size, column.data[kept]
        return JaggedColumn(starts, pixels)

    return fold


def fold_crops(name: str, size: int) -> Fold:
    """Return what keeps the pixels above 0 (`CROP_PIXEL`) of std::vector<std::vector<float>>, as raw bytes.

    Each inner vector is an image of `size` pixels; EntriesError where it is not, or where an entry is not of
    that form to its last byte.
    """
    record = np.dtype([("size", ">u4"), ("values", ">f4", size)])

    def fold(column: JaggedColumn, first: int) -> JaggedColumn:
        lengths, starts = np.diff(column.offsets), column.offsets[:-1]
        images, rest = np.divmod(lengths - VECTOR.itemsize, record.itemsize)
        _refuse(name, size, first, (images < 0) | (rest != 0))
        places = starts[:, None] + np.arange(VECTOR.itemsize)
        headers = column.data[places].view(VECTOR)[:, 0]
        odd = (headers["bytes"] != (lengths - 4 | BYTE_COUNT_FLAG)) | (headers["size"] != images)
        _refuse(name, size, first, odd)
        body = np.ones(len(column.data), np.bool_)
        body[places] = False
        records = column.data[body].view(record)
        entry = np.repeat(np.arange(len(images)), images)
        odd[entry[records["size"] != size]] = True
        _refuse(name, size, first, odd)
        return _crop_pixels(records["values"].astype(np.float32), entry, images)

    return fold


def _crop_pixels(values: Array, entry: Array, images: Array) -> JaggedColumn:
    """Return the pixels of images, shape (images of all entries, pixels); entries have `images` of them."""
    firsts = np.cumsum(images) - images
    # The column before the first says that the image is there.
    shown = np.concatenate([np.ones((len(values), 1), np.bool_), values > 0], axis=1)
    image, place = np.nonzero(shown)
    pixels = np.empty(len(image), CROP_PIXEL)
    pixels["crop"] = image - firsts[entry[image]]
    pixels["at"] = place - 1
    pixels["value"] = np.where(place > 0, values[image, place - 1], 0)
    offsets = np.zeros(len(images) + 1, np.int64)
    np.cumsum(np.bincount(entry[image], minlength=len(images)), out=offsets[1:])
    return JaggedColumn(offsets, pixels)


def _refuse(name: str, size: int, first: int, odd: Array) -> None:
    if odd.any():
        what = f"entry {first + int(np.argmax(odd))} of branch {name!r} is no list of images of {size} pixels"
        raise EntriesError("", what, _TODO)


def _kept(values: Array, size: int, *, signed: bool) -> tuple[Array, Array]:
    """Return which of the pixels of several images are kept, and the offsets of the images in that list."""
    kept = np.flatnonzero(values != 0 if signed else values > 0)
    images = len(values) // size
    return kept, np.searchsorted(kept, np.arange(images + 1) * size).astype(np.int64)
