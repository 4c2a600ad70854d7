"""Reading many parts at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
#: A future for each of a million parts would take gigabytes.
_SLICE = 1_000


def map_threads(function: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[tuple[T, R]]:
    """Yield each item with what `function` returns of it, in order, called from several threads."""
    rest = iter(items)
    with ThreadPoolExecutor(threads) as pool:
        while some := list(islice(rest, _SLICE)):
            yield from zip(some, pool.map(function, some), strict=True)
