"""Text that people wrote, whatever editor and system they wrote it with."""

from __future__ import annotations

import codecs
from pathlib import Path

from e2edist.errors import ConfigError

#: Longer marks first: that of UTF-32 begins like one of UTF-16.
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_TODO = "Save it as UTF-8 text."


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file, without a byte order mark, with line ends as they are here.

    Raises
    ------
    ConfigError
        It can't be read or is not such text; the message says where.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        what = "is a folder, not a file" if path.is_dir() else f"can't be read: {error.strerror or error}"
        raise ConfigError(str(path), what) from error
    return decode_text(content, str(path))


def decode_text(content: bytes, where: str) -> str:
    """Return the text of the bytes of a UTF-8 file, as `read_text` does.

    Raises
    ------
    ConfigError
        It is not such text; the message says where.
    """
    for mark, name in _BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            raise ConfigError(where, f"is {name}, not UTF-8", _TODO)
    if (at := content.find(b"\0")) >= 0:
        raise ConfigError(where, f"is not text: zero byte in {_line_number(content, at)}", _TODO)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        what = f"is not UTF-8: byte 0x{content[error.start]:02x} in {_line_number(content, error.start)}"
        raise ConfigError(where, what, _TODO) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _line_number(content: bytes, at: int) -> str:
    line = content.count(b"\n", 0, at) + 1
    return f"line {line}"
