"""The kernel that runs a program over records, every read checked against what encloses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from e2edist.imaging._numba import Scalar, kernel, kernel_part

from ._record_program import (
    ABSURD,
    COLLECTION,
    COLUMN_SKIP,
    COLUMN_VALUE,
    ENTER,
    IF_END,
    LEAVE,
    NEXT,
    NO_COUNT,
    NOT_AT_END,
    OK,
    PAST_END,
    REFUSE,
    REFUSED,
    REPEAT,
    SKIP,
    SKIP_POINTER,
    SKIP_STRING,
    TOO_DEEP,
    UNKNOWN_VERSION,
    VALUE,
)

if TYPE_CHECKING:
    from e2edist.imaging.event_batch import Array

_COUNT_FLAG = 0x40000000
_MEMBER_WISE = 0x4000
#: Collections of older versions have no version of what they hold; ROOT reads them in another way.
_FIRST_WITH_VERSION = 8
_DEPTH = 64
# What is being read: place, its end, next operation, objects and loops around it, rows, class at fault.
_AT, _END, _PC, _DEEP, _ROWS, _WHICH = range(6)


@kernel_part
def _number(data: Array, at: Scalar, size: Scalar) -> Scalar:
    """Return a big-endian number without a sign; that its bytes are there is checked by the caller."""
    value, first = np.uint64(0), np.uint64(at)  # without a sign, so that no place is looked at from the end
    for i in range(size):
        value = (value << np.uint64(8)) | np.uint64(data[first + np.uint64(i)])
    return value


@kernel_part
def _number_of(data: Array, at: Scalar, size: Scalar) -> Scalar:
    """Return `_number`, which takes one instruction where its size is known to the compiler."""
    if size == 4:
        return _number(data, at, 4)
    return _number(data, at, 8) if size == 8 else _number(data, at, size)


@kernel_part
def _counted(data: Array, at: Scalar, end: Scalar) -> tuple[Scalar, Scalar]:
    """Return what is wrong with a byte count at `at`, and the end that it gives."""
    if at + 4 > end:
        return PAST_END, at
    word = np.int64(_number(data, at, 4))
    if word >> 30 != 1:
        return NO_COUNT, at
    stop = at + 4 + (word - _COUNT_FLAG)
    return (PAST_END if stop > end else OK), stop


@kernel_part
def _signed16(data: Array, at: Scalar) -> Scalar:
    value = np.int64(_number(data, at, 2))
    return value - 0x10000 if value & 0x8000 else value


@kernel_part
def _version(
    data: Array, at: Scalar, end: Scalar, place: tuple[Scalar, Scalar], versions: Array
) -> tuple[Scalar, Scalar, Scalar]:
    """Return what is wrong with the version of a class at `at`, the first operation of it, and what follows.

    `place` is the range in `versions`. A class without a number of its own has a checksum instead.
    """
    if at + 2 > end:
        return PAST_END, 0, at
    version, checksum = _signed16(data, at), np.int64(0)
    at += 2
    if version <= 0:
        if at + 4 > end:
            return PAST_END, 0, at
        checksum = np.int64(_number(data, at, 4))
        at += 4
    for i in range(place[0], place[1]):
        if versions[i, 0] == version if version > 0 else versions[i, 1] == checksum:
            return OK, versions[i, 2], at
    return UNKNOWN_VERSION, place[0], at


@kernel_part
def _string(data: Array, at: Scalar, end: Scalar) -> tuple[Scalar, Scalar]:
    """Return what is wrong with a string at `at`, and where it ends."""
    if at + 1 > end:
        return PAST_END, at
    length, head = np.int64(data[at]), 1
    if length == 255:
        if at + 5 > end:
            return PAST_END, at
        length, head = np.int64(_number(data, at + 1, 4)), 5
    return (PAST_END if length > end - at - head else OK), at + head + length


@kernel_part
def _take(data: Array, state: Array, op: tuple[Scalar, Scalar, Scalar], out: tuple[Array, Array]) -> Scalar:
    """Pass over some bytes or put them into the output; return what is wrong."""
    at, end = state[_AT], state[_END]
    rows = state[_ROWS] if op[0] in (COLUMN_SKIP, COLUMN_VALUE) else 1
    if op[0] in (SKIP, COLUMN_SKIP):
        code, at = (PAST_END if op[1] * rows > end - at else OK), at + op[1] * rows
    elif op[0] >= VALUE:
        code = PAST_END if op[2] * rows > end - at else _store(data, at, (op[1], op[2], rows), out)
        at += op[2] * rows
    elif op[0] == SKIP_STRING:
        code, at = _string(data, at, end)
    elif op[0] == SKIP_POINTER and at + 4 <= end and _number(data, at, 4) >> np.uint64(30) == 0:
        code, at = OK, at + 4
    else:
        code, at = _counted(data, at, end)
    state[_AT] = at
    return code


@kernel_part
def _collection(
    data: Array, at: Scalar, end: Scalar, rule: tuple[Scalar, Scalar, Scalar], versions: Array
) -> tuple[Scalar, Scalar, Scalar, Scalar, Scalar]:
    """Return what is wrong, the first operation for rows by members (-1: by objects), rows, place, end."""
    code, stop = _counted(data, at, end)
    if code:
        return code, 0, 0, at, stop
    at += 4
    if at + 2 > stop:
        return PAST_END, 0, 0, at, stop
    version, pc = _signed16(data, at), -1
    at += 2
    if version <= 0 or (version & _MEMBER_WISE and version - _MEMBER_WISE < _FIRST_WITH_VERSION):
        return UNKNOWN_VERSION, -1, 0, at, stop
    if version & _MEMBER_WISE:
        code, pc, at = _version(data, at, stop, (rule[0], rule[1]), versions)
        if code:
            return code, pc, 0, at, stop
    if at + 4 > stop:
        return PAST_END, 0, 0, at, stop
    rows = np.int64(_number(data, at, 4))
    at += 4
    return (ABSURD if rows * rule[2] > stop - at else OK), pc, rows, at, stop


@kernel_part
def _store(data: Array, at: Scalar, place: tuple[Scalar, Scalar, Scalar], out: tuple[Array, Array]) -> Scalar:
    """Put `place` = (column, bytes, rows) numbers, which are there, into the output."""
    column, size, rows = place
    values, fill = out
    first = fill[column]
    if first + rows > values.shape[1]:
        return ABSURD
    for i in range(rows):
        values[column, first + i] = _number_of(data, at + i * size, size)
    fill[column] = first + rows
    return OK


@kernel_part
def _open(
    data: Array, state: Array, op: tuple[Scalar, Scalar, Scalar, Scalar], versions: Array, stack: Array
) -> Scalar:
    """Read the header of an object or a collection and go into it; return what is wrong."""
    at, end, pc, deep = state[_AT], state[_END], state[_PC], state[_DEEP]
    found = np.int64(0)
    if deep + 1 >= len(stack):
        return TOO_DEEP
    if op[0] == ENTER:
        code, stop = _counted(data, at, end)
        if code == OK:
            code, found, at = _version(data, at + 4, stop, (op[1], op[2]), versions)
        elif code == NO_COUNT and op[3]:
            code, found, at = _version(data, at, end, (op[1], op[2]), versions)
            stop = at + op[3]
            code = PAST_END if code == OK and stop > end else code
    else:
        code, found, state[_ROWS], at, stop = _collection(data, at, end, (op[1], op[2], op[3]), versions)
        if code == OK and state[_ROWS] == 0:  # nothing of the rows is written then, no header either
            state[_AT] = stop
            return OK if at == stop else NOT_AT_END
        found = pc + 1 if found == -1 and code == OK else found
    state[_AT] = at
    if code:
        state[_WHICH] = found if code == UNKNOWN_VERSION else -1
        return code
    stack[deep, 0], stack[deep, 1] = end, pc
    state[_END], state[_PC], state[_DEEP] = stop, found, deep + 1
    return OK


@kernel_part
def _go(state: Array, op: tuple[Scalar, Scalar], stack: Array) -> Scalar:
    """Leave an object, or go on in a loop or elsewhere; return what is wrong."""
    deep = state[_DEEP] - 1
    if op[0] == LEAVE:
        if op[1] and state[_AT] != state[_END]:
            return NOT_AT_END
        state[_AT], state[_END], state[_PC], state[_DEEP] = state[_END], stack[deep, 0], stack[deep, 1], deep
    elif op[0] == NEXT:
        stack[deep, 0] -= 1
        if stack[deep, 0] > 0:
            state[_PC] = op[1]
        else:
            state[_DEEP] = deep
    elif op[0] == REPEAT and state[_ROWS] > 0:
        stack[deep + 1, 0] = state[_ROWS]
        state[_DEEP] = deep + 2
    elif op[0] != IF_END or state[_AT] == state[_END]:
        state[_PC] = op[1]
    return OK


@kernel_part
def _read(
    data: Array, state: Array, program: tuple[Array, Array], out: tuple[Array, Array], stack: Array
) -> Scalar:
    """Read one record and return what is wrong with it.

    `stack` keeps for each object that is being read what encloses it: the end, and the place to return to;
    for each loop the repetitions that are left.
    """
    ops, versions = program
    while True:
        pc = state[_PC]
        op, a, b, c = ops[pc, 0], ops[pc, 1], ops[pc, 2], ops[pc, 3]
        state[_PC] = pc + 1
        if op <= COLUMN_VALUE:
            code = _take(data, state, (op, a, b), out)
        elif op <= COLLECTION:
            code = _open(data, state, (op, a, b, c), versions, stack)
        elif op <= IF_END:
            code = _go(state, (op, a), stack)
        elif op == REFUSE:
            state[_WHICH] = a
            return REFUSED
        else:
            return OK if state[_AT] == state[_END] else NOT_AT_END
        if code:
            return code


@kernel
def read_records(
    data: Array, offsets: Array, program: tuple[Array, Array], out: tuple[Array, Array], bad: Array
) -> tuple[int, int, int, int]:
    """Run a program over records; those that are bad have no rows.

    Parameters
    ----------
    data : uint8
        All records.
    offsets : int64, shape (records + 1,)
        Where each begins.
    program : tuple of array
        Operations and versions, as `Program.arrays` gives them.
    out : tuple of array
        uint64, shape (columns, rows), takes the numbers as they are on disk, without their signs;
        int64, shape (columns, records + 1), takes where the rows of each record end.
    bad : bool, shape (records,)
        Takes which records are bad.

    Returns
    -------
    tuple of int
        Of the first record that is bad (`OK`: none): what is wrong, its number, the byte of it, and the class
        in `versions`, or the reason, or -1.
    """
    values, ends = out
    fill = np.zeros(len(values), np.int64)
    first = (OK, 0, 0, -1)
    stack = np.zeros((_DEPTH, 2), np.int64)
    state = np.zeros(6, np.int64)
    for record in range(len(offsets) - 1):
        state[:] = 0
        state[_AT], state[_END], state[_WHICH] = offsets[record], offsets[record + 1], -1
        code = _read(data, state, program, (values, fill), stack)
        if code:
            bad[record] = True
            if first[0] == OK:
                first = (code, record, state[_AT] - offsets[record], state[_WHICH])
        for column in range(len(fill)):  # numba takes 3 s to compile whole slices
            if code:
                fill[column] = ends[column, record]
            ends[column, record + 1] = fill[column]
    return first
