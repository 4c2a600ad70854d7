"""Does an image get the same score whatever else is in its batch? Every engine that is opened is tested.

Softmax or a mean over the axis of images, dropout and normalisation left in training mode, random operators:
such a network runs, and its scores depend on ``--batch``, on neighbours, or on chance. A few images made of
random numbers with a fixed seed are scored alone in a padded batch and in a full one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from e2edist.config.tagger import TaggerSpec
from e2edist.errors import ModelError
from e2edist.imaging.crops import Crops, Normalisation, take
from e2edist.imaging.event_batch import Array

from ._score import score
from ._unstable_nodes import dynamic_quantisation, unstable_nodes
from .api import Engine, StreamingEngine

#: Mean of the pixels that are not empty, of each image, as networks see it; three, for odd and even rows.
_SIZES = (0.5, 0.1, 2.0)
#: Pixels of an image that are not empty: one of so many.
_SPARSE = 25
#: Largest difference, in units of the column's largest score: in batches of one size, where the same kernels
#: run, and of different sizes, where half precision may round otherwise.
_SAME_SIZE, _OTHER_SIZE = 1e-4, 2e-3
#: Larger batches are opened when a campaign is planned, but not run there: it is the driver's CPU.
_LARGEST, _SMALL = 16, 8
TODO = (
    "Export it for inference (model.eval(), training=False) without what mixes the images of a batch; "
    "submit --accept-failed-validation runs it all the same."
)


@dataclass(frozen=True, slots=True)
class Observation:
    """The scores of one image in one position of a batch.

    Attributes
    ----------
    image, batch : int
        Which of the images, and the size of the batch.
    position : str
        What is around it, for people.
    scores : float64, shape (columns,)
    """

    image: int
    batch: int
    position: str
    scores: Array


#: Two observations that must agree, and how far they may differ.
Pair = tuple[Observation, Observation, float]


def instability(tagger: TaggerSpec, engine: Engine, *, sparse: bool) -> str:
    """Return how the scores of an engine depend on the batch or on chance; empty if they don't."""
    run = _Runner(tagger, engine, sparse=sparse)
    return _message(tagger, run.observations(), lambda _: run)


def instability_in_any_batch(tagger: TaggerSpec, open_at: Callable[[int], Engine], *, sparse: bool) -> str:
    """Return the same of a model in batches of several sizes, the one that is wanted among them.

    Parameters
    ----------
    open_at : callable
        Opens it for a size of batch, 0: the size that is wanted.

    Raises
    ------
    ModelError
        It does not open with that size, or fails.
    """

    def run(size: int) -> _Runner:
        return _Runner(tagger, open_at(size), sparse=sparse)

    # One after the other: a model may fill a good part of this host's memory.
    wanted = run(0)
    size, observations = wanted.size, wanted.observations() if wanted.size <= _LARGEST else []
    del wanted
    for other in (1,) if _SMALL <= size <= _LARGEST else (_SMALL, 1):
        if other != size:
            observations += _observations_at(other, run)
    return _message(tagger, observations or run(0).observations(), run)


def _observations_at(size: int, run: Callable[[int], _Runner]) -> list[Observation]:
    """Return the observations in batches of a size, none if the model has a batch of its own."""
    try:
        one = run(size)
    except ModelError:  # it has one, and does not say so
        return []
    return one.observations() if one.size == size else []


class _Runner:
    """Scores the images with one engine.

    Attributes
    ----------
    size : int
        Of its batches.
    """

    def __init__(self, tagger: TaggerSpec, engine: Engine, *, sparse: bool) -> None:
        self._engine, self._normalisation, self.size = engine, tagger.normalisation, engine.batch
        self._images = _synthetic_images(tagger)
        self._streams = sparse and isinstance(engine, StreamingEngine)

    @property
    def columns(self) -> list[str]:
        """Names of the scores."""
        return list(self._engine.columns)

    def observations(self) -> list[Observation]:
        """Return the scores of the first image among empty ones, then those of a full batch."""
        (scores,) = self._scores([0])
        return [Observation(0, self.size, f"alone in a batch of {self.size}", scores), *self.full()]

    def full(self) -> list[Observation]:
        """Return the scores of full batches in which each image has others beside it, in several rows."""
        kinds = len(_SIZES)
        # In a large batch they come again and again, small ones begin with one after the other.
        batches = range(1 if self.size >= 2 * kinds else kinds)
        return [observation for first in batches for observation in self._full(first)]

    def _full(self, first: int) -> list[Observation]:
        size = self.size
        images = [(first + row) % len(_SIZES) for row in range(size)]
        where = [f"in row {row + 1} of a full batch of {size}" for row in range(size)]
        return [
            Observation(*facts)
            for facts in zip(images, [size] * size, where, self._scores(images), strict=True)
        ]

    def _scores(self, images: list[int]) -> Array:
        crops = take(self._images, images)
        if self._streams:
            return score(self._engine, crops, self._normalisation).table
        found = self._engine.predict(_dense(crops, self._normalisation, self.size))
        columns = [np.asarray(found[name][: len(images)], np.float64) for name in self.columns]
        return np.stack(columns, axis=1)


def _message(tagger: TaggerSpec, observations: list[Observation], run_at: Callable[[int], _Runner]) -> str:
    """Return the largest difference of observations in words; empty if all of them agree."""
    largest_batch = max(observation.batch for observation in observations)
    found = _worst(_pairs(observations), observations, tagger.tolerance.max_abs)
    if found is None:
        # What goes by one scale for a whole batch may hide where scores are near to 0 or 1.
        mixing = dynamic_quantisation(tagger.model.path) if largest_batch > 1 else ""
        return f"gives an image a score that depends on those beside it: {mixing}" if mixing else ""
    run = run_at(largest_batch)
    repeated = [(one, two, _SAME_SIZE) for one, two in zip(run.full(), run.full(), strict=True)]
    again = _worst(repeated, observations, tagger.tolerance.max_abs)
    column, one, two = again or found
    what = "gives one image another score " + ("each time" if again else "in another batch")
    where = f"{two.position} again" if again else two.position
    name, values = run.columns[column], (one.scores[column], two.scores[column])
    nodes = unstable_nodes(tagger.model.path)
    shown = f"{name} is {values[0]:.6g} {one.position}, {values[1]:.6g} {where}"
    return f"{what}: {shown}" + (f" (probably by {nodes})" if nodes else "")


def _pairs(observations: list[Observation]) -> Iterator[Pair]:
    """Yield each with the first one of its image, and with the first one in a batch of its size."""
    first: dict[int, Observation] = {}
    sizes: dict[tuple[int, int], Observation] = {}
    for observation in observations:
        yield first.setdefault(observation.image, observation), observation, _OTHER_SIZE
        yield sizes.setdefault((observation.image, observation.batch), observation), observation, _SAME_SIZE


def _worst(
    pairs: Iterable[Pair], observations: list[Observation], max_abs: float
) -> tuple[int, Observation, Observation] | None:
    """Return column and observations of the difference that is furthest above what is allowed, if one is."""
    every = np.abs(np.stack([observation.scores for observation in observations]))
    largest = np.where(np.isfinite(every), every, 0).max(axis=0)
    worst, found = 1.0, None
    for one, two, limit in pairs:
        same = (one.scores == two.scores) | (np.isnan(one.scores) & np.isnan(two.scores))
        with np.errstate(invalid="ignore", divide="ignore"):
            distance = np.where(same, 0, np.abs(one.scores - two.scores))
            excess = np.where(same, 0, distance / (max(limit, max_abs) * largest))
        excess = np.where(np.isnan(excess), np.inf, excess)
        column = int(excess.argmax())
        if excess[column] > worst:
            worst, found = float(excess[column]), (column, one, two)
    return found


def _synthetic_images(tagger: TaggerSpec) -> Crops:
    """Return images of random numbers, the same each time: few pixels, as large as training made them."""
    rng, normalisation = np.random.default_rng(20230914), tagger.normalisation
    channels, size = len(tagger.channels), tagger.crop.size
    count = max(1, size**2 // _SPARSE)
    pixels, values = [], []
    for mean in _SIZES:
        for c in range(channels):
            place = np.sort(rng.choice(size**2, count, replace=False))
            pixels.append(place + c * size**2)
            scale = abs(float(normalisation.scale[c])) or 1.0
            values.append(float(normalisation.threshold[c]) + rng.exponential(mean, count) / scale)
    offsets = np.arange(len(_SIZES) * channels + 1, dtype=np.int64) * count
    pixel = np.concatenate(pixels).astype(np.int32)
    return Crops(offsets, pixel, np.concatenate(values).astype(np.float32), channels, size)


def _dense(crops: Crops, normalisation: Normalisation, batch: int) -> Array:
    """Return crops as the first images of a batch; without compiling anything for it."""
    channels, size = crops.channels, crops.size
    scale, offset = normalisation.scale, normalisation.offset
    out = np.empty((batch, channels, size**2), np.float32)
    out[...] = offset[:, None]
    row = np.repeat(np.arange(crops.objects), len(crops.pixel) // max(1, crops.objects))
    channel, place = np.divmod(crops.pixel, size**2)
    out[row, channel, place] = crops.value * scale[channel] + offset[channel]
    images: Array = out.reshape(batch, channels, size, size)
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1)) if normalisation.channels_last else images
