"""Receipts in a file: one JSON object a line, of which memory holds only where each begins.

A campaign of a million chunks has gigabytes of receipts, and nobody needs two of them at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from e2edist.errors import OutputError
from e2edist.storage.publish import publish

from .chunk import Receipt

NEEDED = {"id", "chunk", "fingerprint", "rows", "events", "status", "stages"}


def _line(**content: Any) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"


def _parse(line: bytes) -> tuple[Receipt, int | None] | None:
    """Return receipt and size of its part from a line, None for any other line, or one that was cut."""
    if not line.endswith(b"\n"):
        return None
    try:
        content = json.loads(line)
        receipt = content["done"]
        # Workers put the size into the receipt; what was found in a footer is left as it is there.
        size = receipt.get("bytes", content.get("bytes"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return (receipt, size) if receipt.keys() >= NEEDED else None


def log_line(receipt: Receipt) -> str:
    """Return the line of a chunk that is done in ``submit.log``: key=value, stages in wall ms."""
    facts = {"chunk": receipt["id"], "pool": receipt.get("pool", ""), "host": receipt["host"]}
    facts |= {"events": receipt["events"], "rows": receipt["rows"]}
    facts |= {f"{name}_ms": f"{times[0]:.0f}" for name, times in receipt["stages"].items()}
    return " ".join(["done", *(f"{name}={value}" for name, value in facts.items())])


@dataclass(slots=True, eq=False)
class Receipts(Mapping[str, Receipt]):
    """Chunk id -> receipt, read from `path` when asked for.

    For one thread. What is added is with the system at once; it is synced when the file is made anew.
    """

    path: Path
    _at: dict[str, int] = field(default_factory=dict)
    _reader: IO[bytes] | None = None
    _writer: IO[bytes] | None = None

    def __getitem__(self, name: str) -> Receipt:
        found = _parse(self._read(name))
        if found is None or found[0]["id"] != name:
            raise self._changed()
        return found[0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._at)

    def __len__(self) -> int:
        return len(self._at)

    def __contains__(self, name: object) -> bool:
        return name in self._at

    def add(self, receipt: Receipt) -> None:
        """Append a receipt; a second one of the same chunk replaces the first."""
        self._at[receipt["id"]] = self.append(done=receipt)

    def append(self, **content: Any) -> int:
        """Append a line; return where it begins.

        Raises
        ------
        OutputError
            The disk is full, or the folder is gone.
        """
        line = _line(**content)
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
        begin = self._at[name]
        try:
            if self._reader is None:
                self._reader = self.path.open("rb")
            self._reader.seek(begin)
            return self._reader.readline()
        except OSError as error:
            raise self._changed() from error

    def _changed(self) -> OutputError:
        return OutputError(
            str(self.path), "was changed while it was in use", "Submit again: it is made anew."
        )

    def load(self, sizes: Mapping[str, int], fingerprint: str) -> bool:
        """Find the receipts of parts that are as large as they were when the line was written.

        Parameters
        ----------
        sizes : mapping of str to int
            Parts that are there, and their bytes.

        Returns
        -------
        bool
            Whether the file holds these receipts, each once, and nothing else.
        """
        if not self.path.exists():
            return False
        begin, clean = 0, True
        with self.path.open("rb") as stream:
            for line in stream:
                receipt, size = _parse(line) or ({}, None)
                name = receipt.get("id", "")
                good = size is not None and sizes.get(name) == size and receipt["fingerprint"] == fingerprint
                clean = clean and good and name not in self._at
                if good:
                    self._at[name] = begin
                begin += len(line)
        return clean

    def rewrite(self, names: Iterable[str], found: Mapping[str, Receipt], sizes: Mapping[str, int]) -> None:
        """Make the file anew with the receipts `names`: as `found` in parts, or as they stand here."""
        places: dict[str, int] = {}
        with publish(self.path) as draft, draft.open("wb") as stream:
            for name in names:
                places[name] = stream.tell()
                new = found.get(name)
                stream.write(self._read(name) if new is None else _line(done=new, bytes=sizes[name]))
        self.close()
        self._at = places

    def close(self) -> None:
        """Let go of the file; it is opened again when needed."""
        for stream in (self._reader, self._writer):
            if stream is not None:
                stream.close()
        self._reader = self._writer = None

    def __del__(self) -> None:
        self.close()
