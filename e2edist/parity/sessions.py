"""ONNX Runtime sessions on the CPU with settings that a campaign never has, for comparing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from e2edist.config.tagger import TaggerSpec
from e2edist.engines import first_line, load_error, runtime
from e2edist.errors import ModelError
from e2edist.imaging.event_batch import Array

from .reference_scores import as_columns

CPU = "CPUExecutionProvider"
_TYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64"}


@dataclass(frozen=True, slots=True)
class Settings:
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
    fixed : int
        The batch that the model takes, 0 if any.
    shape : list
        Of the input: numbers, or names of free axes.
    """

    def __init__(self, model: str | bytes, tagger: TaggerSpec, settings: Settings) -> None:
        self._tagger, self._path = tagger, tagger.model.path
        self._session = _open(model, self._path, settings)
        image = self._session.get_inputs()[0]
        self._input, self._dtype = image.name, _TYPES.get(image.type, "float32")
        self.shape = list(image.shape)
        self.fixed = self.shape[0] if self.shape and isinstance(self.shape[0], int) else 0
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
        step, parts = self.fixed or batch, []
        for start in range(0, len(images), step):
            part = images[start : start + step]
            full = np.zeros((step, *images.shape[1:]), self._dtype)
            full[: len(part)] = part
            try:
                answers = self._session.run(self._outputs, {self._input: full})
            except Exception as error:  # onnxruntime's errors have no common class of their own
                raise ModelError(self._path, f"fails on a batch of {step}: {first_line(error)}") from error
            parts.append(as_columns(answers, self._tagger)[: len(part)])
        return np.concatenate(parts)


def _open(model: str | bytes, path: str, settings: Settings) -> Any:
    ort = runtime()
    options = ort.SessionOptions()
    level = ort.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if settings.optimised else level.ORT_DISABLE_ALL
    options.intra_op_num_threads, options.inter_op_num_threads = settings.threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # what goes wrong is said by the exception
    try:
        return ort.InferenceSession(model, options, providers=[CPU])
    except Exception as error:  # as above
        raise load_error(path, error) from error
