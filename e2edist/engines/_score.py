"""Crops to scores, batch by batch: the one loop that runs an engine."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from typing import Literal

import numpy as np

from e2edist.imaging.crops import Crops, Normalisation
from e2edist.imaging.event_batch import Array

from ._dense_stream import DenseStream
from .api import Engine, InferenceStream, StreamingEngine

#: What the loop does: make inputs and sort results, or wait for the model.
Step = Literal["load", "run"]
#: Returns a context that measures a step, which takes so many crops (0: they were counted before).
Timer = Callable[[Step, int], AbstractContextManager[object]]
_NOT_MEASURED = nullcontext()


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of some crops, in their order.

    Attributes
    ----------
    columns : dict of str to array
        The engine's score columns, each of shape (crops,).
    bytes_sent : int
        Bytes of inputs that went to the model.
    """

    columns: dict[str, Array]
    bytes_sent: int

    @property
    def table(self) -> Array:
        """All columns side by side, float64, shape (crops, columns)."""
        return np.stack([column.astype(np.float64) for column in self.columns.values()], axis=1)


def not_measured(step: Step, crops: int) -> AbstractContextManager[object]:  # noqa: ARG001
    """Return a context that measures nothing: a `Timer`."""
    return _NOT_MEASURED


def score(engine: Engine, crops: Crops, normalisation: Normalisation, timer: Timer = not_measured) -> Scores:
    """Return the scores of crops; the tail of the last batch is padded and left out.

    Parameters
    ----------
    normalisation : Normalisation
        From pixels as in the frames to the images that the model takes.
    timer : Timer
        Measures the steps.

    Raises
    ------
    ModelError
        The model fails.
    """
    spans = [(at, min(at + engine.batch, crops.objects)) for at in range(0, crops.objects, engine.batch)]
    columns = {name: np.empty(crops.objects, dtype) for name, dtype in engine.columns.items()}
    with timer("load", 0):
        stream = open_stream(engine, crops, normalisation)
    loaded = 0
    with closing(stream):
        for done, (start, stop) in enumerate(spans):
            with timer("load", 0):
                # A stream with a second buffer makes the next batch while this one runs.
                for span in spans[loaded : done + stream.depth]:
                    stream.load(*span)
                    loaded += 1
            with timer("run", stop - start):
                result = stream.result()
            with timer("load", 0):
                for name, column in result.items():
                    columns[name][start:stop] = column[: stop - start]
    return Scores(columns, stream.bytes_sent)


def open_stream(engine: Engine, crops: Crops, normalisation: Normalisation) -> InferenceStream:
    """Return the way of crops into an engine: its own, or else dense images."""
    if isinstance(engine, StreamingEngine):
        return engine.open_stream(crops, normalisation)
    return DenseStream(engine, crops, normalisation)
