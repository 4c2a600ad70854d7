"""Walking over ONNX graphs, whose nodes may hold graphs themselves (If, Loop, Scan)."""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from typing import Any


def inner_graphs(node: Any) -> Iterator[Any]:
    """Yield the graphs that are attributes of a node."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def toposort(model: Any) -> Any:
    """Put each node of a model's graph behind those that it needs, and return the model.

    Some converters write nodes in another order. A graph that is in order stays as it is, and so does one in
    which nodes wait for each other: the runtime refuses it.
    """
    nodes = list(model.graph.node)
    maker = {name: i for i, node in enumerate(nodes) for name in node.output if name}
    needs = {i: {maker[n] for n in _inputs(node) if n in maker} - {i} for i, node in enumerate(nodes)}
    if all(need < i for i, found in needs.items() for need in found):
        return model
    try:
        order = list(TopologicalSorter(needs).static_order())
    except CycleError:
        return model
    del model.graph.node[:]
    model.graph.node.extend(nodes[i] for i in order)
    return model


def _inputs(node: Any) -> Iterator[str]:
    """Yield the names that a node needs, those of the graphs inside it included."""
    yield from node.input
    for graph in inner_graphs(node):
        for inner in graph.node:
            yield from _inputs(inner)
