"""Bytes as they are on disk to what they hold: lengths must add up exactly, and checksums be right.

uproot reads as many blocks as it likes, and leaves undefined what they do not fill.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash

from ._uproot import uproot

if TYPE_CHECKING:
    from e2edist.imaging.event_batch import Array

#: Typed as Any, as uproot is, which decompresses with it.
cramjam: Any = import_module("cramjam")
#: First letters of a block -> what writes it where it is wanted.
_INTO = {b"ZS": cramjam.zstd, b"XZ": cramjam.xz}
#: Of a block: two letters, a version, and two lengths of three bytes, compressed and not.
_BLOCK = 9
#: What pages and envelopes of RNTuples end with: XXH3, 64 bits, little-endian.
CHECKSUM = 8


class DamagedBytesError(Exception):
    """Bytes that contradict themselves, which uproot may take."""


def decompressed(body: Array, size: int) -> Array:
    """Return what some bytes on disk hold, which takes `size` bytes.

    Raises
    ------
    DamagedBytesError
        Blocks are longer or shorter than what they are part of.
    Exception
        Of uproot or one of four libraries: they can't be decompressed, or a checksum of theirs is wrong.
    """
    if len(body) == size:
        return body
    _check_blocks(body, size)
    chunk = uproot.source.chunk.Chunk.wrap(None, body)
    whole = uproot.compression.decompress(chunk, uproot.source.cursor.Cursor(0), {}, len(body), size)
    return np.frombuffer(whole.raw_data, np.uint8)


def decompressed_into(room: Array, body: Array, size: int) -> Array:
    """Return the same as `decompressed`, as the first bytes of `room`, which has as many at least.

    A block of ZSTD or LZMA is written there without a copy.
    """
    filled = room[:size]
    one = len(body) == _BLOCK + int.from_bytes(body[3:6].tobytes(), "little")
    codec = _INTO.get(body[:2].tobytes())
    if len(body) == size or not one or codec is None:
        filled[:] = decompressed(body, size)
        return filled
    _check_blocks(body, size)
    if codec.decompress_into(body[_BLOCK:].data, filled) != size:
        raise DamagedBytesError(f"a block does not hold {size} bytes")
    return filled


def _check_blocks(body: Array, size: int) -> None:
    """Compare the lengths in the headers of all blocks with what there is."""
    at = filled = 0
    while at < len(body):
        head = body[at : at + _BLOCK].tobytes().ljust(_BLOCK, b"\0")
        at += _BLOCK + int.from_bytes(head[3:6], "little")
        filled += int.from_bytes(head[6:9], "little")
    if at != len(body) or filled != size:
        what = f"its blocks take {at} bytes and hold {filled}, wanted are {len(body)} and {size}"
        raise DamagedBytesError(what)


def without_checksum(content: Array) -> Array:
    """Return bytes without the checksum that they end with, having compared it.

    Raises
    ------
    DamagedBytesError
        It is another, or there is none.
    """
    rest, told = content[:-CHECKSUM], content[-CHECKSUM:].tobytes()
    if xxhash.xxh3_64_intdigest(rest.data) != int.from_bytes(told, "little"):
        raise DamagedBytesError("a checksum is wrong")
    return rest
