"""Crops to any engine as dense images: painted into one batch, run, wiped."""

from __future__ import annotations

from collections import deque

from e2edist.imaging.crops import Crops, Normalisation, blank, paint
from e2edist.imaging.event_batch import Array

from .api import Engine

#: Small images are painted several batches at a time, as many as a core's cache holds.
_GROUP_BYTES = 1 << 20


class DenseStream:
    """The `InferenceStream` of engines that have none of their own."""

    depth = 1

    def __init__(self, engine: Engine, crops: Crops, normalisation: Normalisation) -> None:
        self._engine, self._crops, self._normalisation = engine, crops, normalisation
        image_bytes = 4 * crops.channels * crops.size**2
        batches = max(1, _GROUP_BYTES // (image_bytes * engine.batch))
        self._images = blank(batches * engine.batch, crops, normalisation)
        self._painted = (0, 0)
        self._loaded: deque[int] = deque()
        self.bytes_sent = 0

    def load(self, start: int, stop: int) -> None:
        """Paint the crops start:stop, and those behind them that have room."""
        first, last = self._painted
        at = start - first
        if not (first <= start and stop <= last and at % self._engine.batch == 0):
            paint(self._crops, first, last, self._normalisation, self._images, clear=True)
            last = min(start + len(self._images), self._crops.objects)
            paint(self._crops, start, last, self._normalisation, self._images)
            self._painted, at = (start, last), 0
        self._loaded.append(at)
        self.bytes_sent += self._images[at : at + self._engine.batch].nbytes

    def result(self) -> dict[str, Array]:
        """Return their scores."""
        at = self._loaded.popleft()
        return self._engine.predict(self._images[at : at + self._engine.batch])

    def close(self) -> None:
        """Do nothing: nothing is held."""
