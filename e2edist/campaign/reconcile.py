"""The ledger and the parts at the end of a run: every finished part counts, even if its worker was lost.

A worker publishes its part before the driver knows of it. If the driver stops in between, or had given the
worker up, the part is there all the same. Such parts are added to the ledger first; only then parts are
removed, and of those only the ones whose entries other parts hold.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from e2edist.accounting.progress import Progress
from e2edist.errors import OutputError
from e2edist.records.changed_parts import changed_parts
from e2edist.records.chunk import Chunk, is_chunk_id, parse_id, range_id, ranges_by_file
from e2edist.records.failure import Failure
from e2edist.records.folder import CampaignFolder
from e2edist.records.intervals import gaps
from e2edist.records.ledger import Ledger, choose_parts, part_sizes, read_parts
from e2edist.records.parts import UnreadableError, read_receipt
from e2edist.records.receipt_file import log_line

log = logging.getLogger(__name__)


def reconcile(ledger: Ledger, chunks: Iterable[Chunk], progress: Progress) -> bool:
    """Add valid parts that the ledger does not know to it and to the counts; remove duplicates.

    Call it when no worker writes any more.

    Parameters
    ----------
    chunks : iterable of Chunk
        As planned.

    Returns
    -------
    bool
        Whether parts were added, and every chunk has ended by that.
    """
    ended = _adopt_parts(ledger, chunks, progress)
    remove_duplicates(ledger)
    return ended


def recheck(ledger: Ledger, chunks: Iterable[Chunk], progress: Progress) -> list[Chunk]:
    """Check all parts that count; remove those that are not as they were written; return their chunks.

    Parameters
    ----------
    chunks : iterable of Chunk
        As planned: they know where the files are.

    Raises
    ------
    UnreadableError
        A part can't be read now.
    """
    folder = ledger.path.parent
    changed = changed_parts(folder, ledger.done)
    if not changed:
        return []
    files = {(chunk.uuid, chunk.tree): chunk for chunk in chunks}
    places = [ledger.done[name].chunk for name in changed]
    for name, why in changed.items():
        log.warning("%s.parquet does not count any more: %s", name, why)
        CampaignFolder(folder).part(name).unlink(missing_ok=True)
    ledger.restrict([name for name in ledger.done if name not in changed], ledger.failed)
    progress.count(ledger)
    return [files[place.uuid, place.tree].part(place.start, place.stop) for place in places]


def _adopt_parts(ledger: Ledger, chunks: Iterable[Chunk], progress: Progress) -> bool:
    folder = ledger.path.parent
    found = read_parts(folder, _unknown_parts(ledger), ledger.fingerprint)
    if not found:
        return False
    counted, left = choose_parts(ledger.done, found, chunks)
    adopted = [name for name in counted if name in found]
    for name in adopted:
        receipt = found[name]
        ledger.record_done(receipt)
        progress.add_done(receipt.pool, receipt.events)
        log.info("%s", log_line(receipt))
    if progress.stopping:
        progress.finished_late += len(adopted)
        progress.cut_off = max(0, progress.cut_off - len(adopted))
    ledger.restrict(counted, {failure.id: failure for failure in _still_lost(ledger, adopted)})
    ended = sum(chunk.events for chunk in left) == ledger.events_failed
    ended = ended and all(chunk.events or chunk.id in ledger.failed for chunk in left)
    progress.count(ledger)
    progress.chunks = progress.ended if ended else max(progress.chunks, progress.ended + 1)
    return ended


def _unknown_parts(ledger: Ledger) -> list[str]:
    parts = part_sizes(ledger.path.parent)
    return [name for name in parts if name not in ledger.done and is_chunk_id(name)]


def _still_lost(ledger: Ledger, adopted: list[str]) -> Iterable[Failure]:
    """Yield what was given up and is in none of these parts."""
    by_file = ranges_by_file(adopted)
    for failure in ledger.failed.values():
        key, entries = parse_id(failure.id)
        for start, stop in gaps(entries, by_file.get(key, [])):
            yield replace(failure, id=range_id(key, (start, stop)), start=start, stop=stop)
        if not failure.events and failure.id not in adopted:
            yield failure


def remove_duplicates(ledger: Ledger) -> None:
    """Remove parts whose entries are in other parts: a worker that was given up may have written them late.

    Other files stay: parts of another plan, and damaged ones whose entries no part holds.
    """
    unknown = _unknown_parts(ledger)
    if not unknown:
        return
    by_file, folder = ranges_by_file(ledger.done), CampaignFolder(ledger.path.parent)
    for name in sorted(unknown):
        path = folder.part(name)
        key, entries = parse_id(name)
        duplicate = bool(entries.size) and not any(gaps(entries, by_file.get(key, [])))
        if duplicate and _is_ours(path, ledger.fingerprint):
            log.warning("removed %s: its entries are in other parts", path.name)
            path.unlink(missing_ok=True)
        else:
            log.warning("%s does not count, and stays where it is", path.name)


def _is_ours(path: Path, fingerprint: str) -> bool:
    """Return whether a file is a part of this plan, or what is left of one; not where it can't be opened."""
    try:
        return read_receipt(path).fingerprint == fingerprint
    except UnreadableError:
        return False
    except OutputError:
        return True
