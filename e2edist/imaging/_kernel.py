"""How the kernels of this room are compiled."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ParamSpec, TypeAlias, TypeVar, cast

from numba import njit

P = ParamSpec("P")
R = TypeVar("R")
#: A number inside a kernel: a machine integer or float, whose numpy type the type checker can't follow.
Scalar: TypeAlias = Any


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` at its first call, kept on disk where there is a place for it, run without the GIL.

    Floating-point order is kept (no fastmath): images are equal bit for bit on every host.
    """
    compile_ = partial(njit, nogil=True, error_model="numpy")
    try:
        compiled = compile_(cache=True)(function)
    except RuntimeError:  # numba finds no folder to write to, as in a read-only image without a home
        compiled = compile_(cache=False)(function)
    return cast("Callable[P, R]", compiled)
