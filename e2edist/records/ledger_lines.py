"""Lines of the ledger: a chunk that is done, with its receipt, or entries that were given up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Generic, TypeVar

from pydantic import Field

from ._codec import from_json, to_json
from .failure import Failure
from .receipt import Receipt, ReceiptCounts, encode

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class _Line(Generic[R]):
    done: R | None = None
    failed: Failure | None = None
    #: Where older versions wrote the size of a part whose receipt came from its footer.
    size: Annotated[int | None, Field(alias="bytes")] = None


def done_line(receipt: Receipt) -> bytes:
    """Return the line of a chunk that is done."""
    return b'{"done":%s}\n' % encode(receipt)


def failed_line(failure: Failure) -> bytes:
    """Return the line of entries that were given up."""
    return b'{"failed":%s}\n' % to_json(failure)


def read_line(text: bytes) -> Receipt | Failure | None:
    """Return what a line says; None if it was cut, or is damaged."""
    line = _read(_Line[Receipt], text)
    if line is None:
        return None
    if line.done is None:
        return line.failed
    return line.done if line.size is None else replace(line.done, size=line.size)


def count_line(text: bytes) -> ReceiptCounts | Failure | None:
    """Return as much of a line as counting takes; None as `read_line`."""
    line = _read(_Line[ReceiptCounts], text)
    return None if line is None else line.done or line.failed


def _read(kind: type[_Line[R]], text: bytes) -> _Line[R] | None:
    if not text.endswith(b"\n"):  # being written, or cut
        return None
    try:
        return from_json(kind, text)
    except ValueError:
        return None
