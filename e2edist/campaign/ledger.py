"""The ledger: which chunks are done, which entries were given up and why.

One JSON object a line, appended as chunks end. The parts are the truth: a ledger that is lost, cut
at any byte, or older than the parts is made whole from their receipts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from e2edist.errors import OutputError
from e2edist.storage.parts import read_receipt
from e2edist.storage.publish import publish

from . import names
from .chunk import PREDICTIONS, Chunk, Receipt

LEDGER = names.LEDGER
#: Attempts that a failure tells of.
_TOLD = 8
_NEEDED = {"id", "chunk", "fingerprint", "rows", "events", "status", "stages"}


@dataclass(frozen=True, slots=True)
class Failure:
    """Entries that were given up.

    Attributes
    ----------
    id, url, uuid, tree
        As in `Chunk`.
    start, stop : int
        Entries, half-open.
    reason : str
        The last error.
    attempts : int
        Tries and deaths of workers.
    tried : tuple of str
        What each of them ended with, the last few.
    """

    id: str
    url: str
    uuid: str
    tree: str
    start: int
    stop: int
    reason: str
    attempts: int
    tried: tuple[str, ...] = ()

    @classmethod
    def of(cls, chunk: Chunk, reason: str, attempts: int, tried: Iterable[str]) -> Failure:
        """Return the failure of a chunk."""
        place = (chunk.id, chunk.url, chunk.uuid, chunk.tree, chunk.start, chunk.stop)
        return cls(*place, reason, attempts, tuple(tried)[-_TOLD:])

    @property
    def events(self) -> int:
        """Number of entries."""
        return self.stop - self.start


@dataclass(slots=True)
class Ledger:
    """Ended chunks of one plan.

    Attributes
    ----------
    done : dict of str to dict
        Chunk id -> receipt.
    failed : dict of str to Failure
        Chunk id -> what is known, of this run.
    pending : list of Chunk
        What was neither done nor part of something done when the ledger was opened.
    """

    path: Path
    done: dict[str, Receipt] = field(default_factory=dict)
    failed: dict[str, Failure] = field(default_factory=dict)
    pending: list[Chunk] = field(default_factory=list)

    def record_done(self, receipt: Receipt) -> None:
        """Note a published part; a second receipt of the same chunk replaces the first."""
        self.done[receipt["id"]] = receipt
        self.failed.pop(receipt["id"], None)
        self._append({"done": receipt})

    def record_failed(self, failure: Failure) -> None:
        """Note entries that were given up."""
        self.failed[failure.id] = failure
        self._append({"failed": asdict(failure)})

    def _append(self, line: dict[str, Any]) -> None:
        try:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line, separators=(",", ":")) + "\n")
        except OSError as error:
            todo = "Free space or choose another --output; what is done is kept."
            raise OutputError(str(self.path), f"can't be written ({error.strerror})", todo) from error

    @property
    def events_done(self) -> int:
        """Entries of all done chunks."""
        return sum(receipt["events"] for receipt in self.done.values())

    @property
    def events_failed(self) -> int:
        """Entries that were given up."""
        return sum(failure.events for failure in self.failed.values())


def open_ledger(folder: Path, fingerprint: str, chunks: Iterable[Chunk]) -> Ledger:
    """Return the ledger of a folder, in agreement with the parts that are there.

    Entries that were given up in an earlier run are pending again. A part whose receipt is damaged
    or of another plan is not counted, and will be made anew under the same name. A chunk that was
    halved is done where its pieces are: only what they leave open is pending.
    """
    ledger = Ledger(folder / LEDGER)
    parts = _parts(folder, fingerprint, {r["id"]: r for r in _read(ledger.path, fingerprint)})
    pieces: dict[tuple[str, str], list[Receipt]] = {}
    for receipt in parts.values():
        place = receipt["chunk"]
        pieces.setdefault((place["uuid"], place["tree"]), []).append(receipt)
    for chunk in chunks:
        if chunk.id in parts:
            ledger.done[chunk.id] = parts[chunk.id]
            continue
        inside = _tiles(chunk, pieces.get((chunk.uuid, chunk.tree), []))
        ledger.done.update({receipt["id"]: receipt for receipt in inside})
        ledger.pending += _gaps(chunk, inside)
    _rewrite(ledger)
    return ledger


def _parts(folder: Path, fingerprint: str, known: dict[str, Receipt]) -> dict[str, Receipt]:
    """Return the receipt of each part that is there: from the ledger, or else from its footer."""
    found = {}
    for path in (folder / PREDICTIONS).glob("*.parquet"):
        receipt = known.get(path.stem)
        # The ledger's copy is as good as the footer for a part that was not cut since: no need to open it.
        if receipt is None or receipt.get("bytes") != path.stat().st_size:
            receipt = _receipt_of(path)
        if receipt and receipt["fingerprint"] == fingerprint and receipt["id"] == path.stem:
            found[path.stem] = receipt
    return found


def _receipt_of(path: Path) -> Receipt | None:
    try:
        receipt = read_receipt(path)
    except OutputError:
        return None
    return receipt if receipt.keys() >= _NEEDED else None


def _tiles(chunk: Chunk, receipts: list[Receipt]) -> list[Receipt]:
    """Return the parts inside a chunk that do not overlap, larger ones first where they do."""
    inside = [
        receipt
        for receipt in receipts
        if chunk.start <= receipt["chunk"]["start"] and receipt["chunk"]["stop"] <= chunk.stop
    ]
    chosen: list[Receipt] = []
    for receipt in sorted(inside, key=lambda r: (-r["events"], r["chunk"]["start"])):
        first, last = receipt["chunk"]["start"], receipt["chunk"]["stop"]
        if all(last <= r["chunk"]["start"] or r["chunk"]["stop"] <= first for r in chosen):
            chosen.append(receipt)
    return sorted(chosen, key=lambda r: r["chunk"]["start"])


def _gaps(chunk: Chunk, tiles: list[Receipt]) -> Iterator[Chunk]:
    """Yield what `tiles` leave of a chunk."""
    if chunk.events == 0:
        yield chunk
    start = chunk.start
    for receipt in tiles:
        if start < receipt["chunk"]["start"]:
            yield chunk.part(start, receipt["chunk"]["start"])
        start = receipt["chunk"]["stop"]
    if start < chunk.stop:
        yield chunk.part(start, chunk.stop)


def remove_strangers(folder: Path, ledger: Ledger) -> list[str]:
    """Remove parts that the ledger does not know: a worker that was cut off may have written them late.

    Its rows are in other parts already. A file that is not named as a part is none of ours. Returns the
    names that were removed.
    """
    paths = (folder / PREDICTIONS).glob("*.parquet")
    strangers = [path for path in paths if path.stem not in ledger.done and names.is_chunk_id(path.stem)]
    for path in strangers:
        path.unlink(missing_ok=True)
    return sorted(path.name for path in strangers)


def _read(path: Path, fingerprint: str) -> list[Receipt]:
    """Return the receipts that can be read; a line that was cut is as good as none."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    receipts = map(_receipt_in, lines)
    return [receipt for receipt in receipts if receipt and receipt["fingerprint"] == fingerprint]


def _receipt_in(line: str) -> Receipt | None:
    try:
        receipt = json.loads(line)["done"]
    except (ValueError, KeyError, TypeError):
        return None
    return receipt if isinstance(receipt, dict) and receipt.keys() >= _NEEDED else None


def _rewrite(ledger: Ledger) -> None:
    """Write the ledger anew: without cut lines, and with what only the parts knew."""
    lines = [json.dumps({"done": receipt}, separators=(",", ":")) for receipt in ledger.done.values()]
    wanted = sorted(f"{line}\n".encode() for line in lines)
    # In another order it is as good: chunks end in any.
    if not ledger.path.exists() or sorted(ledger.path.read_bytes().splitlines(keepends=True)) != wanted:
        with publish(ledger.path) as draft:
            draft.write_bytes(b"".join(wanted))
