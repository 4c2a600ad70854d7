"""The ledger: which chunks are done, which entries were given up and why.

One JSON object a line, appended as chunks end. The parts are the truth: a ledger that is lost, cut
at any byte, or older than the parts is made whole from their receipts.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from e2edist.errors import OutputError
from e2edist.pools import Telemetry
from e2edist.storage.parts import read_receipt

from . import names
from .chunk import PREDICTIONS, Chunk, Receipt
from .delivery import bring_home
from .receipts import NEEDED, Receipts

LEDGER = names.LEDGER
#: Attempts that a failure tells of.
_TOLD = 8
_Range = tuple[int, int]


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
    done : Receipts
        Chunk id -> receipt, read from disk when asked for.
    failed : dict of str to Failure
        Chunk id -> what is known, of this run.
    telemetry : Telemetry, optional
        Hears of all that is recorded.
    fingerprint : str
        Of the plan.
    pending : list of Chunk
        What was neither done nor part of something done when the ledger was opened.
    """

    path: Path
    failed: dict[str, Failure] = field(default_factory=dict)
    pending: list[Chunk] = field(default_factory=list)
    telemetry: Telemetry | None = None
    fingerprint: str = ""
    done: Receipts = field(init=False)

    def __post_init__(self) -> None:
        self.done = Receipts(self.path)

    def record_done(self, receipt: Receipt) -> None:
        """Note a part, and publish it where its worker could not; a second of the same chunk replaces it."""
        bring_home(receipt, self.path.parent)
        self.failed.pop(receipt["id"], None)
        self.done.add(receipt)
        if self.telemetry is not None:
            self.telemetry.done(receipt)

    def find(self, chunk: Chunk) -> Receipt | None:
        """Return the receipt of a part that is there, whether or not its worker lived to tell."""
        found = _from_parts(self.path.parent, [chunk.id], self.fingerprint).get(chunk.id)
        if found is None:
            return None
        path = self.path.parent / PREDICTIONS / f"{chunk.id}.parquet"
        return found | {"bytes": path.stat().st_size}

    def record_failed(self, failure: Failure) -> None:
        """Note entries that were given up."""
        self.failed[failure.id] = failure
        self.done.append(failed=asdict(failure))
        if self.telemetry is not None:
            self.telemetry.failed(f"{failure.url} {failure.start}-{failure.stop}: {failure.reason}")

    @property
    def events_done(self) -> int:
        """Entries of all done chunks."""
        return sum(stop - start for _, start, stop in map(names.chunk_place, self.done))

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
    ledger = Ledger(folder / LEDGER, fingerprint=fingerprint)
    sizes = _sizes(folder / PREDICTIONS)
    clean = ledger.done.load(sizes, fingerprint)
    found = _from_parts(folder, (name for name in sizes if name not in ledger.done), fingerprint)
    pieces = _pieces(name for some in (ledger.done, found) for name in some)
    counted: list[str] = []
    for chunk in chunks:
        if chunk.id in ledger.done or chunk.id in found:
            counted.append(chunk.id)
            continue
        head = names.chunk_place(chunk.id)[0]
        tiles = _tiles(chunk, pieces.get(head, []))
        counted += [names.piece_id(head, start, stop) for start, stop in tiles]
        ledger.pending += _gaps(chunk, tiles)
    if not clean or found or len(counted) != len(ledger.done):
        ledger.done.rewrite(counted, found, sizes)
    return ledger


def read_receipts(folder: Path, fingerprint: str) -> Iterator[Receipt]:
    """Yield the receipt of each part of a plan that is there, one at a time; changes nothing."""
    known, sizes = Receipts(folder / LEDGER), _sizes(folder / PREDICTIONS)
    known.load(sizes, fingerprint)
    yield from known.values()
    unknown = (name for name in sizes if name not in known)
    yield from _from_parts(folder, unknown, fingerprint).values()


def _sizes(folder: Path) -> dict[str, int]:
    """Return the bytes of each part, by its name without ending."""
    ending = ".parquet"
    try:
        with os.scandir(folder) as entries:
            parts = (entry for entry in entries if entry.name.endswith(ending) and entry.name[0] != ".")
            return {entry.name.removesuffix(ending): entry.stat().st_size for entry in parts}
    except FileNotFoundError:
        return {}


def _from_parts(folder: Path, unknown: Iterable[str], fingerprint: str) -> dict[str, Receipt]:
    """Return the receipts that only the footers know, of parts of this plan."""
    found = {}
    for name in unknown:
        receipt = _receipt_of(folder / PREDICTIONS / f"{name}.parquet")
        if receipt and receipt["fingerprint"] == fingerprint and receipt["id"] == name:
            found[name] = receipt
    return found


def _receipt_of(path: Path) -> Receipt | None:
    try:
        receipt = read_receipt(path)
    except OutputError:
        return None
    return receipt if receipt.keys() >= NEEDED else None


def _pieces(parts: Iterable[str]) -> dict[str, list[_Range]]:
    """Return the entries that parts hold, in order, by what the ids of a file's chunks begin with."""
    pieces: dict[str, list[_Range]] = {}
    for name in parts:
        head, start, stop = names.chunk_place(name)
        pieces.setdefault(head, []).append((start, stop))
    for ranges in pieces.values():
        ranges.sort()
    return pieces


def _tiles(chunk: Chunk, pieces: list[_Range]) -> list[_Range]:
    """Return the parts inside a chunk that do not overlap, larger ones first where they do.

    Parameters
    ----------
    pieces : list of (int, int)
        Parts of its file, sorted.
    """
    first, last = (bisect_left(pieces, (edge, 0)) for edge in (chunk.start, max(chunk.stop, chunk.start + 1)))
    inside = [piece for piece in pieces[first:last] if piece[1] <= chunk.stop]
    chosen: list[_Range] = []
    for start, stop in sorted(inside, key=lambda piece: (piece[0] - piece[1], piece[0])):
        if all(stop <= a or b <= start for a, b in chosen):
            chosen.append((start, stop))
    return sorted(chosen)


def _gaps(chunk: Chunk, tiles: list[_Range]) -> Iterator[Chunk]:
    """Yield what `tiles` leave of a chunk."""
    if chunk.events == 0:
        yield chunk
    at = chunk.start
    for start, stop in tiles:
        if at < start:
            yield chunk.part(at, start)
        at = stop
    if at < chunk.stop:
        yield chunk.part(at, chunk.stop)


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
