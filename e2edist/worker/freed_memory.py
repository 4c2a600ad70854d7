"""What the C library does with memory that is freed."""

from __future__ import annotations

import ctypes

#: Parameters of mallopt(3): give freed memory back beyond so much; ask the kernel apart for more than that.
_TRIM, _MMAP = -1, -3
#: The largest that glibc takes for the second.
_TRIM_BYTES, _MMAP_BYTES = 1 << 30, 32 << 20


def keep_freed_memory() -> None:
    """Let memory that is freed stay with this process: the next chunk needs as much again.

    Dask's workers give it back after every chunk, and each page of the next one's arrays is then cleared
    by the kernel anew, which takes longer than decompressing into it. The process grows no larger.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's alone
    if mallopt is not None:
        mallopt(_TRIM, _TRIM_BYTES)
        mallopt(_MMAP, _MMAP_BYTES)
