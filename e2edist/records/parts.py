"""Parts: the Parquet file of one chunk, which is its own receipt.

One row per candidate, rejected ones too. The footer holds the receipt (chunk, fingerprint, rows,
timings, host, versions) as JSON, so that one rename commits data and proof.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from e2edist.errors import OutputError
from e2edist.storage.publish import publish

from .receipt import Receipt, decode, encode

#: Key of the receipt in the footer.
RECEIPT = "e2edist"
#: Of a Parquet file: the length of its footer, and the word at its end.
_TAIL, _MAGIC = 8, b"PAR1"
_REMAKE = "Remove it: the next submit makes it again."


class UnreadableError(OutputError):
    """A part can't be opened or read now; its content may be right."""


@contextmanager
def parquet_writer(path: Path, schema: pa.Schema, **options: Any) -> Iterator[pq.ParquetWriter]:
    """Give a writer of a Parquet file, under whatever name: pyarrow takes ``run:1`` for an address."""
    with pa.OSFile(str(path), "wb") as sink, pq.ParquetWriter(sink, schema, **options) as writer:
        yield writer


@contextmanager
def parquet_file(path: Path) -> Iterator[pq.ParquetFile]:
    """Give an open Parquet file; raises what pyarrow raises."""
    with pa.OSFile(str(path), "rb") as source, pq.ParquetFile(source) as file:
        yield file


def read_columns(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Return a Parquet file, or some columns of it; raises what pyarrow raises."""
    with parquet_file(path) as file:
        return file.read(columns)


def read_footer(path: Path) -> bytes:
    """Return what stands under `RECEIPT` in a footer.

    Raises
    ------
    OSError, pa.ArrowException, KeyError
        The file can't be read, or holds no such thing.
    """
    with parquet_file(path) as file:
        return _footer(file)


def _footer(file: pq.ParquetFile) -> bytes:
    content: bytes = (file.metadata.metadata or {})[RECEIPT.encode()]
    return content


def checksum(table: pa.Table) -> str:
    """Return the BLAKE2 checksum (hex) of names, values and nulls of a table, row by row order kept.

    It does not depend on how Arrow holds them (chunks, dictionaries, validity buffers), so a table that
    was read back has the checksum that it was written with.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name in table.column_names:
        column = table.column(name).combine_chunks()
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        digest.update(f"{name}:{column.type}:{len(column)}".encode())
        digest.update(np.packbits(column.is_null().to_numpy(zero_copy_only=False)).tobytes())
        digest.update(_bytes(column))
    return digest.hexdigest()


def _bytes(column: Any) -> bytes:
    if pa.types.is_string(column.type):
        rows = pa.ListArray.from_arrays(pa.array([0, len(column)], pa.int32()), column.fill_null(""))
        joined: Any = pc.binary_join(rows, "\0")
        return bytes(joined[0].as_buffer())
    zero = pa.scalar(0).cast(column.type)
    return bytes(column.fill_null(zero).to_numpy(zero_copy_only=False).tobytes())


def write_part(path: Path, table: pa.Table, receipt: Callable[[], Receipt]) -> Receipt:
    """Write a part and its receipt, whole or not at all.

    Parameters
    ----------
    path : Path
        Final name, the same for every attempt.
    table : pyarrow.Table
        The rows.
    receipt : callable
        Called when the rows are written, so that its times hold the writing too.

    Returns
    -------
    Receipt
        With the checksum of the rows, and what is known of the file.

    Raises
    ------
    OutputError
        The folder can't be written, or the disk is full.
    """
    # Page checksums: pyarrow then notices a flipped bit where it is read with verification.
    options: dict[str, Any] = {"compression": "zstd", "write_page_checksum": True}
    # Only words repeat: for numbers, looking for repetitions costs more than it saves.
    options["use_dictionary"] = [f.name for f in table.schema if pa.types.is_dictionary(f.type)]
    with publish(path) as draft:
        with parquet_writer(draft, table.schema, **options) as writer:
            writer.write_table(table)
            final = replace(receipt(), checksum=checksum(table))
            writer.add_key_value_metadata({RECEIPT: encode(final).decode()})
        # Of the draft: another attempt at the same chunk may replace the part at once.
        return with_file(final, draft)


def write_table(path: Path, table: pa.Table) -> None:
    """Write a table whole or not at all; leave a file alone that holds the same.

    Raises
    ------
    OutputError
        The folder can't be written, or the disk is full.
    """
    write_batches(path, table.schema, [table])


def write_batches(path: Path, schema: pa.Schema, batches: Iterable[pa.Table]) -> None:
    """Write a table of which memory holds a batch at a time, a row group each; otherwise as `write_table`."""
    with (
        publish(path, keep_same=True) as draft,
        parquet_writer(draft, schema, compression="zstd") as writer,
    ):
        for batch in batches:
            writer.write_table(batch)


def read_receipt(path: Path) -> Receipt:
    """Return the receipt of a part.

    Raises
    ------
    UnreadableError
        It can't be opened or read now.
    OutputError
        Not a part of a campaign, or damaged.
    """
    with _classified_errors(path):
        return decode(read_footer(path))


def footer_crc(path: Path) -> int:
    """Return the CRC-32 of a part's size and footer: another one where it was cut, extended or changed there.

    Raises
    ------
    UnreadableError
        It can't be opened or read now, or is not there.
    OutputError
        It has no footer.
    """
    with _classified_errors(path), path.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - _TAIL))
        tail = stream.read(_TAIL)
        length = int.from_bytes(tail[:-4], "little")
        if tail[-4:] != _MAGIC or length + _TAIL > size:
            raise ValueError("it has no footer")
        stream.seek(size - _TAIL - length)
        return zlib.crc32(stream.read(length + _TAIL), size & 0xFFFFFFFF)


def with_file(receipt: Receipt, path: Path) -> Receipt:
    """Return the receipt of a part that is there, with the size and the checksum of its file.

    Raises
    ------
    OutputError
        As `footer_crc`.
    """
    crc = footer_crc(path)
    return replace(receipt, size=path.stat().st_size, footer_crc=crc)


@contextmanager
def _classified_errors(path: Path) -> Iterator[None]:
    """Raise an `UnreadableError` of a part that can't be read now, an `OutputError` of one that is damaged.

    Only a damaged one may be removed.
    """
    try:
        yield
    except (OSError, MemoryError, pa.ArrowException, KeyError, ValueError) as error:
        if _is_temporary(error):
            number = getattr(error, "errno", None)
            what = f"can't be read now ({os.strerror(number) if number else error})"
            todo = "See to its disk and its permissions, and try again."
            raise UnreadableError(str(path), what, todo) from error
        what = f"is not a part of a campaign, or is damaged ({error})"
        raise OutputError(str(path), what, _REMAKE) from error


def _is_temporary(error: Exception) -> bool:
    """Return whether an error is of this machine now: those with a number come from the system."""
    if isinstance(error, OSError) and error.errno is not None:
        return True
    if isinstance(error, pa.ArrowNotImplementedError):  # bytes that are wrong may ask for anything, too
        return not pa.Codec.is_available("zstd")
    return isinstance(error, MemoryError)


@dataclass(frozen=True, slots=True)
class PartContent:
    """A part that was read and is as its receipt says; `data_bytes` is its size without the footer."""

    receipt: Receipt
    rows: pa.Table
    data_bytes: int


def read_part(path: Path) -> PartContent:
    """Read a whole part and compare it with its receipt.

    Raises
    ------
    UnreadableError
        It can't be opened or read now, or is not there.
    OutputError
        Not a part, damaged, or not what its receipt says.
    """
    with _classified_errors(path):
        # All bytes first: what fails afterwards is the fault of none but them.
        content = pa.BufferReader(path.read_bytes())
        with pq.ParquetFile(content, page_checksum_verification=True) as file:
            receipt, table = decode(_footer(file)), file.read()
            size = content.size() - file.metadata.serialized_size
    if table.num_rows != receipt.rows:
        raise OutputError(str(path), f"has {table.num_rows} rows, its receipt {receipt.rows}", _REMAKE)
    if checksum(table) != receipt.checksum:
        raise OutputError(str(path), "has other values than its receipt's checksum", _REMAKE)
    return PartContent(receipt, table, size)
