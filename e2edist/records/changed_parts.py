"""Parts that count and are not as they were written: compared by name, size and footer, which is quick.

``aggregate --verify`` reads the rows as well.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from e2edist.errors import OutputError

from .folder import CampaignFolder
from .parts import UnreadableError, footer_crc, read_receipt
from .receipt import Receipt
from .receipt_file import ReceiptFile
from .thread_map import map_threads

log = logging.getLogger(__name__)

_READERS = 8
#: Its checksum or, where that was not written down, its receipt; or why it can't be read; None if it is gone.
_Footer = int | Receipt | OutputError | None


def changed_parts(folder: Path, done: ReceiptFile) -> dict[str, str]:
    """Return the parts that are gone, or other than their receipts say, and what is wrong with them.

    Raises
    ------
    UnreadableError
        One can't be read now; it may be right.
    """
    parts, changed = CampaignFolder(folder), dict[str, str]()

    def read_footer(name: str) -> _Footer:
        path = parts.part(name)
        try:
            return footer_crc(path) if done.crc(name) >= 0 else read_receipt(path)
        except UnreadableError as error:
            return None if isinstance(error.__cause__, FileNotFoundError) else error
        except OutputError as error:
            return error

    for name, footer in map_threads(read_footer, done, _READERS):
        if isinstance(footer, UnreadableError):
            raise footer
        if why := _why_changed(done, name, footer):
            changed[name] = why
    return changed


def _why_changed(done: ReceiptFile, name: str, footer: _Footer) -> str:
    """Return what is wrong with a part whose footer was looked at; empty if nothing is."""
    if footer is None:
        return "it is gone"
    if isinstance(footer, OutputError):
        return footer.what
    if isinstance(footer, Receipt):  # its ledger is an old one, without checksums
        known = done[name]
        same = (footer.id, footer.fingerprint, footer.checksum) == (name, known.fingerprint, known.checksum)
    else:
        same = footer == done.crc(name)
    return "" if same else "its footer is not as it was written"


def remove_damaged(folder: Path, known: Mapping[str, Receipt], found: Mapping[str, Receipt]) -> list[str]:
    """Remove parts that can be read and differ from what the ledger holds of them; return their names.

    They are made again, and must not count meanwhile. Another attempt at the same chunk may
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
