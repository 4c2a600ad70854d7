"""Reference objects: a few hundred images on which every way to run a model must agree.

They come through the product's own formats, layers, seeds, crops and normalisation, so that what is compared
is what a campaign would compute.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from e2edist.config.tagger import TaggerSpec
from e2edist.counted import counted
from e2edist.demo import LABELS, make_events
from e2edist.errors import InputError
from e2edist.formats import open_events
from e2edist.imaging.crops import Crops, dense, join, take
from e2edist.imaging.event_batch import OBJECT_KINDS, Array
from e2edist.storage.input_lists import expand_inputs
from e2edist.worker.images import make_images

#: (file uuid, entry, kind, place in its collection): what names an object, as in the parts of a campaign.
Key = tuple[str, int, str, int]
#: Events are made or read in steps of so many until there are objects enough.
_STEP = 250
#: After so many events without enough objects, take what there is.
_MOST_EVENTS = 20_000


@dataclass(frozen=True, slots=True)
class ReferenceObjects:
    """Images to compare on.

    Attributes
    ----------
    images : float32, shape (objects, channels, n, n), or (objects, n, n, channels) for NHWC
        Normalised, as the model takes them.
    label : int32, shape (objects,)
        Truth: 1, 0, or -1 where unknown.
    keys : list of Key
        Empty where the objects are of no file.
    origin : str
        Where they come from, for people.
    crops : Crops, optional
        The same images sparse and not normalised, where they are known in that form.
    """

    images: Array
    label: Array
    keys: list[Key]
    origin: str
    crops: Crops | None = None

    def __len__(self) -> int:
        return len(self.images)


def find_objects(
    tagger: TaggerSpec,
    inputs: Sequence[str] | None,
    count: int,
    *,
    format: str | None = None,  # noqa: A002
    tree: str | None = None,
) -> ReferenceObjects:
    """Return accepted objects of the files and folders that a command line names, or of demo events."""
    if inputs is None:
        return from_demo(tagger, count)
    urls = [one.url for one in expand_inputs(inputs)]
    return from_files(tagger, urls, count, format=format, tree=tree)


def from_files(
    tagger: TaggerSpec,
    urls: Sequence[str],
    count: int,
    *,
    format: str | None = None,  # noqa: A002
    tree: str | None = None,
) -> ReferenceObjects:
    """Return the first `count` accepted objects of some files, fewer if there are no more.

    Raises
    ------
    InputError
        A file can't be read, or no object of them is accepted.
    """
    pieces: list[Crops] = []
    labels: list[Array] = []
    keys: list[Key] = []
    for crops, label, names in _accepted(tagger, urls, format, tree):
        pieces.append(crops)
        labels.append(label)
        keys += names
        if len(keys) >= count:
            break
    if not keys:
        what = f"no accepted object in {counted(len(urls), 'file')}"
        raise InputError(urls[0] if urls else "", what, "Name files with objects that the tagger accepts.")
    crops = take(join(pieces), range(min(count, len(keys))))
    return from_crops(tagger, crops, np.concatenate(labels)[:count], counted(len(urls), "file"), keys[:count])


def _accepted(
    tagger: TaggerSpec, urls: Sequence[str], form: str | None, tree: str | None
) -> Iterator[tuple[Crops, Array, list[Key]]]:
    for url in urls:
        with open_events(url, tagger.columns(), tagger.objects.collections, format=form, tree=tree) as reader:
            for start in range(0, min(reader.info.entries, _MOST_EVENTS), _STEP):
                batch = reader.read(start, min(start + _STEP, reader.info.entries))
                images = make_images(batch, tagger)
                ok, objects = images.accepted, images.objects
                names = zip(objects.event[ok], objects.kind[ok], objects.index[ok], strict=True)
                uuid = reader.info.uuid
                keys = [(uuid, start + int(e), OBJECT_KINDS[k], int(i)) for e, k, i in names]
                yield images.crops, objects["label"][ok].astype(np.int32), keys


def from_demo(tagger: TaggerSpec, count: int, seed: int = 5) -> ReferenceObjects:
    """Return accepted objects of made-up events: of the tagger's own sample, or of one of its kind."""
    sample = tagger.name if tagger.name in LABELS else ("eg" if tagger.crop.frame == "EB" else "qg")
    with tempfile.TemporaryDirectory() as folder:
        files = make_events(Path(folder), sample, max(2 * count, 8), seed, files=1)
        found = from_files(tagger, [str(file) for file in files], count)
    return ReferenceObjects(found.images, found.label, [], f"demo events, {sample}", found.crops)


def from_crops(
    tagger: TaggerSpec, crops: Crops, label: Array, origin: str, keys: Sequence[Key] = ()
) -> ReferenceObjects:
    """Return the reference objects of sparse crops, normalised and laid out as the tagger says."""
    return ReferenceObjects(dense(crops, tagger.normalisation), label, list(keys), origin, crops)


def random_images(shape: Sequence[int], count: int, seed: int = 5) -> ReferenceObjects:
    """Return made-up images of any shape, 3 % of their pixels hit: for models that come without a tagger."""
    rng = np.random.default_rng(seed)
    hit = rng.random((count, *shape)) < 0.03
    images = (rng.exponential(1.0, hit.shape) * hit).astype(np.float32)
    return ReferenceObjects(images, np.full(count, -1, np.int32), [], "random sparse images")


def crops_of(images: Array, *, channels_last: bool) -> Crops:
    """Return dense images as sparse crops of what is not zero in them, normalised as it stands.

    Parameters
    ----------
    images : float32, shape (objects, channels, n, n), or (objects, n, n, channels)
    """
    planes = images.transpose(0, 3, 1, 2) if channels_last else images
    objects, channels, size, _ = planes.shape
    flat = np.ascontiguousarray(planes).reshape(objects * channels, size**2)
    plane, place = np.nonzero(flat)
    offsets = np.searchsorted(plane, np.arange(len(flat) + 1)).astype(np.int64)
    pixel = (plane % channels * size**2 + place).astype(np.int32)
    return Crops(offsets, pixel, flat[plane, place].astype(np.float32), channels, size)
