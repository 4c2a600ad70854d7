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
from e2edist.imaging.crops import Crops, Normalisation
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
class Trial:
    """The scores of one image in one place.

    Attributes
    ----------
    image, batch : int
        Which of the images, and the size of the batch.
    place : str
        What is around it, for people.
    scores : float64, shape (columns,)
    """

    image: int
    batch: int
    place: str
    scores: Array


#: Two trials that must agree, and how far they may differ.
Pair = tuple[Trial, Trial, float]


def instability(tagger: TaggerSpec, engine: Engine, *, sparse: bool) -> str:
    """Return how the scores of an engine depend on the batch or on chance; empty if they don't."""
    run = _Runner(tagger, engine, sparse=sparse)
    return _message(tagger, run.trials(), lambda _: run)


def instability_in_any_batch(tagger: TaggerSpec, open_at: Callable[[int], Engine], *, sparse: bool) -> str:
    """Return the same of a model in batches of several sizes, the one that was asked for among them.

    Parameters
    ----------
    open_at : callable
        Opens it for a size of batch, 0: the size asked for.

    Raises
    ------
    ModelError
        It does not open with the size asked for, or fails.
    """

    def run(size: int) -> _Runner:
        return _Runner(tagger, open_at(size), sparse=sparse)

    # One after the other: a model may fill a good part of this host's memory.
    wanted = run(0)
    size, trials = wanted.size, wanted.trials() if wanted.size <= _LARGEST else []
    del wanted
    for other in (1,) if _SMALL <= size <= _LARGEST else (_SMALL, 1):
        if other != size:
            trials += _trials_at(other, run)
    return _message(tagger, trials or run(0).trials(), run)


def _trials_at(size: int, run: Callable[[int], _Runner]) -> list[Trial]:
    """Return the trials in batches of a size, none if the model has a batch of its own."""
    try:
        one = run(size)
    except ModelError:  # it has one, and does not say so
        return []
    return one.trials() if one.size == size else []


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

    def trials(self) -> list[Trial]:
        """Return the scores of the first image among empty ones, then those of a full batch."""
        (scores,) = self._scores([0])
        return [Trial(0, self.size, f"alone in a batch of {self.size}", scores), *self.full()]

    def full(self) -> list[Trial]:
        """Return the scores of full batches in which each image has others beside it, in several rows."""
        kinds = len(_SIZES)
        # In a large batch they come again and again, small ones begin with one after the other.
        batches = range(1 if self.size >= 2 * kinds else kinds)
        return [trial for first in batches for trial in self._full(first)]

    def _full(self, first: int) -> list[Trial]:
        size = self.size
        images = [(first + row) % len(_SIZES) for row in range(size)]
        where = [f"in row {row + 1} of a full batch of {size}" for row in range(size)]
        return [
            Trial(*facts) for facts in zip(images, [size] * size, where, self._scores(images), strict=True)
        ]

    def _scores(self, images: list[int]) -> Array:
        crops = _select(self._images, images)
        if self._streams:
            return score(self._engine, crops, self._normalisation).table
        found = self._engine.predict(_dense(crops, self._normalisation, self.size))
        columns = [np.asarray(found[name][: len(images)], np.float64) for name in self.columns]
        return np.stack(columns, axis=1)


def _message(tagger: TaggerSpec, trials: list[Trial], run_at: Callable[[int], _Runner]) -> str:
    """Return the largest difference of trials in words; empty if all of them agree."""
    found = _worst(_pairs(trials), trials, tagger.tolerance.max_abs)
    if found is None:
        # What goes by one scale for a whole batch may hide where scores are near to 0 or 1.
        mixing = dynamic_quantisation(tagger.model.path) if max(trial.batch for trial in trials) > 1 else ""
        return f"gives an image a score that depends on those beside it: {mixing}" if mixing else ""
    run = run_at(max(trial.batch for trial in trials))
    repeated = [(one, two, _SAME_SIZE) for one, two in zip(run.full(), run.full(), strict=True)]
    again = _worst(repeated, trials, tagger.tolerance.max_abs)
    column, one, two = again or found
    what = "gives one image another score " + ("each time" if again else "in another batch")
    where = f"{two.place} again" if again else two.place
    name, values = run.columns[column], (one.scores[column], two.scores[column])
    nodes = unstable_nodes(tagger.model.path)
    shown = f"{name} is {values[0]:.6g} {one.place}, {values[1]:.6g} {where}"
    return f"{what}: {shown}" + (f" (probably by {nodes})" if nodes else "")


def _pairs(trials: list[Trial]) -> Iterator[Pair]:
    """Yield each trial with the first one of its image, and with the first one in a batch of its size."""
    first: dict[int, Trial] = {}
    sizes: dict[tuple[int, int], Trial] = {}
    for trial in trials:
        yield first.setdefault(trial.image, trial), trial, _OTHER_SIZE
        yield sizes.setdefault((trial.image, trial.batch), trial), trial, _SAME_SIZE


def _worst(pairs: Iterable[Pair], trials: list[Trial], max_abs: float) -> tuple[int, Trial, Trial] | None:
    """Return column and trials of the difference that is furthest above what is allowed, if one is."""
    every = np.abs(np.stack([trial.scores for trial in trials]))
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
    rng, rule = np.random.default_rng(20230914), tagger.normalisation
    channels, size = len(tagger.channels), tagger.crop.size
    count = max(1, size**2 // _SPARSE)
    pixels, values = [], []
    for mean in _SIZES:
        for c in range(channels):
            place = np.sort(rng.choice(size**2, count, replace=False))
            pixels.append(place + c * size**2)
            scale = abs(float(rule.scale[c])) or 1.0
            values.append(float(rule.threshold[c]) + rng.exponential(mean, count) / scale)
    offsets = np.arange(len(_SIZES) * channels + 1, dtype=np.int64) * count
    pixel = np.concatenate(pixels).astype(np.int32)
    return Crops(offsets, pixel, np.concatenate(values).astype(np.float32), channels, size)


def _select(images: Crops, rows: list[int]) -> Crops:
    """Return the images with these numbers; all have the same number of pixels."""
    count = len(images.pixel) // images.objects
    pixel, value = (
        array.reshape(images.objects, count)[rows].ravel() for array in (images.pixel, images.value)
    )
    offsets = np.arange(len(rows) * images.channels + 1, dtype=np.int64) * (count // images.channels)
    return Crops(offsets, pixel, value, images.channels, images.size)


def _dense(crops: Crops, rule: Normalisation, batch: int) -> Array:
    """Return crops as the first images of a batch; without compiling anything for it."""
    channels, size = crops.channels, crops.size
    out = np.empty((batch, channels, size**2), np.float32)
    out[...] = rule.offset[:, None]
    row = np.repeat(np.arange(crops.objects), len(crops.pixel) // max(1, crops.objects))
    channel, place = np.divmod(crops.pixel, size**2)
    out[row, channel, place] = crops.value * rule.scale[channel] + rule.offset[channel]
    images: Array = out.reshape(batch, channels, size, size)
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1)) if rule.channels_last else images
