"""Crops to any engine, as dense images: painted into one batch, run, wiped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e2edist.imaging.batch import Array
from e2edist.imaging.crops import Crops, Normalisation, blank, paint

if TYPE_CHECKING:
    from . import Engine


class DenseFeed:
    """The `Feed` of engines that have none of their own."""

    depth = 1

    def __init__(self, engine: Engine, crops: Crops, rule: Normalisation) -> None:
        self._engine, self._crops, self._rule = engine, crops, rule
        self._images = blank(engine.batch, crops, rule)
        self._painted: tuple[int, int] | None = None
        self.sent = 0

    def load(self, start: int, stop: int) -> None:
        """Paint the crops start:stop."""
        if self._painted:
            paint(self._crops, *self._painted, self._rule, self._images, clear=True)
        paint(self._crops, start, stop, self._rule, self._images)
        self._painted = (start, stop)
        self.sent += self._images.nbytes

    def result(self) -> dict[str, Array]:
        """Return their scores."""
        return self._engine.predict(self._images)

    def close(self) -> None:
        """Do nothing: there is nothing to end."""
