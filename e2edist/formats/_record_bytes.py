"""What records are made of: numbers, byte counts, versions, strings; parts of `_record_kernel`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from e2edist.imaging._numba import Scalar, kernel_part

from . import _record_ops as ops

if TYPE_CHECKING:
    from e2edist.imaging.event_batch import Array

_COUNT_FLAG = 0x40000000


@kernel_part
def number(data: Array, at: Scalar, size: Scalar) -> Scalar:
    """Return a big-endian number without a sign; that its bytes are there is checked by the caller."""
    value, first = np.uint64(0), np.uint64(at)  # without a sign, so that no place is looked at from the end
    for i in range(size):
        value = (value << np.uint64(8)) | np.uint64(data[first + np.uint64(i)])
    return value


@kernel_part
def number_of(data: Array, at: Scalar, size: Scalar) -> Scalar:
    """Return `number`, which takes one instruction where its size is known to the compiler."""
    if size == 4:
        return number(data, at, 4)
    return number(data, at, 8) if size == 8 else number(data, at, size)


@kernel_part
def counted(data: Array, at: Scalar, end: Scalar) -> tuple[Scalar, Scalar]:
    """Return what is wrong with a byte count at `at`, and the end that it gives."""
    if at + 4 > end:
        return ops.PAST_END, at
    word = np.int64(number(data, at, 4))
    if word >> 30 != 1:
        return ops.NO_COUNT, at
    stop = at + 4 + (word - _COUNT_FLAG)
    return (ops.PAST_END if stop > end else ops.OK), stop


@kernel_part
def signed16(data: Array, at: Scalar) -> Scalar:
    value = np.int64(number(data, at, 2))
    return value - 0x10000 if value & 0x8000 else value


@kernel_part
def class_version(
    data: Array, at: Scalar, end: Scalar, place: tuple[Scalar, Scalar], versions: Array
) -> tuple[Scalar, Scalar, Scalar]:
    """Return what is wrong with the version of a class at `at`, the first operation of it, and what follows.

    `place` is the range in `versions`. A class without a number of its own has a checksum instead.
    """
    if at + 2 > end:
        return ops.PAST_END, 0, at
    version, checksum = signed16(data, at), np.int64(0)
    at += 2
    if version <= 0:
        if at + 4 > end:
            return ops.PAST_END, 0, at
        checksum = np.int64(number(data, at, 4))
        at += 4
    for i in range(place[0], place[1]):
        which = np.uint64(i)
        if versions[which, 0] == version if version > 0 else versions[which, 1] == checksum:
            return ops.OK, versions[which, 2], at
    return ops.UNKNOWN_VERSION, place[0], at


@kernel_part
def string(data: Array, at: Scalar, end: Scalar) -> tuple[Scalar, Scalar]:
    """Return what is wrong with a string at `at`, and where it ends."""
    if at + 1 > end:
        return ops.PAST_END, at
    length, head = np.int64(data[at]), 1
    if length == 255:
        if at + 5 > end:
            return ops.PAST_END, at
        length, head = np.int64(number(data, at + 1, 4)), 5
    return (ops.PAST_END if length > end - at - head else ops.OK), at + head + length
