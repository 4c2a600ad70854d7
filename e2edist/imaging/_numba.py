"""How the kernels of this package are compiled."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pickle import UnpicklingError
from typing import Any, ParamSpec, TypeAlias, TypeVar, cast

from numba import config, njit
from numba.core.caching import FunctionCache
from numba.core.options import DefaultOptions

from e2edist.process import writable_cache

P = ParamSpec("P")
R = TypeVar("R")
#: A number inside a kernel: a machine integer or float, whose numpy type the type checker can't follow.
Scalar: TypeAlias = Any


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` at its first call, kept on disk where there is a place for it, run without the GIL.

    Floating-point order is kept (no fastmath): images are equal bit for bit on every host.
    """
    compiled: Any = njit(nogil=True, error_model="numpy")(function)
    with suppress(RuntimeError):  # no folder at all can be written: each process compiles for itself
        compiled._cache = _Cache(_open_cache(function))
    return cast("Callable[P, R]", compiled)


def kernel_part(function: Callable[P, R]) -> Callable[P, R]:
    """Compile what kernels call as a part of them; it must make no arrays.

    numba would count the references to each array at each call, which takes longer than what small functions
    do themselves.
    """
    options: dict[str, Any] = {"_nrt": False} if hasattr(DefaultOptions, "_nrt") else {}
    compiled: Any = njit(nogil=True, error_model="numpy", forceinline=True, **options)(function)
    return cast("Callable[P, R]", compiled)


class _Cache:
    """Compiled code on disk, where that works: the disk may be full, or a file in it unreadable."""

    def __init__(self, cache: Any) -> None:
        self._cache = cache

    def load_overload(self, *arguments: Any) -> Any:
        """Return compiled code, None where it has to be compiled."""
        with suppress(Exception):  # half a file raises whatever unpickling and linking raise
            return self._cache.load_overload(*arguments)
        return None

    def save_overload(self, *arguments: Any) -> None:
        """Keep compiled code if that can be done."""
        with suppress(OSError, EOFError, UnpicklingError):  # it reads an index before it writes
            self._cache.save_overload(*arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)


def _open_cache(function: Any) -> Any:
    """Return numba's cache: beside the source, in the user's own folder, or in one that is made for it.

    Raises
    ------
    RuntimeError
        None of them can be written.
    """
    make: Any = FunctionCache
    try:
        return make(function)
    except RuntimeError:  # as in a read-only image without a home
        folder = writable_cache("numba")
        if folder is None:
            raise
        settings: Any = config
        settings.CACHE_DIR = str(folder)
        return make(function)
