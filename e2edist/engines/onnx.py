"""ONNX Runtime: sessions that a process opens once and its threads share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from itertools import count
from typing import Any

import numpy as np

from . import _device_facts, _node_placement, _sparse_graph
from ._dense_stream import DenseStream
from ._io_buffers import BufferedStream, BufferPool, ImageLoader, ListLoader
from ._model_io import ModelIO
from ._runtime import first_line, runtime
from ._session import engine_build_lock, open_session, tf32
from .api import (
    Array,
    Crops,
    EngineOptions,
    InferenceStream,
    ModelError,
    Normalisation,
    TaggerSpec,
    image_shape,
)

#: Where ONNX Runtime keeps a provider's tensors.
_MEMORY = {"cpu": "cpu", "cuda": "cuda", "tensorrt": "cuda"}


class OnnxEngine:
    """ONNX Runtime sessions with the input and outputs that their tagger names."""

    def __init__(self, tagger: TaggerSpec, options: EngineOptions) -> None:
        self._tagger, self._options, self._path = tagger, options, tagger.model.path
        self._sparse = options.images == "sparse"
        with engine_build_lock(self._path, options):
            self._open()
        staged = options.provider != "cpu"
        self._buffers = BufferPool(runtime(), self._sessions, _MEMORY[options.provider], staged=staged)
        self.columns = self._io.columns
        self.facts: Mapping[str, str] = self._facts()

    def _open(self) -> None:
        """Open the sessions; the first call sizes the outputs and pays for what happens only once."""
        options, model = self._options, self._path
        if self._sparse:  # the model's own input disappears in the joined graph: look at it before
            self._describe_io(open_session(model, self._path, EngineOptions()))
            joined = _sparse_graph.join_sparse_input(model, self._image_input(), self._tagger.normalisation)
            self._sessions = [open_session(joined, self._path, options) for _ in range(options.sessions)]
        else:
            self._sessions = [open_session(model, self._path, options) for _ in range(options.sessions)]
            self._describe_io(self._sessions[0])
        self._turn = count()
        for _ in self._sessions:
            outputs = self._run(self._empty_inputs())
        self._io.name_columns(outputs, self.batch)

    def _describe_io(self, session: Any) -> None:
        self._io = ModelIO(self._tagger, session)
        self.batch = self._io.fixed_batch or self._options.batch or self._tagger.batch

    def _image_input(self) -> _sparse_graph.ImageInput:
        channels, size = len(self._tagger.channels), self._tagger.crop.size
        return _sparse_graph.ImageInput(self._io.name, self._io.dtype, self.batch, channels, size)

    def _empty_inputs(self) -> dict[str, Array]:
        if self._sparse:
            size = _sparse_graph.padded_length(0)
            return {
                _sparse_graph.PIXEL: np.zeros(size, np.int32),
                _sparse_graph.VALUE: np.zeros(size, np.float32),
            }
        return {self._io.name: np.zeros((self.batch, *image_shape(self._tagger)), self._io.dtype)}

    def _facts(self) -> dict[str, str]:
        options, provider = self._options, self._sessions[0].get_providers()[0]
        facts = _device_facts.device_facts(provider, runtime()) | {
            "provider": provider,
            "images": options.images,
            "sessions": str(options.sessions),
            "intra_op": str(options.threads),
            "tf32": tf32(options),
        }
        if options.provider != "cpu":
            facts["conv_search"] = options.conv_search
            facts |= _node_placement.facts(_node_placement.placement(self._sessions[0]), provider)
        return facts | ({"profile": options.profile} if options.profile else {})

    def _run(self, inputs: dict[str, Array]) -> list[Any]:
        session = self._sessions[next(self._turn) % len(self._sessions)]
        return self._guarded(lambda: list(session.run(self._io.output_names, inputs)))

    def _guarded(self, call: Callable[[], list[Any]]) -> list[Any]:
        try:
            return call()
        except Exception as error:  # onnxruntime's errors have no common class of their own
            what = f"fails on a batch of {self.batch}: {first_line(error)}"
            raise ModelError(self._path, what) from error

    def predict(self, images: Array) -> dict[str, Array]:
        """Return the score columns of a batch (see `Engine.predict`)."""
        if self._sparse:
            return self._dense_twin.predict(images)
        outputs = self._run({self._io.name: images.astype(self._io.dtype, copy=False)})
        return self._io.scores(outputs, self.batch)

    @cached_property
    def _dense_twin(self) -> OnnxEngine:
        return OnnxEngine(self._tagger, replace(self._options, images="dense"))

    def open_stream(self, crops: Crops, normalisation: Normalisation) -> InferenceStream:
        """Return the way of crops into this engine (see `StreamingEngine.open_stream`)."""
        on_device = self._options.provider != "cpu"
        if self._sparse:
            lists = ListLoader(crops, normalisation, few=self._options.provider == "tensorrt")
            return BufferedStream(self._buffers, lists, self._scores_of, 1 + on_device)
        if not on_device or self._io.dtype != "float32":
            return DenseStream(self, crops, normalisation)
        shape = (self.batch, *image_shape(self._tagger))
        images = ImageLoader(crops, normalisation, self._io.name, shape)
        return BufferedStream(self._buffers, images, self._scores_of, 2)

    def _scores_of(self, run: Callable[[], list[Any]]) -> dict[str, Array]:
        """Return the scores of a run of buffers, whose outputs are all that the sessions have."""
        names = [item.name for item in self._sessions[0].get_outputs()]
        outputs = dict(zip(names, self._guarded(run), strict=True))
        return self._io.scores([outputs[name] for name in self._io.output_names], self.batch)


def make(tagger: TaggerSpec, options: EngineOptions) -> OnnxEngine:
    """Return the engine (see `e2edist.engines.api`)."""
    return OnnxEngine(tagger, options)
