"""How the kernels of this room are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeAlias, TypeVar, cast

from numba import njit

P = ParamSpec("P")
R = TypeVar("R")
#: A number inside a kernel: a machine integer or float, whose numpy type the type checker can't follow.
Scalar: TypeAlias = Any


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` at its first call, kept on disk, run without the GIL.

    Floating-point order is kept (no fastmath): images are equal bit for bit on every host.
    """
    compiled = njit(cache=True, nogil=True, error_model="numpy")(function)
    return cast("Callable[P, R]", compiled)
