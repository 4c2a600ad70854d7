"""The ledger: which chunks are done, which entries were given up and why.

One JSON object a line, appended as chunks end. The parts decide: a ledger that is lost, cut at any
byte, or older than the parts is completed from their receipts.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from e2edist.errors import OutputError

from .changed_parts import changed_parts, remove_damaged
from .chunk import Chunk, parse_id, range_id, ranges_by_file
from .failure import Failure
from .folder import CampaignFolder
from .intervals import best_cover, gaps, inside
from .parts import read_receipt, with_file
from .receipt import Receipt
from .receipt_file import ReceiptFile
from .result_transfer import import_part


class Listener(Protocol):
    """Is called for each chunk that a ledger records."""

    def done(self, receipt: Receipt) -> None:
        """Take note of a finished chunk."""

    def failed(self, text: str) -> None:
        """Take note of entries that were given up."""


@dataclass(slots=True)
class Ledger:
    """Ended chunks of one plan.

    Attributes
    ----------
    done : ReceiptFile
        Chunk id -> receipt, read from disk when asked for.
    failed : dict of str to Failure
        Chunk id -> what is known, of this run.
    telemetry : Listener, optional
        Is called for all that is recorded.
    fingerprint : str
        Of the plan.
    pending : list of Chunk
        What was neither done nor part of something done when the ledger was opened.
    """

    path: Path
    failed: dict[str, Failure] = field(default_factory=dict)
    pending: list[Chunk] = field(default_factory=list)
    telemetry: Listener | None = None
    fingerprint: str = ""
    done: ReceiptFile = field(init=False)

    def __post_init__(self) -> None:
        self.done = ReceiptFile(self.path)

    def record_done(self, receipt: Receipt) -> None:
        """Note a part, and publish it where its worker could not; a second of the same chunk replaces it."""
        receipt = import_part(receipt, self.path.parent)
        self.failed.pop(receipt.id, None)
        self.done.add(receipt)
        if self.telemetry is not None:
            self.telemetry.done(receipt)

    def find(self, chunk: Chunk) -> Receipt | None:
        """Return the receipt of a part that is there, whether or not its worker could report it."""
        return read_parts(self.path.parent, [chunk.id], self.fingerprint).get(chunk.id)

    def record_failed(self, failure: Failure) -> None:
        """Note entries that were given up."""
        self.failed[failure.id] = failure
        self.done.add_failure(failure)
        if self.telemetry is not None:
            self.telemetry.failed(f"{failure.url} {failure.start}-{failure.stop}: {failure.reason}")

    def restrict(self, counted: list[str], failed: dict[str, Failure]) -> None:
        """Drop done chunks that are not among `counted`, and failures that are not among `failed`."""
        if len(counted) == len(self.done) and failed == self.failed:
            return
        self.failed = failed
        self.done.rewrite(counted, {})
        for failure in failed.values():
            self.done.add_failure(failure)

    @property
    def events_done(self) -> int:
        """Entries of all done chunks."""
        return sum(entries.size for _, entries in map(parse_id, self.done))

    @property
    def events_failed(self) -> int:
        """Entries that were given up."""
        return sum(failure.events for failure in self.failed.values())


def open_ledger(folder: Path, fingerprint: str, chunks: Iterable[Chunk]) -> Ledger:
    """Return the ledger of a folder, in agreement with the parts that are there.

    Entries that were given up in an earlier run are pending again. A part whose receipt is damaged
    or of another plan is not counted, and will be made anew under the same name. A chunk that was
    halved is done where its pieces are: only what they leave open is pending.

    Raises
    ------
    UnreadableError
        A part that is done can't be read now.
    """
    ledger = Ledger(CampaignFolder(folder).ledger, fingerprint=fingerprint)
    sizes = part_sizes(folder)
    clean, others = ledger.done.load(sizes, fingerprint)
    changed = changed_parts(folder, ledger.done)
    others |= {name: ledger.done[name] for name in changed}
    ledger.done.forget(changed)
    found = read_parts(folder, (name for name in sizes if name not in ledger.done), fingerprint)
    for name in remove_damaged(folder, others, found):
        del found[name]
    counted, ledger.pending = choose_parts(ledger.done, found, chunks)
    if not clean or changed or found or len(counted) != len(ledger.done):
        ledger.done.rewrite(counted, found)
    return ledger


def read_receipts(folder: Path, fingerprint: str) -> Iterator[Receipt]:
    """Yield the receipt of each part of a plan that is there, one at a time; changes nothing."""
    known, sizes = ReceiptFile(CampaignFolder(folder).ledger), part_sizes(folder)
    known.load(sizes, fingerprint)
    yield from known.values()
    unknown = (name for name in sizes if name not in known)
    yield from read_parts(folder, unknown, fingerprint).values()


def is_done(folder: Path, fingerprint: str, chunks: Iterable[Chunk]) -> bool:
    """Return whether the parts of all chunks are there, as they were written; changes nothing.

    Raises
    ------
    UnreadableError
        A part can't be read now.
    """
    known = ReceiptFile(CampaignFolder(folder).ledger)
    known.load(part_sizes(folder), fingerprint)
    return not changed_parts(folder, known) and not choose_parts(known, {}, chunks)[1]


def choose_parts(
    known: Collection[str], found: Mapping[str, Receipt], chunks: Iterable[Chunk]
) -> tuple[list[str], list[Chunk]]:
    """Return the names of the parts that count, and what they leave open of the planned chunks.

    Parameters
    ----------
    known, found
        Parts that count already, and others that are there: one of these counts where no known one holds
        its entries.
    """
    by_file = ranges_by_file(name for some in (known, found) for name in some)
    counted: list[str] = []
    pending: list[Chunk] = []
    for chunk in chunks:
        if chunk.id in known or (not chunk.events and chunk.id in found):
            counted.append(chunk.id)
            continue
        key = parse_id(chunk.id)[0]
        ids = {entries: range_id(key, entries) for entries in inside(chunk.range, by_file.get(key, []))}
        chosen = best_cover(ids, {entries for entries, name in ids.items() if name in known})
        counted += [ids[entries] for entries in chosen]
        pending += [chunk.part(*entries) for entries in gaps(chunk.range, chosen)]
        pending += [] if chunk.events else [chunk]
    return counted, pending


def part_sizes(folder: Path) -> dict[str, int]:
    """Return the bytes of each part of a campaign, by its name without ending."""
    ending = ".parquet"
    try:
        with os.scandir(CampaignFolder(folder).predictions) as entries:
            parts = [entry for entry in entries if entry.name.endswith(ending) and entry.name[0] != "."]
    except FileNotFoundError:  # nothing was ever done here
        return {}
    found = {}
    for entry in parts:
        with suppress(FileNotFoundError):  # replaced or removed meanwhile: it alone is not there
            found[entry.name.removesuffix(ending)] = entry.stat().st_size
    return found


def read_parts(folder: Path, some: Iterable[str], fingerprint: str) -> dict[str, Receipt]:
    """Return the receipts in the footers of some parts, of those that are of this plan."""
    found = {}
    for name in some:
        path = CampaignFolder(folder).part(name)
        with suppress(OutputError):
            receipt = with_file(read_receipt(path), path)
            if (receipt.fingerprint, receipt.id) == (fingerprint, name):
                found[name] = receipt
    return found
