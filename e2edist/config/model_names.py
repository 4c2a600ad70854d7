"""What a model calls its input and outputs, where the tagger that it is used with only has defaults.

The taggers that come with the package name the input and the output of their own model. With another model,
``--model``, those names are a default; what a tagger file of the user says is never changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from ._protobuf import fields, messages, text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# Numbers of fields in onnx.proto.
_GRAPH = 7
_INITIALIZER, _SPARSE, _INPUT, _OUTPUT = 5, 15, 11, 12
_TENSOR_NAME = 8
_TYPE, _TENSOR, _SHAPE, _DIM, _DIM_VALUE = 2, 1, 2, 1, 1


@dataclass(frozen=True, slots=True)
class ModelNames:
    """Inputs and outputs of an ONNX file.

    Attributes
    ----------
    inputs : tuple of str
        Names of the inputs that must be given: without those that are weights.
    outputs : dict of str to int or None
        Name -> numbers per image; None where the file leaves it open.
    """

    inputs: tuple[str, ...]
    outputs: dict[str, int | None]


def read_names(model: bytes) -> ModelNames:
    """Return what an ONNX file calls its inputs and outputs.

    Raises
    ------
    ValueError
        The bytes are no protobuf message.
    """
    weights: set[str] = set()
    inputs: list[str] = []
    outputs: dict[str, int | None] = {}
    for graph in messages(memoryview(model), _GRAPH):
        weights |= {text(tensor, _TENSOR_NAME) for tensor in messages(graph, _INITIALIZER)}
        sparse = (values for tensor in messages(graph, _SPARSE) for values in messages(tensor, 1))
        weights |= {text(values, _TENSOR_NAME) for values in sparse}
        inputs += [text(item, 1) for item in messages(graph, _INPUT)]
        outputs |= {text(item, 1): _width(item) for item in messages(graph, _OUTPUT)}
    return ModelNames(tuple(name for name in inputs if name not in weights), outputs)


def _width(item: memoryview) -> int | None:
    """Return how many numbers an output has per image; None if its shape does not say."""
    found = [item]
    for number in (_TYPE, _TENSOR, _SHAPE):
        found = [inner for outer in found for inner in messages(outer, number)]
    if not found:
        return None
    sizes = [
        next((value for n, value in fields(dim) if n == _DIM_VALUE and isinstance(value, int)), None)
        for dim in messages(found[0], _DIM)
    ]
    known = [size for size in sizes[1:] if size is not None]
    return prod(known) if len(known) == len(sizes) - 1 else None


def names_for(
    model: Path, input_name: str, outputs: Sequence[tuple[str, int]]
) -> tuple[str, tuple[str, ...]] | None:
    """Return what `model` calls a tagger's input, and its outputs; no outputs if the tagger's don't fit.

    Parameters
    ----------
    input_name : str
        As the tagger has it; replaced by that of the only input.
    outputs : sequence of (str, int)
        Name and number of columns of each of the tagger's outputs. A single name is replaced by that of the
        only output.

    Returns
    -------
    tuple or None
        None for an unreadable model: who opens it says what is wrong.
    """
    try:
        names = read_names(model.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not names.outputs:
        return None
    if input_name not in names.inputs and len(names.inputs) == 1:
        input_name = names.inputs[0]
    if len(outputs) == len(names.outputs) == 1:
        outputs = [(name, outputs[0][1]) for name in names.outputs]
    fits = all(names.outputs.get(name, 0) in (None, width) for name, width in outputs)
    return input_name, tuple(name for name, _ in outputs) if fits else ()
