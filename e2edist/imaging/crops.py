"""Windows of frames: sparse crops straight from the hits, dense batches from the crops.

``crop[i][j] = image[row - c + i][(col - c + j) mod 360]`` with c = n/2 - 1 for even n and n//2 for
odd n; phi wraps round, eta is padded with zeros (docs/images.md, Crops).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ._numba import kernel
from .event_batch import Array
from .geometry import EB_FIRST_ROW, EB_SHAPE, ECAL_SHAPE, HBHE_SHAPE
from .hits import Hits

#: Frames that crops are cut from: (first stitched row, rows).
FRAMES = {"EB": (EB_FIRST_ROW, EB_SHAPE[0]), "ECAL": (0, ECAL_SHAPE[0])}
_GRID_FIRST_ROW = {EB_SHAPE: EB_FIRST_ROW, ECAL_SHAPE: 0, HBHE_SHAPE: 0}
#: A tower covers 5x5 stitched pixels and gives each a 25th of its energy.
TOWER = 5


@dataclass(frozen=True, slots=True)
class Crops:
    """Sparse crops of several channels.

    Attributes
    ----------
    offsets : int64, shape (objects * channels + 1,)
        Half-open ranges of entries; channel c of object o is number ``o * channels + c``.
    pixel : int32, shape (entries,)
        ``(c * n + i) * n + j``; no pixel occurs twice in an object.
    value : float32, shape (entries,)
        As in the frames: not normalised.
    channels, size : int
        Number of channels, and n of the n x n window.
    """

    offsets: Array
    pixel: Array
    value: Array
    channels: int
    size: int

    @property
    def objects(self) -> int:
        """Number of crops."""
        return (len(self.offsets) - 1) // self.channels


@dataclass(frozen=True, slots=True)
class Normalisation:
    """What the model's training did to each channel.

    ``x -> 0 if |x| < threshold``, then ``x * scale + offset``, in float32 (docs/images.md, Normalisation).

    Attributes
    ----------
    threshold, scale, offset : float32, shape (channels,)
    channels_last : bool
        NHWC instead of NCHW.
    """

    threshold: Array
    scale: Array
    offset: Array
    channels_last: bool = False


@dataclass(frozen=True, slots=True)
class Window:
    """An n x n window in a frame, EB (170x360) or ECAL (280x360 stitched)."""

    frame: str
    size: int

    @property
    def centre(self) -> int:
        """Row and column of the seed inside the crop."""
        return self.size // 2 - 1 if self.size % 2 == 0 else self.size // 2


@kernel
def _cut(
    hits: tuple[Array, Array, Array, Array],
    centres: tuple[Array, Array, Array],
    layout: tuple[int, int, int, int, int, int],
) -> tuple[Array, Array, Array]:
    """Return one channel's entries of all objects: number of each object, pixels, values.

    `layout` is (shift from the hit's row to the frame's row, rows of the frame, n, centre, first flat
    pixel of the channel, block). A block of 5 spreads each hit over 5x5 pixels, a block of 1 does not.
    """
    starts, row, col, value = hits
    event, at_row, at_col = centres
    shift, rows, n, centre, base, block = layout
    number = np.zeros(len(event), np.int64)
    pixel, content = np.empty(64 * len(event), np.int32), np.empty(64 * len(event), np.float32)
    part, count = np.float32(block * block), 0
    for o in range(len(event)):
        top, left, before = at_row[o] - centre, at_col[o] - centre, count
        first_hit, last_hit = starts[event[o]], starts[event[o] + 1]
        most = count + (last_hit - first_hit) * block * block
        if most > len(pixel):
            pixel, content = _grown(pixel, 2 * most), _grown(content, 2 * most)
        for k in range(first_hit, last_hit):
            first = row[k] * block + shift
            # Nothing of this hit can lie in the window: the usual case, decided by one comparison.
            if first - top <= -block or first - top >= n:
                continue
            for i in range(max(first, top, 0), min(first + block, top + n, rows)):
                for c in range(col[k] * block, col[k] * block + block):
                    j = c - left  # modulo 360, without a division
                    if j < 0:
                        j += 360
                    elif j >= 360:
                        j -= 360
                    if j < n:
                        pixel[count] = base + (i - top) * n + j
                        content[count] = value[k] / part
                        count += 1
        number[o] = count - before
    return number, pixel[:count], content[:count]


@kernel
def _grown(values: Array, size: int) -> Array:
    """Return an array of `size` that begins with `values`."""
    out = np.empty(size, values.dtype)
    out[: len(values)] = values
    return out


@kernel
def _copy_channel(
    found: tuple[Array, Array, Array], offsets: Array, layout: tuple[int, int], out: tuple[Array, Array]
) -> None:
    """Copy one channel's entries to their places among those of all; `layout` is (channel, channels)."""
    number, pixel, content = found
    channel, channels = layout
    done = 0
    for o in range(len(number)):
        first = offsets[o * channels + channel]
        for k in range(number[o]):
            out[0][first + k], out[1][first + k] = pixel[done + k], content[done + k]
        done += number[o]


def cut(channels: Sequence[Hits], centres: tuple[Array, Array, Array], window: Window) -> Crops:
    """Cut a window out of each channel round each centre.

    Parameters
    ----------
    channels : sequence of Hits
        In channel order; EB, stitched or HBHE grid. HBHE towers become 5x5 pixels of a 25th each.
    centres : (event int32, row int16, col int16), each shape (objects,)
        Accepted seeds only, rows on the grid of ``window.frame``.
    window : Window

    Returns
    -------
    Crops
    """
    count, n = len(channels), window.size
    found = []
    for c, layer in enumerate(channels):
        if layer.shape not in _GRID_FIRST_ROW:
            raise ValueError(f"a layer on a {layer.shape} grid has no place in a {window.frame} crop")
        first, rows = FRAMES[window.frame]
        block = TOWER if layer.shape == HBHE_SHAPE else 1
        layout = (_GRID_FIRST_ROW[layer.shape] - first, rows, n, window.centre, c * n * n, block)
        found.append(_cut((layer.offsets, layer.row, layer.col, layer.value), centres, layout))
    sizes = np.stack([number for number, _, _ in found], axis=1)
    offsets = np.concatenate([[0], np.cumsum(sizes.ravel())])
    out = (np.empty(offsets[-1], np.int32), np.empty(offsets[-1], np.float32))
    for c, part in enumerate(found):
        _copy_channel(part, offsets, (c, count), out)
    return Crops(offsets, *out, count, n)


def take(crops: Crops, objects: Sequence[int], channels: Sequence[int] | None = None) -> Crops:
    """Return the crops with these numbers, in this order; with `channels`, only these of theirs, in order."""
    order = np.arange(crops.channels) if channels is None else np.asarray(channels)
    planes = (np.asarray(objects, np.int64)[:, None] * crops.channels + order).ravel()
    sizes = np.diff(crops.offsets)[planes]
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    entry = np.arange(offsets[-1]) + np.repeat(crops.offsets[planes] - offsets[:-1], sizes)
    moved = np.tile((np.arange(len(order)) - order) * crops.size**2, len(objects))
    pixel = crops.pixel[entry] + np.repeat(moved, sizes)
    return Crops(offsets, pixel.astype(np.int32), crops.value[entry], len(order), crops.size)


def join(pieces: Sequence[Crops]) -> Crops:
    """Return several lists of crops of one shape as one."""
    offsets = [np.zeros(1, np.int64)]
    for piece in pieces:
        offsets.append(piece.offsets[1:] + offsets[-1][-1])
    pixel = np.concatenate([piece.pixel for piece in pieces])
    value = np.concatenate([piece.value for piece in pieces])
    return Crops(np.concatenate(offsets), pixel, value, pieces[0].channels, pieces[0].size)


@kernel
def _scatter(
    ranges: tuple[Array, Array, Array],
    objects: tuple[int, int],
    rule: tuple[Array, Array, Array],
    layout: tuple[int, int, bool, bool],
    out: Array,
) -> None:
    offsets, pixel, value = ranges
    threshold, scale, offset = rule
    channels, area, last, clear = layout
    for o in range(objects[0], objects[1]):
        base = (o - objects[0]) * channels * area
        for c in range(channels):
            for k in range(offsets[o * channels + c], offsets[o * channels + c + 1]):
                x = value[k]
                if abs(x) < threshold[c]:
                    x = np.float32(0)
                at = pixel[k]
                if last:
                    at = (at - c * area) * channels + c
                out[base + at] = offset[c] if clear else x * scale[c] + offset[c]


def blank(batch: int, crops: Crops, rule: Normalisation) -> Array:
    """Return a dense batch of empty images: every pixel is its channel's offset.

    Returns
    -------
    float32, shape (batch, channels, n, n), or (batch, n, n, channels) for channels_last
    """
    c, n = crops.channels, crops.size
    if rule.channels_last:
        out = np.empty((batch, n, n, c), np.float32)
        out[...] = rule.offset
    else:
        out = np.empty((batch, c, n, n), np.float32)
        out[...] = rule.offset[:, None, None]
    return out


def paint(
    crops: Crops, start: int, stop: int, rule: Normalisation, out: Array, *, clear: bool = False
) -> None:
    """Write the normalised crops start:stop into the images of `out`, which are blank before.

    With `clear` the same pixels become blank again, which is cheaper than filling whole images.
    """
    layout = (crops.channels, crops.size**2, rule.channels_last, clear)
    ranges = (crops.offsets, crops.pixel, crops.value)
    _scatter(ranges, (start, stop), (rule.threshold, rule.scale, rule.offset), layout, out.reshape(-1))


def dense(crops: Crops, rule: Normalisation | None = None) -> Array:
    """Return all crops as one dense array; raw values without a `rule`. For tests and plots.

    Returns
    -------
    float32, shape (objects, channels, n, n), or NHWC if the rule says so
    """
    if rule is None:
        zeros = np.zeros(crops.channels, np.float32)
        rule = Normalisation(zeros, zeros + 1, zeros)
    out = blank(crops.objects, crops, rule)
    paint(crops, 0, crops.objects, rule, out)
    return out


def frame(hits: Hits, event: int) -> Array:
    """Return the dense whole-detector image of one event, float32, shape ``hits.shape``."""
    out = np.zeros(hits.shape, np.float32)
    part = slice(hits.offsets[event], hits.offsets[event + 1])
    out[hits.row[part], hits.col[part]] = hits.value[part]
    return out
