"""ONNX Runtime: one session per process, shared by the worker's threads."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from e2edist.errors import ModelError
from e2edist.imaging.batch import Array
from e2edist.spec.tagger import RESERVED, OutputSpec, TaggerSpec

from . import EngineOptions

_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
_TYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64"}
_SETTINGS: dict[str, dict[str, str]] = {
    "CUDAExecutionProvider": {
        "use_tf32": "0",  # on by default on A100, and then scores differ from the CPU's
        "cudnn_conv_algo_search": "HEURISTIC",  # EXHAUSTIVE searches anew for each shape
        "arena_extend_strategy": "kSameAsRequested",  # several workers share a GPU's memory
    },
}


def _runtime() -> Any:
    # Official builds report usage to their maker unless told not to before they are loaded.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ImportError as error:
        todo = "Install the extra [cpu] or [gpu] of e2edist, never both: pip install 'e2edist[cpu]'."
        raise ModelError("", "onnxruntime is not installed", todo) from error
    return onnxruntime


def _open_session(tagger: TaggerSpec, options: EngineOptions) -> Any:
    runtime, path = _runtime(), tagger.model.path
    provider = _PROVIDERS[options.provider]
    if provider not in runtime.get_available_providers():
        todo = 'Install the extra [gpu] in place of [cpu], or set provider = "cpu" in the site file.'
        raise ModelError(path, f"this onnxruntime has no {provider}", todo)
    settings = runtime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    settings.inter_op_num_threads = 1
    # Workers share cores: a thread that waits must not burn the one that another thread needs.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    settings.log_severity_level = 3
    try:
        session = runtime.InferenceSession(
            path, settings, providers=[(provider, _SETTINGS.get(provider, {}))]
        )
    except Exception as error:  # onnxruntime's errors have no common class of their own
        raise ModelError(path, f"does not load: {_first_line(error)}") from error
    if session.get_providers()[0] != provider:
        raise ModelError(path, f"runs on {session.get_providers()[0]}, not on {provider}: no usable device")
    return session


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__


class OnnxEngine:
    """An ONNX Runtime session with the input and outputs that its tagger names."""

    def __init__(self, tagger: TaggerSpec, options: EngineOptions) -> None:
        self._path = tagger.model.path
        self._session = _open_session(tagger, options)
        self._input, self._dtype, fixed = self._find_input(tagger)
        self.batch = fixed or options.batch or tagger.batch
        self._outputs = self._find_outputs(tagger.outputs)
        shape = _image_shape(tagger)
        # The first call sizes the outputs and pays for whatever the runtime does only once.
        answers = self._run(np.zeros((self.batch, *shape), np.float32))
        self._columns = [self._name_columns(o, a) for o, a in zip(self._outputs, answers, strict=True)]
        self.columns = {
            name: _column_dtype(output, answer)
            for output, names, answer in zip(self._outputs, self._columns, answers, strict=True)
            for name in names
        }
        if len(self.columns) != sum(map(len, self._columns)):
            raise ModelError(self._path, "two outputs give the same column", "Name them under [[outputs]].")
        self.facts: Mapping[str, str] = {
            "engine": f"onnxruntime {_runtime().__version__}",
            "provider": self._session.get_providers()[0],
            "device": _device(options.provider),
        }

    def _find_input(self, tagger: TaggerSpec) -> tuple[str, str, int]:
        """Return name, dtype and fixed batch (0: free) of the image input."""
        inputs = {item.name: item for item in self._session.get_inputs()}
        names = ", ".join(f"{name} {item.shape}" for name, item in inputs.items())
        wanted = tagger.model.input or (next(iter(inputs)) if len(inputs) == 1 else "")
        if len(inputs) != 1:
            todo = "Export it with exactly one, the images."
            raise ModelError(self._path, f"has {len(inputs)} inputs: {names}", todo)
        if wanted not in inputs:
            what = f"has no input {wanted!r}; its inputs: {names}"
            raise ModelError(self._path, what, "Set model.input in the tagger file.")
        found = inputs[wanted]
        if found.type not in _TYPES:
            what = f"input {wanted} takes {found.type}, not a tensor of floats"
            raise ModelError(self._path, what, "Export it so that it takes floats.")
        need = _image_shape(tagger)
        fits = len(found.shape) == 4 and all(
            not isinstance(has, int) or has == must for has, must in zip(found.shape[1:], need, strict=True)
        )
        if not fits:
            made = ", ".join(map(str, need))
            what = f"input {wanted} has shape {found.shape}, the tagger makes [batch, {made}]"
            raise ModelError(
                self._path, what, "Check channels, crop.size and model.layout of the tagger file."
            )
        return wanted, _TYPES[found.type], found.shape[0] if isinstance(found.shape[0], int) else 0

    def _find_outputs(self, wanted: tuple[OutputSpec, ...]) -> list[OutputSpec | str]:
        """Return what to fetch: the tagger's outputs, or the names of all of them."""
        have = [item.name for item in self._session.get_outputs()]
        if not wanted:
            return list(have)
        found: list[OutputSpec | str] = []
        for output in wanted:
            name = output.name or (have[0] if len(have) == 1 else "")
            if name not in have:
                what = f"has no output {name!r}" if name else "has several outputs"
                raise ModelError(
                    self._path, f"{what}; its outputs: {', '.join(have)}", "Name it under [[outputs]]."
                )
            found.append(output.model_copy(update={"name": name}))
        return found

    def _run(self, images: Array) -> list[Array]:
        names = [o if isinstance(o, str) else o.name for o in self._outputs]
        try:
            answers = self._session.run(names, {self._input: images.astype(self._dtype, copy=False)})
        except Exception as error:  # as above: no common class
            raise ModelError(
                self._path, f"fails on a batch of {len(images)}: {_first_line(error)}"
            ) from error
        return [self._as_columns(name, answer) for name, answer in zip(names, answers, strict=True)]

    def _as_columns(self, name: str, answer: Any) -> Array:
        """Return an output as (batch, k)."""
        if not isinstance(answer, np.ndarray) or answer.dtype.kind not in "fiub":
            raise ModelError(self._path, f"output {name} is not a tensor of numbers")
        if answer.ndim == 0 or answer.shape[0] != self.batch:
            what = f"output {name} has shape {list(answer.shape)} for a batch of {self.batch}"
            raise ModelError(self._path, f"{what}: no row per image")
        return answer.reshape(self.batch, -1)

    def _name_columns(self, output: OutputSpec | str, answer: Array) -> list[str]:
        width = answer.shape[1]
        if isinstance(output, str):
            name = re.sub(r"\W+", "_", output).strip("_") or "score"
            if name.lower() in RESERVED:
                what = f"output {output} has the name of a column that all results have"
                raise ModelError(self._path, what, "Name its columns under [[outputs]].")
            return [name] if width == 1 else [f"{name}_{i}" for i in range(width)]
        if len(output.columns) != width:
            named = len(output.columns)
            what = f"output {output.name} gives {width} numbers per image, the tagger names {named}"
            raise ModelError(self._path, what, "Correct outputs.columns of the tagger file.")
        return list(output.columns)

    def predict(self, images: Array) -> dict[str, Array]:
        """Return the score columns of a batch (see `Engine.predict`)."""
        scores = {}
        for output, names, answer in zip(self._outputs, self._columns, self._run(images), strict=True):
            active = answer if isinstance(output, str) else _activate(answer, output.activation)
            for i, name in enumerate(names):
                scores[name] = active[:, i].astype(self.columns[name], copy=False)
        return scores


def _image_shape(tagger: TaggerSpec) -> tuple[int, int, int]:
    c, n = len(tagger.channels), tagger.crop.size
    return (c, n, n) if tagger.model.layout == "NCHW" else (n, n, c)


def _column_dtype(output: OutputSpec | str, answer: Array) -> str:
    if isinstance(output, OutputSpec) and output.activation != "none":
        return "float32"
    return {"f": "float32", "b": "bool"}.get(answer.dtype.kind, "int64")


def _activate(x: Array, activation: str) -> Array:
    if activation == "none":
        return x
    # Whole numbers and half precision have no room for what exp gives.
    x = x.astype(np.promote_types(x.dtype, np.float32) if x.dtype.kind == "f" else np.float32)
    if activation == "sigmoid":
        with np.errstate(over="ignore"):  # exp is inf far below zero, the score is 0 as it should be
            return np.asarray(1 / (1 + np.exp(-x)))
    x = np.exp(x - x.max(axis=1, keepdims=True))
    return np.asarray(x / x.sum(axis=1, keepdims=True))


def _device(provider: str) -> str:
    return (platform.processor() or platform.machine()) if provider == "cpu" else provider


def make(tagger: TaggerSpec, options: EngineOptions) -> OnnxEngine:
    """Return the engine (see `e2edist.engines`)."""
    return OnnxEngine(tagger, options)
