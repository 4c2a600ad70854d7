"""From frozen dataclasses to JSON and back, by the types of their fields."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")


@cache
def _adapter(record_type: Any) -> TypeAdapter[Any]:
    return TypeAdapter(record_type)


def to_json(record: Any, *, without: frozenset[str] = frozenset()) -> bytes:
    """Return a record as JSON in one line, less the fields `without`."""
    record_type: Any = type(record)
    return _adapter(record_type).dump_json(record, exclude=set(without), by_alias=True)


def from_json(record_type: type[T], text: bytes) -> T:
    """Return the record that a JSON text holds; keys that its type does not know are passed over.

    Raises
    ------
    ValueError
        The text is cut or damaged, or lacks a field without default; names the first fault.
    """
    wanted: Any = record_type
    try:
        record: T = _adapter(wanted).validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field_path = ".".join(map(str, first["loc"])) or "text"
        raise ValueError(f"{field_path}: {first['msg']}") from error
    return record
