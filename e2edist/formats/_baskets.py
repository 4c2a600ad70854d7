"""Plain branches straight from their baskets, which costs a tenth of the Python that uproot spends on one.

Only lists of numbers and numbers, in baskets of their own, are read here. Any other branch, and anything
unexpected, is left to uproot, whose errors are the ones that users see.
"""

from __future__ import annotations

import queue
import struct
from bisect import bisect_left, bisect_right
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from ._branch_map import Branch, JaggedColumn
from ._compressed import DamagedBytesError, decompressed, decompressed_into
from ._uproot import uproot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from e2edist.imaging.event_batch import Array

#: TKey: bytes, version, uncompressed bytes of what follows it, date, length of the key, cycle.
_KEY = struct.Struct(">ihiIhh")
#: TBasket, the last of its key but for a flag: version, size of the buffer, of offsets, entries, end of data.
_BASKET = struct.Struct(">Hiiii")
#: What a std::vector begins with: the bytes that follow the first four, a version, the number of its items.
VECTOR = np.dtype([("bytes", ">u4"), ("version", ">u2"), ("size", ">u4")])
BYTE_COUNT_FLAG = 1 << 30
#: Baskets with less between them are fetched as one: a request costs more than so many bytes.
_GAP = 16_384
#: A basket may hold so many bytes without question; beyond, they must be in proportion to those on disk.
_FREE_BYTES = 64 << 20
#: No compressed physics branch comes near this ratio; damaged headers do.
MAX_RATIO = 1000


class Baskets:
    """Where the baskets of a branch are.

    Raises
    ------
    ValueError
        The branch is none that can be read here.
    DamagedBytesError
        Its baskets are not in ascending order.
    """

    def __init__(self, branch: Branch) -> None:
        source = branch.source
        plain = (
            branch.dtype is not None and isinstance(source, uproot.TBranch) and not source.embedded_baskets
        )
        # Of two branches with one name, uproot and ROOT read the first.
        if not plain or source.tree[branch.name] is not source:
            raise ValueError(f"{branch.name} is for uproot to read")
        self.branch, self.dtype = branch, np.dtype(branch.dtype)
        self.edges: list[int] = [int(edge) for edge in source.entry_offsets]
        if self.edges[0] or self.edges != sorted(self.edges):
            raise DamagedBytesError(f"{branch.name}: its baskets are not in ascending order")
        count = len(self.edges) - 1
        self.first: list[int] = source.member("fBasketSeek")[:count].tolist()
        self.bytes: list[int] = source.member("fBasketBytes")[:count].tolist()

    def numbers(self, start: int, stop: int) -> range:
        """Return which baskets hold the entries ``start:stop``, which is not empty."""
        return range(bisect_right(self.edges, start) - 1, bisect_left(self.edges, stop))

    def decode(self, raw: list[Array], start: int, stop: int) -> JaggedColumn:
        """Return the entries ``start:stop`` from the bytes of their baskets, in native byte order."""
        if (room := self._room(raw)) is not None:
            return self._decode_bytes(raw, start, stop, room)
        found = [
            self._basket(
                content, i, max(start - self.edges[i], 0), min(stop, self.edges[i + 1]) - self.edges[i]
            )
            for i, content in zip(self.numbers(start, stop), raw, strict=True)
        ]
        data = np.concatenate([values for values, _ in found], dtype=self.dtype.newbyteorder("="))
        offsets = np.arange(stop - start + 1, dtype=np.int64)
        if not self.branch.scalar:
            np.cumsum(np.concatenate([counts for _, counts in found]), out=offsets[1:])
        return JaggedColumn(offsets, data)

    def _room(self, raw: list[Array]) -> Array | None:
        """Return where lists of bytes have room, a basket behind the other; None for other branches."""
        if self.dtype.itemsize > 1 or self.branch.scalar or self.branch.header_bytes:
            return None
        sizes = [int(_KEY.unpack_from(one.data)[2]) for one in raw]
        if min(sizes) < 0 or sum(sizes) > max(_FREE_BYTES, MAX_RATIO * sum(map(len, raw))):
            return None  # one of them is damaged
        return np.empty(sum(sizes), np.uint8)

    def _decode_bytes(self, raw: list[Array], start: int, stop: int, room: Array) -> JaggedColumn:
        """Return the same for lists of bytes, such as unsplit records: large, and needing no conversion."""
        numbers, end, found = self.numbers(start, stop), 0, []
        for content, i in zip(raw, numbers, strict=True):
            high = min(stop, self.edges[i + 1]) - self.edges[i]
            values, counts = self._basket(content, i, 0, high, room[end:])
            found.append(counts)
            end += len(values)
        offsets = np.concatenate([[0], np.cumsum(np.concatenate(found))])[start - self.edges[numbers[0]] :]
        return JaggedColumn(offsets - offsets[0], room[offsets[0] : end].view(self.dtype))

    def _basket(
        self, raw: Array, number: int, low: int, high: int, room: Array | None = None
    ) -> tuple[Array, Array]:
        """Return values and counts of the entries ``low:high`` of a basket, counted from its first.

        They are in `room`, where that is given.
        """
        size, _, content, _, key, _ = _KEY.unpack_from(raw.data)
        *_, entries, end = _BASKET.unpack_from(raw.data, key - _BASKET.size - 1)
        end -= key
        if content > _FREE_BYTES and content > MAX_RATIO * len(raw):
            raise DamagedBytesError(f"a basket of {len(raw)} bytes would hold {content}")
        if size != len(raw) or entries != self.edges[number + 1] - self.edges[number]:
            raise DamagedBytesError("the header of a basket does not match its branch")
        # Before anything is made of that size.
        offsets = 0 if self.branch.scalar and end == content else 4 * (entries + 2)
        if not 0 <= end <= content:
            raise DamagedBytesError(f"a basket of {content} bytes would end at {end}")
        if content - end in (0, 2 * offsets) and offsets:
            raise ValueError("it has no offsets, or two for each entry, as old versions of ROOT write")
        if content - end != offsets:
            raise DamagedBytesError("the offsets of a basket are not as many as its entries")
        body = _decompressed(raw[key:], content, room)
        if self.branch.scalar:
            if end != entries * self.dtype.itemsize:
                raise DamagedBytesError("a basket has more or fewer numbers than entries")
            return body[:end].view(self.dtype)[low:high], body[:0].view(self.dtype)
        bounds, counts = self._bounds(body, end, key, entries)
        values = body[bounds[low] : bounds[high]]
        if self.branch.header_bytes:
            values = _without_headers(values, np.diff(bounds[low : high + 1]), self.branch.header_bytes)
        return values.view(self.dtype), counts[low:high]

    def _bounds(self, body: Array, end: int, key: int, entries: int) -> tuple[Array, Array]:
        """Return where each entry of a basket begins, and where the last ends, and the counts of numbers."""
        # The number of offsets, the offsets, counted from the key's beginning, and one without a meaning.
        offsets = body[end:].view(">i4")
        bounds = offsets[1:].astype(np.int64) - key
        bounds[-1] = end
        counts, odd = np.divmod(np.diff(bounds) - self.branch.header_bytes, self.dtype.itemsize)
        if offsets[0] != entries + 1 or bounds[0] or odd.any() or counts.min(initial=0) < 0:
            raise DamagedBytesError("the offsets of a basket do not fit its values")
        return bounds, counts


def _decompressed(body: Array, size: int, room: Array | None) -> Array:
    try:
        return decompressed(body, size) if room is None else decompressed_into(room, body, size)
    except (ImportError, DamagedBytesError):
        raise
    except Exception as error:  # the errors of five libraries, which have no common class
        raise ValueError("can't be decompressed") from error


def _without_headers(values: Array, lengths: Array, header: int) -> Array:
    """Return bytes without the `header` bytes that each entry begins with; `lengths` include them."""
    firsts = np.cumsum(lengths) - lengths
    places = firsts[:, None] + np.arange(header)
    if header == VECTOR.itemsize:
        told = values[places].view(VECTOR)[:, 0]
        held = lengths - header
        if (told["bytes"] != (lengths - 4 | BYTE_COUNT_FLAG)).any() or not _in_proportion(told["size"], held):
            raise DamagedBytesError("the vectors of a basket have other lengths than its offsets say")
    kept = np.ones(len(values), np.bool_)
    kept[places.ravel()] = False
    return values[kept]


def _in_proportion(sizes: Array, lengths: Array) -> bool:
    """Return whether all items of some vectors have as many bytes."""
    item = int(lengths.sum()) // max(int(sizes.sum()), 1)
    return bool((sizes * item == lengths).all())


def read_baskets(columns: Sequence[Baskets], start: int, stop: int) -> dict[str, JaggedColumn]:
    """Return branch name -> the entries ``start:stop``, which is not empty, without those left to uproot.

    Raises
    ------
    DamagedBytesError
        A basket contradicts itself or the list of baskets; uproot might take it.
    """
    found: dict[str, JaggedColumn] = {}
    places = {
        (column.first[i], column.first[i] + column.bytes[i])
        for column in columns
        for i in column.numbers(start, stop)
    }
    content = _fetch(columns[0].branch.source.file.source, sorted(places)) if places else {}
    for column in columns:
        raw = [content[column.first[i]] for i in column.numbers(start, stop)]
        # `decode` raises these on unexpected bytes: uproot then reads them, or reports what is wrong.
        name = column.branch.name
        try:
            with suppress(ValueError, IndexError, OverflowError, struct.error):
                found[name] = column.decode(raw, start, stop)
        except DamagedBytesError as error:
            raise DamagedBytesError(f"{name}: {error}") from None
    return found


def has_bytes(directory: Any, source: Any, number: int) -> bool:
    """Return whether the bytes of a basket can be had now.

    On a local disk that answers, a basket that can't be read is as good as a damaged one.
    """
    seek = source.member("fBasketSeek") if isinstance(source, uproot.TBranch) else ()
    if number >= len(seek):  # in the tree's own record, or in the pages of an RNTuple
        return responds(directory)
    first, size = int(seek[number]), int(source.member("fBasketBytes")[number])
    if not 0 < first < first + size <= directory.file.fEND:  # a damaged list of baskets
        return responds(directory)
    local = isinstance(directory.file.source, uproot.source.file.MultithreadedFileSource)
    return _can_fetch(directory, first, size) or (local and responds(directory))


def responds(directory: Any) -> bool:
    """Return whether the beginning of an open file can be read now."""
    return _can_fetch(directory, 0, 4)


def _can_fetch(directory: Any, first: int, size: int) -> bool:
    try:
        return len(directory.file.source.chunk(first, first + size).raw_data) == size
    except Exception:  # of a disk or any network library: it does not
        return False


def _fetch(source: Any, places: list[tuple[int, int]]) -> dict[int, Array]:
    """Return first byte -> bytes of each of `places` (ascending), in as few requests as is good."""
    joined: list[tuple[int, int]] = []
    for first, last in places:
        if joined and first - joined[-1][1] < _GAP:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    blocks = source.chunks(joined, queue.Queue())
    content, number = {}, 0
    for first, last in places:
        while joined[number][1] < last:
            number += 1
        begin = joined[number][0]
        block = blocks[number]
        block.wait()
        content[first] = block.raw_data[first - begin : last - begin]
    return content
