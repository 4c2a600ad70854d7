"""Nodes of an ONNX graph in the order in which they can run: converters put some behind those in need."""

from __future__ import annotations

from typing import Any


def in_order(model: Any) -> Any:
    """Sort the nodes of a model's graph, stably, so that each comes after those that it needs; return it."""
    nodes = list(model.graph.node)
    maker = {name: i for i, node in enumerate(nodes) for name in node.output if name}
    placed: dict[int, None] = {}
    for first in range(len(nodes)):
        stack = [first]
        while stack:
            at = stack[-1]
            needs = [maker[name] for name in _names(nodes[at]) if maker.get(name, at) != at]
            waiting = [i for i in needs if i not in placed]
            # What waits for itself is no graph; that is for the runtime to say.
            if waiting and len(stack) <= len(nodes):
                stack.append(waiting[0])
            else:
                placed[stack.pop()] = None
    if list(placed) != list(range(len(nodes))):
        sorted_nodes = [nodes[i] for i in placed]
        del model.graph.node[:]
        model.graph.node.extend(sorted_nodes)
    return model


def _names(node: Any) -> list[str]:
    """Return what a node needs, the graphs inside it included."""
    names = list(node.input)
    for attribute in node.attribute:
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            names += [name for inner in graph.node for name in _names(inner)]
    return names
