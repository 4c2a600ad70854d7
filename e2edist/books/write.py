"""All the books of one or more campaigns in a folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2edist.campaign.bad import read_bad, write_bad
from e2edist.campaign.summary import Summary, summarise, write_timing
from e2edist.storage.publish import publish

from .compact import compact
from .union import Campaign, Receipts

SUMMARY = "summary.json"


@dataclass(frozen=True, slots=True)
class Books:
    """What was written, and what it comes to."""

    folder: Path
    files: list[Path]
    total: Summary
    events: int
    lost: int


def write_books(campaigns: Sequence[Campaign], folder: Path, file_mib: float) -> Books:
    """Write table, ``timing.parquet``, ``bad.parquet`` and ``summary.json`` below `folder`.

    Raises
    ------
    OutputError
        Two rows have one key, or the folder can't be written.
    """
    files = compact(campaigns, folder, file_mib)
    receipts = Receipts(campaigns)
    total = summarise(receipts.values())
    write_timing(folder, receipts)
    write_bad(folder, [row for one in campaigns for row in read_bad(one.folder)])
    events, lost = sum(one.events for one in campaigns), sum(one.lost for one in campaigns)
    books = Books(folder, files, total, events, lost)
    with publish(folder / SUMMARY, keep_same=True) as draft:
        draft.write_text(json.dumps(_content(campaigns, books), indent=1), encoding="utf-8")
    return books


def _content(campaigns: Sequence[Campaign], books: Books) -> dict[str, Any]:
    return {
        "events": {"planned": books.events, "done": books.total.events, "lost": books.lost},
        **books.total.facts(),
        "tagger": campaigns[0].plan.tagger,
        "campaigns": [
            {
                "folder": str(one.folder.absolute()),
                "fingerprint": one.plan.fingerprint,
                "files": len(one.plan.files),
                "events": one.plan.events,
                "parts": one.verdict.parts,
                "skipped": list(one.plan.skipped),
                "validation": one.plan.validation,
            }
            for one in campaigns
        ],
    }
