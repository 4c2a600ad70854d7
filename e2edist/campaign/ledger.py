"""The ledger: which chunks are done, which failed and why.

One JSON object a line, appended as chunks end. The parts are the truth: a ledger that is lost, cut
at any byte, or older than the parts is made whole from their receipts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from e2edist.errors import OutputError
from e2edist.storage.parts import read_receipt

from .chunk import PREDICTIONS, Chunk, Receipt

LEDGER = "ledger.jsonl"


@dataclass(slots=True)
class Ledger:
    """Ended chunks of one plan.

    Attributes
    ----------
    done : dict of str to dict
        Chunk id -> receipt.
    failed : dict of str to str
        Chunk id -> reason; a later success removes it.
    """

    path: Path
    done: dict[str, Receipt] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def record_done(self, receipt: Receipt) -> None:
        """Note a published part; a second receipt of the same chunk replaces the first."""
        self.done[receipt["id"]] = receipt
        self.failed.pop(receipt["id"], None)
        self._append({"done": receipt})

    def record_failed(self, chunk: Chunk, reason: str, attempts: int) -> None:
        """Note that a chunk was given up."""
        self.failed[chunk.id] = reason
        self._append({"failed": chunk.id, "url": chunk.url, "reason": reason, "attempts": attempts})

    def _append(self, line: dict[str, Any]) -> None:
        try:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line, separators=(",", ":")) + "\n")
        except OSError as error:
            todo = "Free space or choose another --output; what is done is kept."
            raise OutputError(str(self.path), f"can't be written ({error.strerror})", todo) from error


def open_ledger(folder: Path, fingerprint: str, chunks: Iterable[Chunk]) -> Ledger:
    """Return the ledger of a folder, in agreement with the parts that are there.

    Chunks that failed in an earlier run are pending again. A part whose receipt is damaged or of
    another plan is not counted, and will be made anew under the same name.
    """
    ledger = Ledger(folder / LEDGER)
    planned = {chunk.id for chunk in chunks}
    known = {receipt["id"]: receipt for receipt in _read(ledger.path)}
    here = {path.stem: path for path in (folder / PREDICTIONS).glob("*.parquet")}
    missed = []
    for name in sorted(planned & here.keys()):
        receipt = known.get(name)
        if receipt is None or receipt["fingerprint"] != fingerprint:
            receipt = _receipt_of(here[name], fingerprint)
            missed += [receipt] if receipt else []
        if receipt:
            ledger.done[name] = receipt
    _end_line(ledger.path)
    for receipt in missed:
        ledger.record_done(receipt)
    return ledger


def _receipt_of(path: Path, fingerprint: str) -> Receipt | None:
    try:
        receipt = read_receipt(path)
    except OutputError:
        return None
    return receipt if receipt["fingerprint"] == fingerprint else None


def _read(path: Path) -> list[Receipt]:
    """Return the receipts that can be read; a line that was cut is as good as none."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    return [receipt for receipt in map(_receipt_in, lines) if receipt]


def _receipt_in(line: str) -> Receipt | None:
    try:
        receipt = json.loads(line)["done"]
    except (ValueError, KeyError, TypeError):
        return None
    complete = isinstance(receipt, dict) and {"id", "fingerprint", "rows", "stages"} <= receipt.keys()
    return receipt if complete else None


def _end_line(path: Path) -> None:
    """End a last line that was cut, so that the next one does not continue it."""
    if path.exists() and not path.read_bytes().endswith(b"\n") and path.stat().st_size:
        with path.open("a", encoding="utf-8") as stream:
            stream.write("\n")
