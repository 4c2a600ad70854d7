"""Progress of a campaign, from plan and ledger, reading little of the receipts: fast at 100,000 chunks."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from e2edist.errors import OutputError
from e2edist.records.chunk import file_key, has_entries, parse_id, ranges_by_file
from e2edist.records.failure import Failure
from e2edist.records.folder import CampaignFolder
from e2edist.records.intervals import Range, is_covered, union
from e2edist.records.ledger_lines import count_line


@dataclass(slots=True)
class FolderCounts:
    """Counts of one plan.

    Attributes
    ----------
    files, chunks, events : int
        As planned.
    ended : int
        Planned chunks of which every entry is done or given up.
    parts : int
        Published parts; chunks that were cut in pieces have several.
    events_done, events_failed, rows : int
    failed : list of Failure
        Entries that were given up, as in the ledger.
    skipped : int
        Input files that could not be planned.
    skip_bad_files : bool
        Whether these were skipped on request.
    """

    fingerprint: str
    tagger: str
    files: int
    chunks: int
    events: int
    skipped: int
    skip_bad_files: bool = False
    ended: int = 0
    parts: int = 0
    events_done: int = 0
    rows: int = 0
    failed: list[Failure] = field(default_factory=list)

    @property
    def events_failed(self) -> int:
        """Entries that were given up."""
        return sum(failure.events for failure in self.failed)

    @property
    def complete(self) -> bool:
        """Whether every chunk has ended."""
        return self.ended == self.chunks


def count_folder(folder: Path) -> FolderCounts | None:
    """Return the counts of a campaign's folder, or None if it has no plan.

    Where the ledger is lost, parts are counted by their names; their rows are not known then.

    Raises
    ------
    OutputError
        The plan can't be read.
    """
    path = CampaignFolder(folder).plan
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = _planned(content)
        edges = {
            file_key(file["uuid"], file["tree"]): list(map(int, file["edges"])) for file in content["files"]
        }
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(str(path), f"can't be read ({error})", "Name the folder of a campaign.") from error
    done = _done_and_failed(folder, found)
    found.rows = sum(rows for rows, _ in done.values())
    found.events_done = sum(events for _, events in done.values())
    found.parts = len(done)
    ranges = ranges_by_file((*done, *(failure.id for failure in found.failed)))
    found.ended = sum(_ended(edges[key], some) for key, some in ranges.items() if key in edges)
    return found


def _planned(content: dict[str, Any]) -> FolderCounts:
    files = content["files"]
    chunks = sum(max(1, len(file["edges"]) - 1) for file in files)
    events = sum(file["entries"] for file in files)
    tagger = str(content["tagger"].get("name", ""))
    return FolderCounts(
        content["fingerprint"],
        tagger,
        len(files),
        chunks,
        events,
        skipped=len(content["skipped"]),
        skip_bad_files=content.get("skip_bad_files", False),
    )


def _done_and_failed(folder: Path, found: FolderCounts) -> dict[str, tuple[int, int]]:
    """Return part -> rows, events; failures go into `found`."""
    done: dict[str, tuple[int, int]] = {}
    failed: dict[str, Failure] = {}
    path = CampaignFolder(folder).ledger
    if not path.exists():
        parts = (path.stem for path in CampaignFolder(folder).predictions.glob("*.parquet"))
        return {name: (0, parse_id(name)[1].size) for name in parts if has_entries(name)}
    with path.open("rb") as stream:
        for line in map(count_line, stream):
            if line is None or not has_entries(line.id):
                continue
            if isinstance(line, Failure):
                failed[line.id] = line
            else:
                done[line.id] = line.rows, line.events
    found.failed = [item for name, item in failed.items() if name not in done]
    return done


def _ended(edges: list[int], ranges: list[Range]) -> int:
    """Return how many of a file's chunks `ranges` hold."""
    if len(edges) < 2:  # no entries, one chunk
        return int(Range(0, 0) in ranges)
    joined = union(ranges)
    if joined == [(0, edges[-1])]:
        return len(edges) - 1
    return sum(is_covered(Range(*chunk), joined) for chunk in pairwise(edges))
