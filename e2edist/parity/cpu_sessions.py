"""ONNX Runtime sessions on the CPU with settings that a campaign never has, for comparing."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from e2edist.config.tagger import TaggerSpec
from e2edist.engines import FLOATS, cpu_session, first_line
from e2edist.errors import ModelError
from e2edist.imaging.event_batch import Array

from .reference_scores import as_columns


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """How a session is made.

    Attributes
    ----------
    optimised : bool
        Whether the graph is rewritten before it runs.
    threads : int
        Threads inside one call.
    """

    optimised: bool = True
    threads: int = 1


class Session:
    """A model with one image input, as its file says; scores come as float64.

    Attributes
    ----------
    fixed_batch : int
        The only batch that the model takes, 0 if any.
    """

    def __init__(self, model: str | bytes, tagger: TaggerSpec, settings: SessionSettings) -> None:
        self._tagger, self._path = tagger, tagger.model.path
        self._session = cpu_session(model, self._path, **asdict(settings))
        image = self._session.get_inputs()[0]
        self._input, self._dtype = image.name, FLOATS.get(image.type, "float32")
        first = next(iter(image.shape), None)
        self.fixed_batch = first if isinstance(first, int) else 0
        have = [item.name for item in self._session.get_outputs()]
        only = have[0] if len(have) == 1 else ""
        self._outputs = [output.name or only for output in tagger.outputs] or have

    def scores(self, images: Array, batch: int) -> Array:
        """Return the scores of images, `batch` at a time (the model's own, if it has one), the tail padded.

        Returns
        -------
        float64, shape (objects, columns)

        Raises
        ------
        ModelError
            The model fails.
        """
        step, parts = self.fixed_batch or batch, []
        for start in range(0, len(images), step):
            part = images[start : start + step]
            full = np.zeros((step, *images.shape[1:]), self._dtype)
            full[: len(part)] = part
            try:
                outputs = self._session.run(self._outputs, {self._input: full})
            except Exception as error:  # onnxruntime's errors have no common class of their own
                raise ModelError(self._path, f"fails on a batch of {step}: {first_line(error)}") from error
            parts.append(as_columns(outputs, self._tagger)[: len(part)])
        return np.concatenate(parts)
