"""Which provider runs which node of a model: on a GPU some may be left to the CPU, without a message."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

#: Setting of a session that makes it remember.
RECORD = ("session.record_ep_graph_assignment_info", "1")
_CPU = "CPUExecutionProvider"
#: Kinds of nodes that a receipt names.
_SHOWN = 5


def placement(session: Any) -> dict[str, Counter[str]]:
    """Return provider -> operator -> number of nodes, as the graph was divided; empty if it is not known.

    A node that a provider fused of others counts as those others.
    """
    found: dict[str, Counter[str]] = {}
    try:
        parts = session.get_provider_graph_assignment_info()
    except Exception:  # releases before 1.26 have no such method; the errors of others have no common class
        return {}
    for part in parts:
        kinds = found.setdefault(part.ep_name, Counter())
        kinds.update(node.op_type for node in part.get_nodes())
    return found


def no_nodes_on(placed: Mapping[str, Counter[str]], provider: str) -> str:
    """Return what is wrong if a provider has none of a model's nodes; empty if that is not known."""
    if not placed or placed.get(provider):
        return ""
    total, kinds = _total(placed), Counter[str]()
    for counts in placed.values():
        kinds += counts
    return f"{provider} takes none of its {total} nodes: {_named(kinds)}"


def facts(placed: Mapping[str, Counter[str]], provider: str) -> dict[str, str]:
    """Return how many nodes a provider has, and which the CPU has, for receipts and validation records."""
    if not placed:
        return {"nodes": "not told by this onnxruntime"}
    # What TensorRT leaves goes to CUDA first: only what ends on the CPU costs copies to and fro.
    shares = ", ".join(
        f"{sum(n.values())} on {name}" for name, n in placed.items() if name == provider or name != _CPU
    )
    found = {"nodes": f"{shares}, of {_total(placed)}"}
    on_cpu = placed.get(_CPU) if provider != _CPU else None
    return found | ({"cpu_nodes": _named(on_cpu)} if on_cpu else {})


def _total(placed: Mapping[str, Counter[str]]) -> int:
    return sum(sum(kinds.values()) for kinds in placed.values())


def _named(kinds: Mapping[str, int]) -> str:
    common = Counter(kinds).most_common()
    text = ", ".join(f"{count} {name}" for name, count in common[:_SHOWN])
    return f"{text} and {len(common) - _SHOWN} kinds more" if len(common) > _SHOWN else text
