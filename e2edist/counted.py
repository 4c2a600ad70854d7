"""Numbers of things, as people write them."""

from __future__ import annotations


def counted(number: int, noun: str, more: str = "") -> str:
    """Return a number and its noun, in the plural (`more`, else with an s) unless there is one.

    >>> counted(1, "file"), counted(12345, "event"), counted(2, "dataset of its own", "datasets of their own")
    ('1 file', '12,345 events', '2 datasets of their own')
    """
    return f"{number:,} {noun if number == 1 else more or f'{noun}s'}"
