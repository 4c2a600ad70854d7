"""From frozen dataclasses to JSON and back, by the types of their fields."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def to_json(record: Any, *, without: frozenset[str] = frozenset()) -> bytes:
    """Return a record as JSON in one line, less the fields `without`."""
    kind: Any = type(record)
    return _adapter(kind).dump_json(record, exclude=set(without), by_alias=True)


def from_json(kind: type[T], text: bytes) -> T:
    """Return the record that a JSON text holds; keys that its type does not know are passed over.

    Raises
    ------
    ValueError
        The text is cut or damaged, or lacks a field without default; names the first fault.
    """
    wanted: Any = kind
    try:
        record: T = _adapter(wanted).validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"])) or "text"
        raise ValueError(f"{place}: {first['msg']}") from error
    return record
