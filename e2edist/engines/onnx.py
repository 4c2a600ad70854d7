"""ONNX Runtime: sessions that a process opens once and its threads share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from itertools import count
from typing import Any

import numpy as np

from e2edist.config.tagger import TaggerSpec
from e2edist.errors import ModelError
from e2edist.imaging.crops import Crops, Normalisation
from e2edist.imaging.event_batch import Array

from . import EngineOptions, InferenceStream, _device, _node_placement, _sparse_graph
from ._dense_stream import DenseStream
from ._io_buffers import BufferedStream, BufferPool, ImageLoader, ListLoader
from ._model_io import ModelIO, image_shape
from ._runtime import first_line, runtime
from ._session import engines_locked, open_session, tf32

#: Where ONNX Runtime keeps a provider's tensors.
_MEMORY = {"cpu": "cpu", "cuda": "cuda", "tensorrt": "cuda"}


class OnnxEngine:
    """ONNX Runtime sessions with the input and outputs that their tagger names."""

    def __init__(self, tagger: TaggerSpec, options: EngineOptions) -> None:
        self._tagger, self._options, self._path = tagger, options, tagger.model.path
        self._sparse = options.images == "sparse"
        self._rule, self._adds = tagger.normalisation, True
        with engines_locked(self._path, options):
            self._open()
        staged = options.provider != "cpu"
        self._rack = BufferPool(runtime(), self._sessions, _MEMORY[options.provider], staged=staged)
        self.columns = self._ports.columns
        self.facts: Mapping[str, str] = self._facts()

    def _open(self) -> None:
        """Open the sessions; the first call sizes the outputs and pays for what happens only once."""
        options, model = self._options, self._path
        if self._sparse:  # the model's own input disappears in the joined graph: look at it before
            self._ports = ModelIO(self._tagger, open_session(model, self._path, EngineOptions()))
            self.batch = self._ports.fixed or options.batch or self._tagger.batch
            content, self._adds = _sparse_graph.merge(self._path, self._target(), self._rule)
            self._sessions = [open_session(content, self._path, options) for _ in range(options.sessions)]
        else:
            self._sessions = [open_session(model, self._path, options) for _ in range(options.sessions)]
            self._ports = ModelIO(self._tagger, self._sessions[0])
            self.batch = self._ports.fixed or options.batch or self._tagger.batch
        self._turn = count()
        for _ in self._sessions:
            answers = self._run(self._nothing())
        self._ports.learn(answers, self.batch)

    def _target(self) -> _sparse_graph.Target:
        channels, size = len(self._tagger.channels), self._tagger.crop.size
        return _sparse_graph.Target(self._ports.name, self._ports.dtype, self.batch, channels, size)

    def _nothing(self) -> dict[str, Array]:
        if self._sparse:
            size = _sparse_graph.length(0)
            return {
                _sparse_graph.PIXEL: np.zeros(size, np.int32),
                _sparse_graph.VALUE: np.zeros(size, np.float32),
            }
        return {self._ports.name: np.zeros((self.batch, *image_shape(self._tagger)), self._ports.dtype)}

    def _facts(self) -> dict[str, str]:
        options, provider = self._options, self._sessions[0].get_providers()[0]
        facts = _device.describe(provider, runtime()) | {
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
        return self._guarded(lambda: list(session.run(self._ports.fetch, inputs)))

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
        answers = self._run({self._ports.name: images.astype(self._ports.dtype, copy=False)})
        return self._ports.scores(answers, self.batch)

    @cached_property
    def _dense_twin(self) -> OnnxEngine:
        return OnnxEngine(self._tagger, replace(self._options, images="dense"))

    def feed(self, crops: Crops, rule: Normalisation) -> InferenceStream:
        """Return the way of crops into this engine (see `e2edist.engines.open_stream`)."""
        on_device = self._options.provider != "cpu"
        if self._sparse:
            lists = ListLoader(crops, rule, self._adds, few=self._options.provider == "tensorrt")
            return BufferedStream(self._rack, lists, self._answer, 1 + on_device)
        if not on_device or self._ports.dtype != "float32":
            return DenseStream(self, crops, rule)
        shape = (self.batch, *image_shape(self._tagger))
        loader = ImageLoader(crops, rule, self._ports.name, shape)
        return BufferedStream(self._rack, loader, self._answer, 2)

    def _answer(self, call: Callable[[], list[Any]]) -> dict[str, Array]:
        """Return the scores of a slot's run, whose outputs are all that the sessions have."""
        names = [item.name for item in self._sessions[0].get_outputs()]
        answers = dict(zip(names, self._guarded(call), strict=True))
        return self._ports.scores([answers[name] for name in self._ports.fetch], self.batch)


def make(tagger: TaggerSpec, options: EngineOptions) -> OnnxEngine:
    """Return the engine (see `e2edist.engines`)."""
    return OnnxEngine(tagger, options)
