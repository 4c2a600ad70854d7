"""The fields of a protobuf message, read from its bytes: the package onnx is optional."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Yield number and content of the fields that are messages, strings, bytes or whole numbers.

    Raises
    ------
    ValueError
        The bytes are no protobuf message.
    """
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
            value, at = _varint(message, at)
            yield key >> 3, value
        elif wire in (_FIXED32, _FIXED64):
            at += 4 if wire == _FIXED32 else 8
        else:
            raise ValueError(f"wire type {wire}")


def messages(message: memoryview, number: int) -> Iterator[memoryview]:
    """Yield what the fields of one number hold, where they are messages, strings or bytes."""
    for found, value in fields(message):
        if found == number and not isinstance(value, int):
            yield value


def text(message: memoryview, number: int) -> str:
    """Return the text in a field, empty where there is none."""
    return next((bytes(value).decode() for value in messages(message, number)), "")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Return the number that begins at a place, and the place behind it."""
    number = shift = 0
    while at < len(message) and shift < 64:
        byte = message[at]
        number, at, shift = number | (byte & 0x7F) << shift, at + 1, shift + 7
        if byte < 0x80:
            return number, at
    raise ValueError("a number has no end")
