"""Are the parts that count still as they were written? By name, size and footer, which is quick.

What the rows hold is looked at by ``aggregate --verify``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from e2edist.errors import OutputError
from e2edist.records.parts import UnreadableError, footer_crc, read_receipt
from e2edist.records.receipt import Receipt

from .folder import CampaignFolder
from .receipt_file import ReceiptFile

log = logging.getLogger(__name__)

_READERS = 8
#: A future for each of a million parts would take gigabytes.
_SLICE = 1_000
_Seen = int | Receipt | OutputError | None


def changed_parts(folder: Path, done: ReceiptFile) -> dict[str, str]:
    """Return the parts that are gone, or other than their receipts say, and what is wrong with them.

    Raises
    ------
    UnreadableError
        One can't be read now, which says nothing of it.
    """
    parts, changed = CampaignFolder(folder), dict[str, str]()

    def look(name: str) -> _Seen:
        path = parts.part(name)
        try:
            return footer_crc(path) if done.crc(name) >= 0 else read_receipt(path)
        except UnreadableError as error:
            return None if isinstance(error.__cause__, FileNotFoundError) else error
        except OutputError as error:
            return error

    with ThreadPoolExecutor(_READERS) as pool:
        for some in _slices(done):
            for name, seen in zip(some, pool.map(look, some), strict=True):
                if isinstance(seen, UnreadableError):
                    raise seen
                if why := _fault(done, name, seen):
                    changed[name] = why
    return changed


def _slices(names: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(names)
    while some := list(islice(rest, _SLICE)):
        yield some


def _fault(done: ReceiptFile, name: str, seen: _Seen) -> str:
    """Return what is wrong with a part whose footer was looked at; empty if nothing is."""
    if seen is None:
        return "it is gone"
    if isinstance(seen, OutputError):
        return seen.what
    if isinstance(seen, Receipt):  # its ledger is an old one, without checksums
        known = done[name]
        same = (seen.id, seen.fingerprint, seen.checksum) == (name, known.fingerprint, known.checksum)
    else:
        same = seen == done.crc(name)
    return "" if same else "its footer is not as it was written"


def remove_damaged(folder: Path, known: Mapping[str, Receipt], found: Mapping[str, Receipt]) -> list[str]:
    """Remove parts that can be read and differ from what the ledger holds of them; return their names.

    They are made again, and must not be taken for good meanwhile. Another attempt at the same chunk may
    have written its part later: then it began at another time, and took another one. That part is good.
    """
    damaged = []
    for name, receipt in known.items():
        if name not in found:
            continue
        new = found[name]
        if new.started == receipt.started or new.stages == receipt.stages:
            log.warning("removed %s.parquet: its footer is not as it was written; it is made again", name)
            CampaignFolder(folder).part(name).unlink(missing_ok=True)
            damaged.append(name)
    return damaged
