"""Objects as ROOT streams them, made by hand: bytes, what describes them, and branches with them."""

import struct
from pathlib import Path

import numpy as np

from e2edist.formats._branch_map import JaggedColumn
from e2edist.formats._streamer_layout import Classes, ClassInfo, Element

FLAG = 0x40000000
MEMBER_WISE = 0x4000
#: fSeekInfo and fNbytesInfo in the header of a file below 2 GB: where its StreamerInfo is.
_STREAMERS = slice(37, 45)


def numbers(dtype, *values):
    return np.array(values, np.dtype(dtype).newbyteorder(">")).tobytes()


def streamed(version, *parts, checksum=None):
    """Return an object with its header: byte count, version and, for a class without one, a checksum."""
    body = struct.pack(">H", version & 0xFFFF) + (b"" if checksum is None else struct.pack(">I", checksum))
    body += b"".join(parts)
    return struct.pack(">I", FLAG | len(body)) + body


def by_objects(*rows):
    return streamed(9, struct.pack(">I", len(rows)), *rows)


def by_members(count, version, *columns, checksum=None, collection=9):
    head = struct.pack(">h", version) + (b"" if checksum is None else struct.pack(">I", checksum))
    return streamed(collection | MEMBER_WISE, head, struct.pack(">I", count), *columns)


def string(text):
    return bytes([len(text)]) + text if len(text) < 255 else b"\xff" + struct.pack(">I", len(text)) + text


def described(**classes):
    """Return the classes of a file: name -> ClassInfo, or its elements if it has version 1, checksum 1."""
    made = []
    for name, info in classes.items():
        infos = [info] if isinstance(info, ClassInfo) else info
        made += [ClassInfo(name, 1, 1, tuple(infos))] if isinstance(infos[0], Element) else infos
    return Classes(made)


class Source:
    """As much of a TBranch as its records need."""

    def __init__(self, class_name, *, name="Product.", number=-1, kind=0, version=1, parent=None):
        self.name, self.parent, self.file = name, parent, None
        self._members = {
            "fClassName": class_name,
            "fClassVersion": version,
            "fCheckSum": 0,
            "fID": number,
            "fType": kind,
            "fEntryOffsetLen": 1000,
        }

    def member(self, name):
        return self._members[name]


def entries(*records):
    offsets = np.cumsum([0, *map(len, records)])
    return JaggedColumn(offsets, np.frombuffer(b"".join(records), np.uint8))


def without_streamers(source, copy):
    """Copy a file so that it has no StreamerInfo, which leaves its trees readable."""
    content = bytearray(Path(source).read_bytes())
    content[_STREAMERS] = bytes(8)
    Path(copy).write_bytes(content)
    return copy
