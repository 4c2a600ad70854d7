"""Where an ONNX file keeps tensors in other files, read from its bytes: the package onnx is optional.

An ONNX file is a protobuf message. Only the messages on the way to a tensor are entered, whatever else
is in them is stepped over by its length.
"""

from __future__ import annotations

from collections.abc import Mapping

from ._protobuf import fields, text

#: Message -> number of a field -> message in it (onnx.proto); every tensor of a model is reached so.
_FIELDS: Mapping[str, Mapping[int, str]] = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Training": {1: "Graph", 2: "Graph"},
    "Graph": {1: "Node", 5: "Tensor", 15: "Sparse"},
    "Function": {7: "Node", 11: "Attribute"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "Sparse", 23: "Sparse"},
    "Sparse": {1: "Tensor", 2: "Tensor"},
    "Tensor": {13: "Entry"},
}
#: An entry's key "location" as it stands in the file: without it no tensor is in another file.
MARKER = b"\x0a\x08location"


def external_tensors(model: bytes) -> list[dict[str, str]]:
    """Return ``location``, ``offset``, ``length`` ... of each tensor that is kept in another file.

    Raises
    ------
    ValueError
        The bytes are no protobuf message.
    """
    found: list[dict[str, str]] = []
    _walk(memoryview(model), "Model", found)
    return found


def _walk(message: memoryview, kind: str, found: list[dict[str, str]]) -> None:
    entries: dict[str, str] = {}
    for number, value in fields(message):
        inner = _FIELDS[kind].get(number)
        if inner is None or isinstance(value, int):
            continue
        if inner == "Entry":
            entries[text(value, 1)] = text(value, 2)
        else:
            _walk(value, inner, found)
    if "location" in entries:
        found.append(entries)
