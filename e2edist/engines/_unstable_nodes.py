"""Nodes of an ONNX graph that make its scores depend on the batch or on chance: for messages only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

from ._onnx_graph import inner_graphs

#: Operators that draw numbers.
RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
)
#: Operators along one axis -> the axis that they have if none is named (of today's opsets).
_ALONG = {
    "Softmax": -1,
    "LogSoftmax": -1,
    "Hardmax": -1,
    "ArgMax": 0,
    "ArgMin": 0,
    "TopK": -1,
    "Gather": 0,
    "Compress": 0,
    "LpNormalization": -1,
    "LayerNormalization": -1,
    "RMSNormalization": -1,
}
#: Their first axis is time, unless they say otherwise.
_RECURRENT = frozenset({"LSTM", "GRU", "RNN", "Scan"})
#: What ``quantize_dynamic`` puts before each product.
_DYNAMIC = "DynamicQuantizeLinear"
_SHOWN = 4
#: A constant with more numbers is no list of axes.
_MOST_AXES = 16


def unstable_nodes(path: str) -> str:
    """Return the nodes that may be to blame, as text; empty if there are none, or without onnx."""
    try:
        found = list(dict.fromkeys(_unstable_nodes(path)))
    except Exception:  # onnx is missing, or does not know the file: the scores show enough
        return ""
    more = f" and {len(found) - _SHOWN} kinds more" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + more


def dynamic_quantisation(path: str) -> str:
    """Return the nodes that scale all images of a batch by what is largest among them; empty without onnx."""
    try:
        found = [name for name in _unstable_nodes(path) if name.startswith(_DYNAMIC)]
    except Exception:  # as above
        return ""
    return next(iter(found), "")


def _unstable_nodes(path: str) -> Iterator[str]:
    import onnx

    model = onnx.load(path, load_external_data=False)
    try:
        graph = onnx.shape_inference.infer_shapes(model).graph
    # Operators of others, larger than 2 GB: axes that are counted from the end stay unknown.
    except Exception:
        graph = model.graph
    yield from _of_graph(graph, {})
    yield from _of_functions(model)


def _of_functions(model: Any) -> Iterator[str]:
    for function in model.functions:
        yield from _of_graph(function, {})


def _of_graph(graph: Any, outer: Mapping[str, Any]) -> Iterator[str]:
    """Yield the unstable nodes of a graph or function, and of those inside it; `outer`: constants around."""
    constants = dict(outer) | {tensor.name: _value(tensor) for tensor in getattr(graph, "initializer", ())}
    ranks = _ranks(graph)
    for node in graph.node:
        attributes = {a.name: a for a in node.attribute}
        if node.op_type == "Constant":
            constants[node.output[0]] = _value(attributes["value"].t) if "value" in attributes else None
        elif node.op_type not in RANDOM and node.input and all(x in constants for x in node.input if x):
            constants |= dict.fromkeys(node.output)  # of weights, whatever it does
            continue
        if why := _why_unstable(node, attributes, constants, ranks):
            yield why
        for inner in inner_graphs(node):
            yield from _of_graph(inner, constants)


def _value(tensor: Any) -> Any:
    """Return the numbers of a tensor if they may be axes or a switch, else None."""
    from onnx import numpy_helper

    size = prod(tensor.dims)
    return None if size > _MOST_AXES or tensor.external_data else numpy_helper.to_array(tensor)


def _ranks(graph: Any) -> dict[str, int]:
    known = [item for name in ("input", "value_info", "output") for item in getattr(graph, name, ())]
    # Functions have names only.
    shaped = [item for item in known if not isinstance(item, str)]
    return {
        item.name: len(item.type.tensor_type.shape.dim)
        for item in shaped
        if item.type.tensor_type.HasField("shape")
    }


def _why_unstable(
    node: Any, attributes: Mapping[str, Any], constants: Mapping[str, Any], ranks: Mapping[str, int]
) -> str:
    """Return what a node does with the first axis, or that it draws numbers; empty if neither."""
    kind = str(node.op_type)
    if kind in RANDOM or kind == _DYNAMIC:
        return kind if kind in RANDOM else f"{kind}, one scale for the whole batch: quantise it statically"
    if in_training_mode(node, constants):
        return f"{kind} in training mode"
    if kind in _RECURRENT and not (attributes.get("layout") and attributes["layout"].i):
        return f"{kind} along axis 0"
    if kind == "Transpose" and (perm := attributes.get("perm")) and perm.ints and perm.ints[0] != 0:
        return "Transpose of axis 0"
    axes = _axes(node, attributes, constants)
    rank = ranks.get(node.input[0], 0) if node.input else 0
    if axes is not None and (not axes or any(axis in (0, -rank) for axis in axes)):
        return f"{kind} over axis 0" if axes else f"{kind} over all axes"
    return ""


def in_training_mode(node: Any, constants: Mapping[str, Any]) -> bool:
    """Whether a node does what is for training only."""
    if any(a.name == "training_mode" and a.i for a in node.attribute):
        return True
    mode = constants.get(node.input[2]) if node.op_type == "Dropout" and len(node.input) > 2 else None
    return mode is not None and bool(mode.any())


def _axes(node: Any, attributes: Mapping[str, Any], constants: Mapping[str, Any]) -> list[int] | None:
    """Return the axes that a node works along, none of them for all; None if it has none."""
    kind, second = node.op_type, node.input[1] if len(node.input) > 1 else ""
    given = constants.get(second)
    named = [int(axis) for axis in given.ravel()] if given is not None else None
    if kind == "MeanVarianceNormalization":
        return list(attributes["axes"].ints) if "axes" in attributes else [0, 2, 3]
    if kind.startswith("Reduce"):
        if "axes" in attributes:
            return list(attributes["axes"].ints)
        keeps = "noop_with_empty_axes" in attributes and attributes["noop_with_empty_axes"].i
        return named if second or keeps else []
    if kind == "CumSum":
        return named
    return [int(attributes["axis"].i) if "axis" in attributes else _ALONG[kind]] if kind in _ALONG else None
