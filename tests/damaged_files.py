"""Files as jobs that died leave them, and as bad disks do."""

import struct
from pathlib import Path

_FIRST_KEY = 100
#: Of the record of a directory: version, two dates, bytes of keys and of the name, two places, place of keys.
_DIRECTORY = struct.Struct(">hIIiiiii")


def leave_open(path):
    """Make a file what ROOT leaves of it until it is closed: nothing says where the list of contents is."""
    content = bytearray(Path(path).read_bytes())
    record = _FIRST_KEY + int.from_bytes(content[28:32], "big")
    *others, _ = _DIRECTORY.unpack_from(content, record)
    _DIRECTORY.pack_into(content, record, *others, 0)
    Path(path).write_bytes(content)
    return path


def append(path, count):
    """Add bytes behind what the header says is the end, as a job does after it last saved its tree."""
    with Path(path).open("ab") as stream:
        stream.write(bytes(range(256)) * (count // 256 + 1))
    return path
