"""Where an ONNX file keeps tensors in other files, read from its bytes: the package onnx is optional.

An ONNX file is a protobuf message. Only the messages on the way to a tensor are entered, whatever else
is in them is stepped over by its length.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

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
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
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
    for number, value in _fields(message):
        inner = _FIELDS[kind].get(number)
        if inner == "Entry":
            texts = {n: bytes(text).decode() for n, text in _fields(value)}
            entries[texts.get(1, "")] = texts.get(2, "")
        elif inner is not None:
            _walk(value, inner, found)
    if "location" in entries:
        found.append(entries)


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield number and content of the fields of a message that are messages, strings or bytes."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        wire = key & 7
        if wire == _BYTES:
            size, at = _varint(message, at)
            if at + size > len(message):
                raise ValueError("a field is longer than its message")
            yield key >> 3, message[at : at + size]
            at += size
        elif wire == _VARINT:
            _, at = _varint(message, at)
        elif wire in (_FIXED32, _FIXED64):
            at += 4 if wire == _FIXED32 else 8
        else:
            raise ValueError(f"wire type {wire}")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Return the number that begins at a place, and the place behind it."""
    number = shift = 0
    while at < len(message) and shift < 64:
        byte = message[at]
        number, at, shift = number | (byte & 0x7F) << shift, at + 1, shift + 7
        if byte < 0x80:
            return number, at
    raise ValueError("a number has no end")
