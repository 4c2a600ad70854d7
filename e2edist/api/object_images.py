"""The images of objects, as arrays: what the network of a tagger looks at."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute as pc

from e2edist.config.tagger import TaggerSpec
from e2edist.errors import ConfigError, ResourceError, advise_nearest
from e2edist.imaging.crops import Crops, Normalisation, dense, join
from e2edist.imaging.event_batch import Array
from e2edist.worker.images import make_images as images_of
from e2edist.worker.rows import make_table
from e2edist.worker.run_chunk import read_chunk

from .in_process import InputRange, Tagger, make_context, open_tagger
from .python_errors import python_errors

_GIB = 2**30
#: Events of which whole frames are in memory at one time, about.
_PIECE_EVENTS = 1000
_LAYOUTS = ("dense", "sparse", "awkward")


@dataclass(frozen=True, slots=True)
class SparsePixels:
    """The filled pixels of N images; entries are sorted by image, then channel.

    Attributes
    ----------
    image : int64, shape (entries,)
        Number of the image, 0 to N - 1.
    channel, row, col : int32, shape (entries,)
        Place in the image; row follows eta, col follows phi.
    value : float32, shape (entries,)
    background : float32, shape (C,)
        What the pixels that are not listed hold: 0, unless normalised.
    """

    image: Array
    channel: Array
    row: Array
    col: Array
    value: Array
    background: Array


@dataclass(frozen=True, slots=True)
class ObjectImages:
    """The images of N objects, and what the objects are.

    Attributes
    ----------
    pixels : array, SparsePixels or awkward array
        dense: float32, shape (N, C, n, n); normalised for a model that takes NHWC, (N, n, n, C).
        sparse: `SparsePixels`.
        awkward: N lists of records ``channel``, ``row``, ``col``, ``value``, of the filled pixels.
    objects : pyarrow.Table
        N rows, one for each image, in the same order: ``uuid``, ``entry``, ``run``, ``lumi``, ``event``,
        ``kind``, ``object``, ``pt``, ``eta``, ``phi``, ``label``, ``seed_row``, ``seed_col``, ``status``.
    candidates : pyarrow.Table
        The same columns of all candidates; ``status`` says why some have no image.
    channels : tuple of str
        Names of the C layers.
    size : int
        n, rows and columns of an image.
    normalised : bool
        Whether values are those that the network gets, or as in the detector (GeV, cm, ns, counts).
    """

    pixels: Any
    objects: pa.Table
    candidates: pa.Table
    channels: tuple[str, ...]
    size: int
    normalised: bool

    def __len__(self) -> int:
        return self.objects.num_rows

    def __repr__(self) -> str:
        kind = "normalised" if self.normalised else "raw"
        shape = f"{len(self)} images of {len(self.channels)} x {self.size} x {self.size}"
        return f"<{shape} ({', '.join(self.channels)}), {kind}, of {self.candidates.num_rows} candidates>"


@python_errors()
def make_images(  # noqa: PLR0913 - the keywords are what people choose from
    file: str | os.PathLike[str],
    tagger: Tagger = "eg",
    start: int = 0,
    stop: int | None = None,
    *,
    layout: Literal["dense", "sparse", "awkward"] = "dense",
    normalised: bool = False,
    model: str | os.PathLike[str] | None = None,
    format: str | None = None,  # noqa: A002
    tree: str | None = None,
) -> ObjectImages:
    """Return the images of all objects of some events, as the network of a tagger gets them.

    Parameters
    ----------
    file : path
        ROOT file, on a disk or at an address.
    tagger : str, path or TaggerSpec
        Name of a tagger that comes with the package, or a tagger's TOML file.
    start, stop : int, optional
        Entries, half-open; default: all of the file.
    layout : str
        dense: one array. sparse: coordinates and values of the filled pixels. awkward: lists of them.
    normalised : bool
        False: values as in the detector. True: bit for bit what the network gets.
    model, format, tree : optional
        As for `predict`.

    Returns
    -------
    ObjectImages

    Raises
    ------
    ResourceError
        Dense images need more memory than is free.
    E2EError
        What the user can mend.

    Examples
    --------
    >>> images = e2edist.make_images("events.root", "eg", stop=100)   # doctest: +SKIP
    >>> plt.imshow(images.pixels[0, 0])                               # doctest: +SKIP
    """
    if layout not in _LAYOUTS:
        raise ConfigError("layout", f"there is no {layout!r}", advise_nearest(str(layout), _LAYOUTS))
    spec = open_tagger(tagger, model)
    crops, candidates = _cut(InputRange(file, start, stop, format, tree), spec)
    return ObjectImages(
        pixels=_pixels(crops, spec.normalisation if normalised else None, layout),
        objects=candidates.filter(pc.field("status") == "ok"),
        candidates=candidates,
        channels=tuple(channel.layer for channel in spec.channels),
        size=crops.size,
        normalised=normalised,
    )


def _cut(wanted: InputRange, tagger: TaggerSpec) -> tuple[Crops, pa.Table]:
    """Return the crops of some entries, and the rows of all candidates."""
    plan = wanted.plan(tagger)
    context, crops, tables = make_context(tagger, plan), [], []
    for chunk in wanted.chunks(plan, _PIECE_EVENTS):
        batch = read_chunk(chunk, context)
        images = images_of(batch, tagger)
        crops.append(images.crops)
        tables.append(make_table(chunk.uuid, batch, images, {}, {}))
    return join(crops), pa.concat_tables(tables).unify_dictionaries()


def _pixels(crops: Crops, rule: Normalisation | None, layout: str) -> Any:
    if layout == "dense":
        _check_memory(crops)
        return dense(crops, rule)
    counts = np.diff(crops.offsets).reshape(crops.objects, crops.channels).sum(axis=1)
    channel, place = np.divmod(crops.pixel, crops.size**2)
    row, col = np.divmod(place, crops.size)
    value, background = crops.value, np.zeros(crops.channels, np.float32)
    if rule is not None:
        kept = np.where(np.abs(value) < rule.threshold[channel], np.float32(0), value)
        value, background = kept * rule.scale[channel] + rule.offset[channel], rule.offset
    if layout == "sparse":
        image = np.repeat(np.arange(crops.objects), counts)
        return SparsePixels(image, channel, row, col, value, background)
    import awkward as ak

    fields = {"channel": channel, "row": row, "col": col, "value": value}
    return ak.unflatten(ak.zip(fields), counts)


def _check_memory(crops: Crops) -> None:
    """Refuse dense images that would not fit into the memory that is free."""
    needed = 4.0 * crops.objects * crops.channels * crops.size**2
    free = float(psutil.virtual_memory().available)
    if needed > free:
        what = f"{crops.objects:,} dense images need {needed / _GIB:.1f} GiB, {free / _GIB:.1f} GiB are free"
        raise ResourceError("make_images", what, 'Ask for fewer events (stop=), or layout="sparse".')
