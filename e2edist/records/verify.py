"""Whether a campaign's output is whole and right: every part is read and compared with receipt and plan."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from e2edist.counted import counted
from e2edist.errors import OutputError

from .chunk import Chunk, file_key, is_chunk_id, ranges_by_file
from .folder import CampaignFolder
from .intervals import Range, best_cover, gaps
from .losses import read_losses
from .parts import UnreadableError, read_part
from .plan import Plan
from .row_keys import in_order, key_fault
from .thread_map import map_threads

_READERS = 4
_DOUBLE = "covers entries that another part covers too"


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
class Verification:
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
        Parts whose content is wrong, or not what their receipts say.
    unreadable : list of (Path, str)
        Parts that can't be opened or read now: their content may be right, and the entries in their names
        are not missing.
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
    unreadable: list[tuple[Path, str]] = field(default_factory=list)
    foreign: list[tuple[Path, str]] = field(default_factory=list)
    good_parts: list[Part] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether the folder holds each planned entry once, but for those given up, and nothing else."""
        return not (self.missing or self.damaged or self.unreadable or self.foreign)

    @property
    def counts(self) -> str:
        """How much is wrong, in words."""
        unreadable = f", {len(self.unreadable)} can't be read now" if self.unreadable else ""
        wrong = f"{counted(len(self.damaged), 'part')} damaged{unreadable}, {len(self.foreign)} foreign"
        return f"{counted(len(self.missing), 'range')} missing, {wrong}"

    def todo(self, discard: str) -> str:
        """Return what to do about it; `discard` is the command that removes bad parts, or empty."""
        found = []
        if self.unreadable:
            found.append("Check the disk and the permissions of what can't be read, and verify again.")
        if self.damaged or self.foreign:
            found += [f"{discard} removes what is damaged or foreign."] if discard else []
        if self.missing or ((self.damaged or self.foreign) and discard):
            found.append("The same submit makes what is missing.")
        return " ".join(found)

    def faults(self, most: int) -> list[str]:
        """Return what is wrong, a line each, at most so many of a kind."""
        lines = [f"missing {chunk.url} entries {chunk.start}-{chunk.stop}" for chunk in self.missing[:most]]
        lines += [f"damaged {path}: {why}" for path, why in self.damaged[:most]]
        lines += [f"unreadable {path}: {why}" for path, why in self.unreadable[:most]]
        return lines + [f"foreign {path}: {why}" for path, why in self.foreign[:most]]


def verify(folder: Path, plan: Plan) -> Verification:
    """Read all parts of `folder` and compare them with receipts and plan.

    Raises
    ------
    OutputError
        The folder of the parts, or the list of what was given up, can't be read.
    """
    found = Verification()
    good: list[Part] = []
    paths = _paths(CampaignFolder(folder).predictions)
    for path, result in map_threads(partial(_read_and_check, plan.fingerprint), paths, _READERS):
        if isinstance(result, Part):
            good.append(result)
        else:
            fault, why = result
            getattr(found, fault).append((path, why))
    _count_parts(found, plan, good)
    unreadable = ranges_by_file(path.stem for path, _ in found.unreadable if is_chunk_id(path.stem))
    found.missing, _ = _without(found.missing, unreadable)
    given_up: dict[str, list[Range]] = {}
    for row in read_losses(folder):
        if row["uuid"] is not None:
            entries = Range(row["start"], row["stop"])
            given_up.setdefault(file_key(row["uuid"], row["tree"]), []).append(entries)
    found.missing, found.given_up = _without(found.missing, given_up)
    return found


def _paths(folder: Path) -> list[Path]:
    """Return the parts of a folder; one that can't be listed is not one without any."""
    try:
        found = sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        todo = "See to its disk and its permissions, and try again."
        raise OutputError(str(folder), f"can't be listed ({error.strerror})", todo) from error
    return [path for path in found if path.suffix == ".parquet" and path.name[0] != "."]


def _without(missing: list[Chunk], by_file: dict[str, list[Range]]) -> tuple[list[Chunk], int]:
    """Return what some ranges leave of missing entries, and how many events they take."""
    left: list[Chunk] = []
    for chunk in missing:
        ranges = by_file.get(file_key(chunk.uuid, chunk.tree), [])
        if chunk.events:
            left += [chunk.part(*entries) for entries in gaps(chunk.range, ranges)]
        elif chunk.range not in ranges:
            left.append(chunk)
    return left, sum(chunk.events for chunk in missing) - sum(chunk.events for chunk in left)


def _read_and_check(fingerprint: str, path: Path) -> Part | tuple[str, str]:
    """Return a part without its receipt, which is large, or a field of `Verification` and what is wrong."""
    if not is_chunk_id(path.stem):
        return "foreign", "is not named as a part: it stays"
    try:
        content = read_part(path)
    except UnreadableError as error:
        return "unreadable", error.what
    except OutputError as error:
        return "damaged", error.what
    receipt = content.receipt
    if (receipt.id, receipt.fingerprint) != (path.stem, fingerprint):
        return "foreign", "belongs to another plan or chunk"
    chunk = receipt.chunk
    why = key_fault(in_order(content.rows), chunk.uuid, chunk.start, chunk.stop)
    if why:
        return "damaged", why
    size = len(content.rows), receipt.checksum, content.data_bytes
    return Part(path, chunk.uuid, chunk.tree, chunk.start, chunk.stop, *size)


def _count_parts(found: Verification, plan: Plan, good: list[Part]) -> None:
    """Compare the parts with the planned entries; note gaps, overlaps and what lies outside."""
    by_file: dict[tuple[str, str], list[Part]] = {}
    for part in good:
        by_file.setdefault((part.uuid, part.tree), []).append(part)
    for file in plan.files:
        parts = by_file.pop((file.uuid, file.tree), [])
        whole = Chunk.of(file, 0, file.entries)
        inside = {Range(part.start, part.stop): part for part in parts if part.stop <= file.entries}
        taken = best_cover(inside) if file.entries else list(inside)
        chosen, counted = [inside[entries] for entries in taken], set(taken)
        found.foreign += [(part.path, _DOUBLE) for part in parts if (part.start, part.stop) not in counted]
        found.good_parts += chosen
        found.rows += sum(part.rows for part in chosen)
        found.events += sum(part.stop - part.start for part in chosen)
        found.missing += [whole.part(*entries) for entries in gaps(whole.range, taken)]
        found.missing += [] if file.entries or taken else [whole]
    found.parts = len(found.good_parts)
    for parts in by_file.values():
        found.foreign += [(part.path, "is of a file that was not planned") for part in parts]
