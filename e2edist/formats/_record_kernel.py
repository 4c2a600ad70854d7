"""The kernel that runs a program over records, every read checked against what encloses it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from e2edist.imaging._numba import Scalar, kernel, kernel_part

from . import _record_ops as ops
from ._record_bytes import class_version, counted, number, number_of, signed16, string

if TYPE_CHECKING:
    from e2edist.imaging.event_batch import Array

_MEMBER_WISE = 0x4000
#: Collections of older versions have no version of what they hold; ROOT reads them in another way.
_FIRST_WITH_VERSION = 8
_DEPTH = 64
#: Where the reading of a record is: place, its end, next operation, objects and loops around it, rows.
_Here: TypeAlias = tuple[Scalar, Scalar, Scalar, Scalar, Scalar]


@kernel_part
def _take(
    data: Array,
    here: tuple[Scalar, Scalar, Scalar],
    op: tuple[Scalar, Scalar, Scalar],
    out: tuple[Array, Array],
) -> tuple[Scalar, Scalar]:
    """Pass over some bytes or put them into the output; return what is wrong, and the place behind them.

    `here` is the place, the end of what encloses it, and the rows of the collection.
    """
    at, end, rows = here
    if op[0] == ops.COLUMN_VALUE:
        code = ops.PAST_END if op[2] * rows > end - at else _store(data, at, (op[1], op[2], rows), out)
        return code, at + op[2] * rows
    if op[0] == ops.SKIP or op[0] == ops.COLUMN_SKIP:
        size = op[1] * rows if op[0] == ops.COLUMN_SKIP else op[1]
        return ops.PAST_END if size > end - at else ops.OK, at + size
    if op[0] == ops.SKIP_STRING:
        return string(data, at, end)
    if op[0] == ops.SKIP_POINTER and at + 4 <= end and number(data, at, 4) >> np.uint64(30) == 0:
        return ops.OK, at + 4
    return counted(data, at, end)


@kernel_part
def _collection(
    data: Array, at: Scalar, end: Scalar, rule: tuple[Scalar, Scalar, Scalar], versions: Array
) -> tuple[Scalar, Scalar, Scalar, Scalar, Scalar]:
    """Return what is wrong, the first operation for rows by members (-1: by objects), rows, place, end."""
    code, stop = counted(data, at, end)
    if code:
        return code, 0, 0, at, stop
    at += 4
    if at + 2 > stop:
        return ops.PAST_END, 0, 0, at, stop
    version, pc = signed16(data, at), -1
    at += 2
    if version <= 0 or (version & _MEMBER_WISE and version - _MEMBER_WISE < _FIRST_WITH_VERSION):
        return ops.UNKNOWN_VERSION, -1, 0, at, stop
    if version & _MEMBER_WISE:
        code, pc, at = class_version(data, at, stop, (rule[0], rule[1]), versions)
        if code:
            return code, pc, 0, at, stop
    if at + 4 > stop:
        return ops.PAST_END, 0, 0, at, stop
    rows = np.int64(number(data, at, 4))
    at += 4
    return (ops.ABSURD if rows * rule[2] > stop - at else ops.OK), pc, rows, at, stop


@kernel_part
def _store(data: Array, at: Scalar, place: tuple[Scalar, Scalar, Scalar], out: tuple[Array, Array]) -> Scalar:
    """Put `place` = (column, bytes, rows) numbers, which are there, into the output."""
    column, size, rows = place
    values, fill = out
    first = fill[column]
    if first + rows > values.shape[1]:
        return ops.ABSURD
    for i in range(rows):
        values[column, first + i] = number_of(data, at + i * size, size)
    fill[column] = first + rows
    return ops.OK


@kernel_part
def _object(
    data: Array, at: Scalar, end: Scalar, rule: tuple[Scalar, Scalar, Scalar], versions: Array
) -> tuple[Scalar, Scalar, Scalar, Scalar]:
    """Return what is wrong, the first operation for an object, place and end of what is behind its header."""
    place = rule[0], rule[1]
    code, stop = counted(data, at, end)
    if code == ops.NO_COUNT and rule[2]:
        code, found, at = class_version(data, at, end, place, versions)
        stop = at + rule[2]
        return (ops.PAST_END if code == ops.OK and stop > end else code), found, at, stop
    if code:
        return code, -1, at, stop
    code, found, at = class_version(data, at + 4, stop, place, versions)
    return code, found, at, stop


@kernel_part
def _open(
    data: Array, here: _Here, op: tuple[Scalar, Scalar, Scalar, Scalar], versions: Array, stack: Array
) -> tuple[Scalar, Scalar, _Here]:
    """Go into an object or a collection; return what is wrong, the class at fault or -1, and where it is."""
    at, end, pc, deep, rows = here
    if deep + 1 >= len(stack):
        return ops.TOO_DEEP, -1, here
    rule = op[1], op[2], op[3]
    if op[0] == ops.ENTER:
        code, found, at, stop = _object(data, at, end, rule, versions)
    else:
        code, found, rows, at, stop = _collection(data, at, end, rule, versions)
        if code == ops.OK and rows == 0:  # nothing of the rows is written then, no header either
            return (ops.OK if at == stop else ops.NOT_AT_END), -1, (stop, end, pc, deep, rows)
        if code == ops.OK and found == -1:
            found = pc + 1
    if code:
        return code, (found if code == ops.UNKNOWN_VERSION else -1), (at, end, pc, deep, rows)
    above = np.uint64(deep)
    stack[above, 0], stack[above, 1] = end, pc
    return ops.OK, -1, (at, stop, found, deep + 1, rows)


@kernel_part
def _go(here: _Here, op: tuple[Scalar, Scalar], stack: Array) -> _Here:
    """Go on in a loop or elsewhere; return where it is then."""
    at, end, pc, deep, rows = here
    if op[0] == ops.NEXT:
        stack[deep - 1, 0] -= 1
        if stack[deep - 1, 0] > 0:
            return (at, end, op[1], deep, rows)
        return (at, end, pc, deep - 1, rows)
    if op[0] == ops.REPEAT and rows > 0:
        stack[deep, 0] = rows
        return (at, end, pc, deep + 1, rows)
    if op[0] != ops.IF_END or at == end:
        return (at, end, op[1], deep, rows)
    return here


@kernel_part
def _has_room(past_end: bool, full: bool) -> Scalar:
    """Return what is wrong with a number: it is not all there, or there is no place for it."""
    return ops.PAST_END if past_end else (ops.ABSURD if full else ops.OK)


@kernel_part
def _end(place: tuple[Scalar, Scalar], op: tuple[Scalar, Scalar]) -> tuple[Scalar, Scalar, Scalar]:
    """Return how the reading of a record ends: what is wrong, where, and the reason or -1."""
    at, end = place
    if op[0] == ops.REFUSE:
        return ops.REFUSED, at, op[1]
    return (ops.OK if at == end else ops.NOT_AT_END), at, -1


@kernel_part
def _read(
    data: Array,
    part: tuple[Scalar, Scalar],
    program: tuple[Array, Array],
    out: tuple[Array, Array],
    stack: Array,
) -> tuple[Scalar, Scalar, Scalar]:
    """Read the record in `part` of the data; return what is wrong, where, and the class or reason, or -1.

    `stack` keeps for each object that is being read what encloses it: the end, and the place to return to;
    for each loop the repetitions that are left.
    """
    (table, versions), (values, fill) = program, out
    at, end = part
    pc = deep = rows = 0
    while True:
        place, which, code = np.uint64(pc), -1, ops.OK
        op, a, b, c = table[place, 0], table[place, 1], table[place, 2], table[place, 3]
        pc += 1
        if op == ops.VALUE:  # this and LEAVE are most of what is done, so they are done here
            code = _has_room(at + b > end, fill[a] >= values.shape[1])
            if code == ops.OK:
                values[a, fill[a]] = number_of(data, at, b)
                fill[a] += 1
                at += b
        elif op == ops.LEAVE:
            if a and at != end:
                return ops.NOT_AT_END, at, -1
            deep -= 1
            at, end, pc = end, stack[np.uint64(deep), 0], stack[np.uint64(deep), 1]
        elif op <= ops.COLUMN_VALUE:
            code, at = _take(data, (at, end, rows), (op, a, b), out)
        elif op <= ops.COLLECTION:
            code, which, here = _open(data, (at, end, pc, deep, rows), (op, a, b, c), versions, stack)
            at, end, pc, deep, rows = here
        elif op <= ops.IF_END:
            at, end, pc, deep, rows = _go((at, end, pc, deep, rows), (op, a), stack)
        else:
            return _end((at, end), (op, a))
        if code:
            return code, at, which


@kernel
def read_records(
    data: Array, offsets: Array, program: tuple[Array, Array], out: tuple[Array, Array], bad: Array
) -> tuple[int, int, int, int]:
    """Run a program over records; those that are bad have no rows.

    Parameters
    ----------
    data, offsets : uint8; int64, shape (records + 1,)
        All records, and where each begins.
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
    first = (ops.OK, 0, 0, -1)
    stack = np.zeros((_DEPTH, 2), np.int64)
    for record in range(len(offsets) - 1):
        part = offsets[record], offsets[record + 1]
        code, at, which = _read(data, part, program, (values, fill), stack)
        if code:
            bad[record] = True
            if first[0] == ops.OK:
                first = (code, record, at - offsets[record], which)
        for column in range(len(fill)):  # numba takes 3 s to compile whole slices
            if code:
                fill[column] = ends[column, record]
            ends[column, record + 1] = fill[column]
    return first
