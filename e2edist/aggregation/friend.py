"""Friends: the scores beside the inputs, entry by entry, for users of ROOT.

``tree->AddFriend("Events", "NAME.friend.root")`` joins by entry, so a friend has the name of its input's
tree, exactly its entries, and their order. An entry without objects has empty vectors.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import awkward as ak
import numpy as np
import pyarrow as pa
from uproot.reading import open as open_root
from uproot.writing import recreate

from e2edist.errors import OutputError
from e2edist.imaging.event_batch import OBJECT_KINDS
from e2edist.imaging.seeds import STATUSES
from e2edist.input_file import FileInfo
from e2edist.records.chunk import chunk_id
from e2edist.records.folder import AggregatedFolder
from e2edist.records.part_columns import PART_COLUMNS
from e2edist.records.verify import Part
from e2edist.storage.publish import cut_name, publish, sweep
from e2edist.urls import public

from .finished_campaigns import FinishedCampaign
from .sorted_table import OutputFile, read_sorted

#: Name of the string in a friend that says what it was made of.
ORIGIN = "e2edist"
#: Bytes that a name takes from that of its input: file systems bear 255 in all.
_LONGEST_STEM = 200
#: Entries that are written at a time; few and large ones read fast.
_BLOCK = 200_000
_LEFT_OUT = {name for name, column in PART_COLUMNS.items() if not column.in_friends}
_CODES = {"kind": OBJECT_KINDS, "status": STATUSES}
FriendFormat = Literal["ttree", "rntuple"]


@dataclass(frozen=True, slots=True)
class Friend:
    """What a friend is made of.

    Attributes
    ----------
    file : FileInfo
        Its input.
    parts : tuple of Part
        Of that file, in order; none where all of it was given up.
    nothing : pyarrow.Table
        No rows, with all columns.
    tagger : str
        Beginning of the names of its branches.
    kind : str
    """

    file: FileInfo
    parts: tuple[Part, ...]
    empty: pa.Table
    tagger: str
    kind: FriendFormat

    @property
    def name(self) -> str:
        """Name of the file: that of its input, and enough of its uuid to be unique."""
        stem = public(self.file.url).rsplit("/", 1)[-1].removesuffix(".root")
        return f"{cut_name(stem, _LONGEST_STEM)}-{self.file.uuid[:8]}.friend.root"

    @property
    def origin(self) -> str:
        """What it is made of, as JSON: the same parts make the same friend."""
        whole = chunk_id(self.file.uuid, self.file.tree, 0, self.file.entries)
        content = {"input": whole, "url": self.file.url, "kind": self.kind, "tagger": self.tagger}
        return json.dumps(content | {"content": OutputFile(self.parts).digest})


def write_friends(
    campaigns: Sequence[FinishedCampaign], folder: Path, kind: FriendFormat = "ttree"
) -> list[Path]:
    """Write a friend of each input file; one that holds what it should is left alone.

    Branches, of a tagger ``eg``: ``eg_done`` (1 per entry, 0 where it was given up), and vectors over the
    entry's objects: ``eg_kind`` (place in photon, electron, jet), ``eg_object`` (place in its collection),
    ``eg_status`` (0 is ok; others as `STATUSES`), ``eg_pt``, ``eg_eta``, ``eg_phi`` and ``eg_`` with the name
    of each score, NaN (of whole numbers -1) where there is none. An RNTuple has a field ``eg`` of records.

    Raises
    ------
    OutputError
        There are no parts at all, or the folder can't be written.
    """
    every = [part for one in campaigns for part in one.verification.good_parts]
    if not every:
        raise OutputError(str(folder), "no friend tree: no entry was processed")
    empty = read_sorted(every[0]).slice(0, 0)
    target = AggregatedFolder(folder).friends
    sweep(target)
    parts: dict[tuple[str, str], list[Part]] = {}
    for part in every:
        parts.setdefault((part.uuid, part.tree), []).append(part)
    paths = []
    for one in campaigns:
        for file in one.plan.files:
            mine = tuple(parts.get((file.uuid, file.tree), []))
            friend = Friend(file, mine, empty, str(one.plan.tagger["name"]), kind)
            paths.append(target / friend.name)
            if _origin(paths[-1]) != friend.origin:
                _write(paths[-1], friend)
    return paths


def _origin(path: Path) -> str:
    try:
        with path.open("rb") as stream, open_root(stream) as file:
            return str(file[ORIGIN])
    except Exception:  # whatever is wrong with it, it is made again
        return ""


def _write(path: Path, friend: Friend) -> None:
    with publish(path) as draft, draft.open("w+b") as stream, recreate(stream) as out:
        tree = None
        for block in _blocks(friend):
            if friend.kind == "rntuple":
                array = ak.zip(block, depth_limit=1)
                tree = tree or out.mkrntuple(friend.file.tree, array[:0])
                tree.extend(array)
            else:
                # By its types: a name that is merely assigned would become an RNTuple, and no tree's friend.
                types = {name: getattr(values, "type", "uint8") for name, values in block.items()}
                tree = tree or out.mktree(friend.file.tree, types)
                tree.extend(block)
        out[ORIGIN] = friend.origin


def _blocks(friend: Friend) -> Iterator[dict[str, Any]]:
    """Yield the branches of some entries at a time, all entries once and in order."""
    some: list[pa.Table] = [friend.empty]
    done: list[tuple[int, int]] = []
    start = 0
    for part in friend.parts:
        some.append(read_sorted(part))
        done.append((part.start, part.stop))
        if part.stop - start >= _BLOCK:
            yield _branches(friend.tagger, some, done, (start, part.stop))
            some, done, start = [friend.empty], [], part.stop
    if start < friend.file.entries or not friend.file.entries:
        yield _branches(friend.tagger, some, done, (start, friend.file.entries))


def _branches(
    tagger: str, tables: list[pa.Table], done: list[tuple[int, int]], entries: tuple[int, int]
) -> dict[str, Any]:
    start, stop = entries
    rows = pa.concat_tables(tables).unify_dictionaries()
    counts = np.bincount(rows["entry"].to_numpy() - start, minlength=stop - start)
    flags = np.zeros(stop - start, np.uint8)
    for first, last in done:
        flags[first - start : last - start] = 1
    vectors = {
        name: ak.unflatten(_numbers(name, rows[name]), counts)
        for name in rows.column_names
        if name not in _LEFT_OUT
    }
    return {f"{tagger}_done": flags, tagger: ak.zip(vectors)}


def _numbers(name: str, column: Any) -> Any:
    if name in _CODES:
        words = np.asarray(column.cast(pa.string()).to_numpy(zero_copy_only=False))
        codes = {word: code for code, word in enumerate(_CODES[name])}
        return np.array([codes[word] for word in words.tolist()], np.int8)
    if pa.types.is_floating(column.type):
        return column.to_numpy(zero_copy_only=False).astype(np.float32)
    return column.fill_null(-1).to_numpy(zero_copy_only=False)
