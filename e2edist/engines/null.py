"""No model: scores are zero. For measuring everything else, and for campaigns without onnxruntime."""

from __future__ import annotations

import numpy as np

from .api import Array, EngineOptions, TaggerSpec


class NullEngine:
    """Gives every image zeros, in the tagger's columns."""

    def __init__(self, tagger: TaggerSpec, options: EngineOptions) -> None:
        names = [column for output in tagger.outputs for column in output.columns] or ["score"]
        self.batch = options.batch or tagger.batch
        self.columns = dict.fromkeys(names, "float32")
        self.facts = {"engine": "null", "provider": "none", "device": "none"}

    def predict(self, images: Array) -> dict[str, Array]:
        """Return zeros, float32, shape (batch,) for each column."""
        return {name: np.zeros(len(images), np.float32) for name in self.columns}


def make(tagger: TaggerSpec, options: EngineOptions) -> NullEngine:
    """Return the engine (see `e2edist.engines.api`)."""
    return NullEngine(tagger, options)
