"""Is a campaign's output whole and right? Every part is read and held against its receipt and the plan."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from e2edist.errors import OutputError
from e2edist.storage.parts import verify_part

from .bad import read_bad
from .chunk import PREDICTIONS, Chunk, Receipt
from .plan import Plan

_READERS = 4


@dataclass(slots=True)
class Verdict:
    """What was found.

    Attributes
    ----------
    parts, rows, events : int
        Of good parts that belong to the plan and do not overlap.
    given_up : int
        Events that ``bad.parquet`` lists, and no part covers.
    missing : list of Chunk
        Planned entries that no good part covers, and that were not given up.
    damaged : list of (Path, str)
        Parts that can't be read or differ from their receipts.
    foreign : list of (Path, str)
        Files that are not parts of this plan, or cover entries that another part covers too.
    """

    parts: int = 0
    rows: int = 0
    events: int = 0
    given_up: int = 0
    missing: list[Chunk] = field(default_factory=list)
    damaged: list[tuple[Path, str]] = field(default_factory=list)
    foreign: list[tuple[Path, str]] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether the folder holds each planned entry once, but for those given up, and nothing else."""
        return not (self.missing or self.damaged or self.foreign)


def verify(folder: Path, plan: Plan) -> Verdict:
    """Read all parts of `folder` and compare them with receipts and plan."""
    found = Verdict()
    good: list[tuple[Path, Receipt]] = []
    paths = sorted((folder / PREDICTIONS).glob("*.parquet"))
    with ThreadPoolExecutor(_READERS) as pool:
        for path, result in zip(paths, pool.map(_look, paths), strict=True):
            if isinstance(result, str):
                found.damaged.append((path, result))
            elif result["id"] != path.stem or result["fingerprint"] != plan.fingerprint:
                found.foreign.append((path, "belongs to another plan or chunk"))
            else:
                good.append((path, result))
    _cover(found, plan, good)
    _forgive(found, read_bad(folder))
    return found


def _forgive(found: Verdict, bad: list[dict[str, Any]]) -> None:
    """Take what was given up, and is listed, out of what is missing."""
    ranges: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for row in bad:
        if row["uuid"] is not None:
            ranges.setdefault((row["uuid"], row["tree"]), []).append((row["start"], row["stop"]))
    missing = found.missing
    found.missing = []
    for chunk in missing:
        at = chunk.start
        for start, stop in sorted(ranges.get((chunk.uuid, chunk.tree), [])):
            first, last = max(start, at), min(stop, chunk.stop)
            if first < last:
                found.missing += [chunk.part(at, first)] if at < first else []
                found.given_up += last - first
                at = last
        found.missing += [chunk.part(at, chunk.stop)] if at < chunk.stop or not chunk.events else []


def _look(path: Path) -> Receipt | str:
    try:
        return verify_part(path)
    except OutputError as error:
        return error.what


def _cover(found: Verdict, plan: Plan, good: list[tuple[Path, Receipt]]) -> None:
    """Lay the parts over the planned chunks; note gaps, overlaps and what lies outside."""
    by_file: dict[tuple[str, str], list[tuple[int, int, Path, Receipt]]] = {}
    for path, receipt in good:
        place = receipt["chunk"]
        span = (place["start"], place["stop"], path, receipt)
        by_file.setdefault((place["uuid"], place["tree"]), []).append(span)
    for file in plan.files:
        spans = sorted(by_file.pop((file.uuid, file.tree), []), key=lambda span: span[:2])
        whole = Chunk(file.url, file.format, file.tree, file.uuid, file.size, file.entries, 0, file.entries)
        covered = 0
        for start, stop, path, receipt in spans:
            if start < covered or stop > file.entries:
                found.foreign.append((path, "covers entries that another part covers too"))
                continue
            if start > covered:
                found.missing.append(whole.part(covered, start))
            covered = stop
            found.parts += 1
            found.rows += receipt["rows"]
            found.events += stop - start
        if covered < file.entries or not spans:
            found.missing.append(whole.part(covered, file.entries))
    for spans in by_file.values():
        found.foreign += [(path, "is of a file that was not planned") for _, _, path, _ in spans]
