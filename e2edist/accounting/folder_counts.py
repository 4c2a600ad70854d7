"""How far a campaign is, from plan and ledger, reading little of the receipts: fast at 100,000 chunks."""

from __future__ import annotations

import json
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from e2edist.errors import OutputError
from e2edist.records.chunk import chunk_id, chunk_place, has_place
from e2edist.records.failure import Failure
from e2edist.records.folder import CampaignFolder
from e2edist.records.ledger_lines import count_line

#: Entries of one file, half-open, by the beginning of their ids.
_Ranges = dict[str, list[tuple[int, int]]]


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
    """

    fingerprint: str
    tagger: str
    files: int
    chunks: int
    events: int
    skipped: int
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
        edges = {_head(file): [int(edge) for edge in file["edges"]] for file in content["files"]}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(str(path), f"can't be read ({error})", "Name the folder of a campaign.") from error
    ranges: _Ranges = {}
    done = _done_and_failed(folder, found)
    for name, (rows, events) in done.items():
        head, start, stop = chunk_place(name)
        ranges.setdefault(head, []).append((start, stop))
        found.rows += rows
        found.events_done += events
    found.parts = len(done)
    for item in found.failed:
        ranges.setdefault(chunk_place(item.id)[0], []).append((item.start, item.stop))
    found.ended = sum(_ended(edges[head], pieces) for head, pieces in ranges.items() if head in edges)
    return found


def _planned(content: dict[str, Any]) -> FolderCounts:
    files = content["files"]
    chunks = sum(max(1, len(file["edges"]) - 1) for file in files)
    events = sum(file["entries"] for file in files)
    tagger = str(content["tagger"].get("name", ""))
    return FolderCounts(
        content["fingerprint"], tagger, len(files), chunks, events, skipped=len(content["skipped"])
    )


def _head(file: dict[str, Any]) -> str:
    """Return the beginning that the ids of a file's chunks share."""
    return chunk_id(file["uuid"], file["tree"], 0, 0).removesuffix("-0-0")


def _done_and_failed(folder: Path, found: FolderCounts) -> dict[str, tuple[int, int]]:
    """Return part -> rows, events; failures go into `found`."""
    done: dict[str, tuple[int, int]] = {}
    failed: dict[str, Failure] = {}
    path = CampaignFolder(folder).ledger
    if not path.exists():
        parts = (path.stem for path in CampaignFolder(folder).predictions.glob("*.parquet"))
        return {name: (0, _events(name)) for name in parts if has_place(name)}
    with path.open("rb") as stream:
        for said in map(count_line, stream):
            if said is None or not has_place(said.id):
                continue
            if isinstance(said, Failure):
                failed[said.id] = said
            else:
                done[said.id] = said.rows, said.events
    found.failed = [item for name, item in failed.items() if name not in done]
    return done


def _events(name: str) -> int:
    _, start, stop = chunk_place(name)
    return stop - start


def _ended(edges: list[int], pieces: list[tuple[int, int]]) -> int:
    """Return how many of a file's chunks `pieces` cover."""
    whole = set(pieces)
    if edges and 0 < edges[-1] == sum(stop - start for start, stop in whole):
        return len(edges) - 1
    planned = list(pairwise(edges)) if len(edges) > 1 else [(0, 0)]
    ended = [place in whole for place in planned]
    covered = [0] * len(planned)
    for start, stop in whole:
        at = bisect_right(edges, start) - 1
        if 0 <= at < len(planned):
            covered[at] += stop - start
    return sum(
        done or 0 < stop - start <= sum_
        for done, (start, stop), sum_ in zip(ended, planned, covered, strict=True)
    )
