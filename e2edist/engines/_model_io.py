"""What goes into a model and comes out of it: its image input, its outputs, and the columns they become."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from e2edist.config.tagger import RESERVED, OutputSpec, TaggerSpec
from e2edist.errors import ModelError
from e2edist.imaging.event_batch import Array

from .api import image_shape

#: Types of image inputs, as ONNX Runtime writes them -> numpy dtype.
FLOATS = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64"}


class ModelIO:
    """Input and outputs of a session, as far as a tagger says what they mean.

    Attributes
    ----------
    name, dtype : str
        Of the image input.
    fixed_batch : int
        The only batch that it takes, 0 if any.
    output_names : list of str
        Names of the outputs that become columns.
    columns : dict of str to str
        Column -> dtype; known after `name_columns`.
    """

    def __init__(self, tagger: TaggerSpec, session: Any) -> None:
        self._path, self._session = tagger.model.path, session
        self.name, self.dtype, self.fixed_batch = self._find_input(tagger)
        self._outputs = self._find_outputs(tagger.outputs)
        self.output_names = [o if isinstance(o, str) else o.name for o in self._outputs]
        self._names: list[list[str]] = []
        self.columns: dict[str, str] = {}
        del self._session

    def name_columns(self, outputs: list[Any], batch: int) -> None:
        """Name the columns after a first run, which tells how wide the outputs are."""
        tables = self._tables(outputs, batch)
        self._names = [self._name_columns(o, a) for o, a in zip(self._outputs, tables, strict=True)]
        self.columns = {
            name: _column_dtype(output, values)
            for output, names, values in zip(self._outputs, self._names, tables, strict=True)
            for name in names
        }
        if len(self.columns) != sum(map(len, self._names)):
            raise ModelError(self._path, "two outputs give the same column", "Name them under [[outputs]].")

    def scores(self, outputs: list[Any], batch: int) -> dict[str, Array]:
        """Return the score columns, each of shape (batch,), of the outputs `output_names`."""
        scores = {}
        tables = self._tables(outputs, batch)
        for output, names, values in zip(self._outputs, self._names, tables, strict=True):
            active = values if isinstance(output, str) else _activate(values, output.activation)
            for i, name in enumerate(names):
                scores[name] = active[:, i].astype(self.columns[name], copy=False)
        return scores

    def _tables(self, outputs: list[Any], batch: int) -> list[Array]:
        return [self._table(name, a, batch) for name, a in zip(self.output_names, outputs, strict=True)]

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
            todo = f'Set model.input = "{next(iter(inputs))}" in the tagger file, or leave it out.'
            raise ModelError(self._path, what, todo)
        found = inputs[wanted]
        if found.type not in FLOATS:
            what = f"input {wanted} takes {found.type}, not a tensor of floats"
            raise ModelError(self._path, what, "Export it so that it takes floats.")
        need = image_shape(tagger)
        if not _fits(found.shape, need):
            made = ", ".join(map(str, need))
            what = f"input {wanted} has shape {found.shape}, the tagger makes [batch, {made}]"
            todo = "Check channels, crop.size and model.layout of the tagger file."
            other = "NHWC" if tagger.model.layout == "NCHW" else "NCHW"
            turned = tagger.model.model_copy(update={"layout": other})
            if _fits(found.shape, image_shape(tagger.model_copy(update={"model": turned}))):
                todo = f'Set model.layout = "{other}" in a tagger file of yours.'
            raise ModelError(self._path, what, todo)
        return wanted, FLOATS[found.type], found.shape[0] if isinstance(found.shape[0], int) else 0

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
                todo = f'Name it under [[outputs]], as name = "{have[0]}".'
                raise ModelError(self._path, f"{what}; its outputs: {', '.join(have)}", todo)
            found.append(output.model_copy(update={"name": name}))
        return found

    def _table(self, name: str, values: Any, batch: int) -> Array:
        """Return an output as (batch, k)."""
        if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiub":
            raise ModelError(self._path, f"output {name} is not a tensor of numbers")
        if values.ndim == 0 or values.shape[0] != batch:
            what = f"output {name} has shape {list(values.shape)} for a batch of {batch}"
            raise ModelError(self._path, f"{what}: no row per image")
        return values.reshape(batch, -1)

    def _name_columns(self, output: OutputSpec | str, values: Array) -> list[str]:
        width = values.shape[1]
        if isinstance(output, str):
            name = re.sub(r"\W+", "_", output).strip("_") or "score"
            if name.lower() in RESERVED:
                what = f"output {output} has the name of a column that all results have"
                raise ModelError(self._path, what, "Name its columns under [[outputs]].")
            return [name] if width == 1 else [f"{name}_{i}" for i in range(width)]
        if len(output.columns) != width:
            named = len(output.columns)
            what = f"output {output.name} gives {width} numbers per image, the tagger names {named}"
            todo = f"Correct outputs.columns of the tagger file: {width} names."
            raise ModelError(self._path, f"{what} ({', '.join(output.columns)})", todo)
        return list(output.columns)


def _fits(shape: Sequence[Any], need: Sequence[int]) -> bool:
    """Return whether an input of this shape takes images of the shape `need`."""
    return len(shape) == 4 and all(
        not isinstance(has, int) or has == must for has, must in zip(shape[1:], need, strict=True)
    )


def _column_dtype(output: OutputSpec | str, values: Array) -> str:
    if isinstance(output, OutputSpec) and output.activation != "none":
        return "float32"
    return {"f": "float32", "b": "bool"}.get(values.dtype.kind, "int64")


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
