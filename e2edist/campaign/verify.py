"""Is a campaign's output whole and right? Every part is read and held against its receipt and the plan."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from e2edist.errors import OutputError
from e2edist.records.chunk import Chunk
from e2edist.storage.parts import read_part

from .bad import read_bad
from .names import PREDICTIONS
from .order import fault, in_order
from .plan import Plan
from .tiling import best_tiles, gaps

_READERS = 4
_SLICE = 1_000
_DOUBLE = "covers entries that another part covers too"
_FOREIGN = "belongs to another plan or chunk"


@dataclass(frozen=True, slots=True)
class Part:
    """A part that was read and is as its receipt says; `data_bytes` is its size without the footer."""

    path: Path
    uuid: str
    tree: str
    start: int
    stop: int
    rows: int
    checksum: str
    data_bytes: int


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
    good_parts : list of Part
        Those that count, in the order of files and entries.
    """

    parts: int = 0
    rows: int = 0
    events: int = 0
    given_up: int = 0
    missing: list[Chunk] = field(default_factory=list)
    damaged: list[tuple[Path, str]] = field(default_factory=list)
    foreign: list[tuple[Path, str]] = field(default_factory=list)
    good_parts: list[Part] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether the folder holds each planned entry once, but for those given up, and nothing else."""
        return not (self.missing or self.damaged or self.foreign)

    def faults(self, most: int) -> list[str]:
        """Return what is wrong, a line each, at most so many of a kind."""
        lines = [f"missing {chunk.url} entries {chunk.start}-{chunk.stop}" for chunk in self.missing[:most]]
        lines += [f"damaged {path}: {why}" for path, why in self.damaged[:most]]
        return lines + [f"foreign {path}: {why}" for path, why in self.foreign[:most]]


def verify(folder: Path, plan: Plan) -> Verdict:
    """Read all parts of `folder` and compare them with receipts and plan."""
    found = Verdict()
    good: list[Part] = []
    paths = sorted((folder / PREDICTIONS).glob("*.parquet"))
    look = partial(_look, plan.fingerprint)
    with ThreadPoolExecutor(_READERS) as pool:
        for some in _slices(paths):
            for path, result in zip(some, pool.map(look, some), strict=True):
                if isinstance(result, Part):
                    good.append(result)
                elif result == _FOREIGN:
                    found.foreign.append((path, result))
                else:
                    found.damaged.append((path, result))
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


def _slices(paths: list[Path]) -> Iterator[list[Path]]:
    """Yield paths some at a time: a future for each of a million would take gigabytes."""
    for start in range(0, len(paths), _SLICE):
        yield paths[start : start + _SLICE]


def _look(fingerprint: str, path: Path) -> Part | str:
    """Return a part, or what is wrong with it; its receipt is dropped: a campaign has gigabytes of them."""
    try:
        content = read_part(path)
    except OutputError as error:
        return error.what
    receipt = content.receipt
    if (receipt.id, receipt.fingerprint) != (path.stem, fingerprint):
        return _FOREIGN
    chunk = receipt.chunk
    why = fault(in_order(content.rows), chunk.uuid, chunk.start, chunk.stop)
    size = len(content.rows), receipt.checksum, content.data_bytes
    return why or Part(path, chunk.uuid, chunk.tree, chunk.start, chunk.stop, *size)


def _cover(found: Verdict, plan: Plan, good: list[Part]) -> None:
    """Lay the parts over the planned chunks; note gaps, overlaps and what lies outside."""
    by_file: dict[tuple[str, str], list[Part]] = {}
    for part in good:
        by_file.setdefault((part.uuid, part.tree), []).append(part)
    for file in plan.files:
        parts = by_file.pop((file.uuid, file.tree), [])
        whole = Chunk(file.url, file.format, file.tree, file.uuid, file.size, file.entries, 0, file.entries)
        inside = {(part.start, part.stop): part for part in parts if part.stop <= file.entries}
        tiles = best_tiles(inside) if file.entries else list(inside)
        chosen = [inside[place] for place in tiles]
        counted = set(tiles)
        found.foreign += [(part.path, _DOUBLE) for part in parts if (part.start, part.stop) not in counted]
        found.good_parts += chosen
        found.rows += sum(part.rows for part in chosen)
        found.events += sum(part.stop - part.start for part in chosen)
        found.missing += [whole.part(*place) for place in gaps(0, file.entries, tiles)]
        found.missing += [] if file.entries or tiles else [whole]
    found.parts = len(found.good_parts)
    for parts in by_file.values():
        found.foreign += [(part.path, "is of a file that was not planned") for part in parts]
