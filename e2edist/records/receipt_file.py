"""Receipts in a file: one JSON object a line; memory holds only the position of each.

A campaign of a million chunks has gigabytes of receipts, and nobody needs two of them at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import IO

from e2edist.errors import OutputError
from e2edist.storage.publish import publish

from .failure import Failure
from .ledger_lines import done_line, failed_line, read_line
from .receipt import Receipt


def log_line(receipt: Receipt) -> str:
    """Return the line of a chunk that is done in ``submit.log``: key=value, stages in wall ms."""
    file = quote(receipt.chunk.url.rpartition("/")[2])
    facts = {"chunk": receipt.id, "file": file, "pool": receipt.pool, "host": receipt.host}
    facts |= {"events": str(receipt.events), "rows": str(receipt.rows)}
    facts |= {f"{name}_ms": f"{times[0]:.0f}" for name, times in receipt.stages.items()}
    return " ".join(["done", *(f"{name}={value}" for name, value in facts.items())])


@dataclass(slots=True, eq=False)
class ReceiptFile(Mapping[str, Receipt]):
    """Chunk id -> receipt, read from `path` when asked for.

    For one thread. What is added is with the system at once; it is synced when the file is rewritten.
    """

    path: Path
    #: where its line begins, and the checksum of its part's footer, -1 if it was not written down
    _lines: dict[str, tuple[int, int]] = field(default_factory=dict)
    _reader: IO[bytes] | None = None
    _writer: IO[bytes] | None = None

    def __getitem__(self, name: str) -> Receipt:
        found = read_line(self._read(name))
        if not isinstance(found, Receipt) or found.id != name:
            raise self._changed()
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)

    def __contains__(self, name: object) -> bool:
        return name in self._lines

    def add(self, receipt: Receipt) -> None:
        """Append a receipt; a second one of the same chunk replaces the first."""
        self._lines[receipt.id] = self._append(done_line(receipt)), _crc(receipt)

    def crc(self, name: str) -> int:
        """Return the checksum of a part's footer as it was written; -1 if unknown."""
        return self._lines[name][1]

    def forget(self, some: Iterable[str]) -> None:
        """Forget receipts; they stay in the file until it is rewritten."""
        for name in some:
            del self._lines[name]

    def add_failure(self, failure: Failure) -> None:
        """Append entries that were given up."""
        self._append(failed_line(failure))

    def _append(self, line: bytes) -> int:
        """Append a line; return where it begins.

        Raises
        ------
        OutputError
            The disk is full, or the folder is gone.
        """
        try:
            if self._writer is None:
                self._writer = self.path.open("ab", buffering=0)
            begin = self._writer.tell()
            while line:  # a disk that gets full takes a part of it, and then says so
                line = line[self._writer.write(line) :]
        except OSError as error:
            todo = "Free space or choose another --output; what is done is kept."
            raise OutputError(str(self.path), f"can't be written ({error.strerror})", todo) from error
        return begin

    def _read(self, name: str) -> bytes:
        begin, _ = self._lines[name]
        try:
            if self._reader is None:
                self._reader = self.path.open("rb")
            self._reader.seek(begin)
            return self._reader.readline()
        except OSError as error:
            raise self._changed() from error

    def _changed(self) -> OutputError:
        return OutputError(
            str(self.path), "was changed while it was in use", "Submit again: it is written anew."
        )

    def load(self, sizes: Mapping[str, int], fingerprint: str) -> tuple[bool, dict[str, Receipt]]:
        """Find the receipts of parts that are as large as they were when the line was written.

        Parameters
        ----------
        sizes : mapping of str to int
            Parts that are there, and their bytes.

        Returns
        -------
        bool
            Whether the file holds these receipts, each once, and nothing else.
        dict of str to Receipt
            Those of parts that are there and of another size.
        """
        others: dict[str, Receipt] = {}
        if not self.path.exists():
            return False, others
        begin, clean = 0, True
        with self.path.open("rb") as stream:
            for line in stream:
                found = read_line(line)
                ours = found if isinstance(found, Receipt) and found.fingerprint == fingerprint else None
                good = ours is not None and ours.size is not None and sizes.get(ours.id) == ours.size
                clean = clean and good and ours is not None and ours.id not in self._lines
                if ours is not None and good:
                    self._lines[ours.id] = begin, _crc(ours)
                elif ours is not None and ours.id in sizes:
                    others[ours.id] = ours
                begin += len(line)
        return clean, {name: receipt for name, receipt in others.items() if name not in self._lines}

    def rewrite(self, names: Iterable[str], found: Mapping[str, Receipt]) -> None:
        """Write the file again with the receipts `names`: as `found` in parts, or as they are in it."""
        lines: dict[str, tuple[int, int]] = {}
        with publish(self.path) as draft, draft.open("wb") as stream:
            for name in names:
                new = found.get(name)
                lines[name] = stream.tell(), self.crc(name) if new is None else _crc(new)
                stream.write(self._read(name) if new is None else done_line(new))
        self.close()
        self._lines = lines

    def close(self) -> None:
        """Close the file; it is opened again when needed."""
        for stream in (self._reader, self._writer):
            if stream is not None:
                stream.close()
        self._reader = self._writer = None

    def __del__(self) -> None:
        self.close()


def _crc(receipt: Receipt) -> int:
    return -1 if receipt.footer_crc is None else receipt.footer_crc
