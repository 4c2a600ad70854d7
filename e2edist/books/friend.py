"""Friend trees: the scores beside the inputs, entry by entry, for users of ROOT.

``tree->AddFriend("Events", "NAME.friend.root")`` joins by entry, so a friend has exactly the entries of its
input, in their order; an entry without objects has empty vectors, one that was given up has ``done`` 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow as pa
from uproot.writing import recreate

from e2edist.campaign.plan import PlannedFile
from e2edist.campaign.verify import Part
from e2edist.imaging.batch import OBJECT_KINDS
from e2edist.imaging.seeds import STATUSES
from e2edist.storage.publish import publish

from .compact import read_sorted
from .union import Campaign

FRIENDS = "friends"
#: Entries that are written at a time; few and large ones read fast.
_BLOCK = 200_000
_LEFT_OUT = {"uuid", "entry", "run", "lumi", "event", "label", "seed_row", "seed_col"}
_CODES = {"kind": OBJECT_KINDS, "status": STATUSES}


def write_friends(campaigns: Sequence[Campaign], folder: Path) -> list[Path]:
    """Write a friend of each input file; one that is there already is left alone.

    Branches: ``done`` (uint8 per entry), and vectors over its objects: ``e2e_kind`` (place in photon,
    electron, jet), ``e2e_status`` (0 is ok, then the score is right), ``e2e_object`` (place in its
    collection), ``e2e_pt``, ``e2e_eta``, ``e2e_phi`` and the scores, NaN where there is none.

    Raises
    ------
    OutputError
        The folder can't be written.
    """
    paths = []
    for one in campaigns:
        parts: dict[tuple[str, str], list[Part]] = {}
        for part in one.verdict.good_parts:
            parts.setdefault((part.uuid, part.tree), []).append(part)
        for file in one.plan.files:
            name = f"{file.url.rsplit('/', 1)[-1].removesuffix('.root')}-{file.uuid[:8]}.friend.root"
            path = folder / FRIENDS / name
            if not path.exists():
                _write(path, file, parts.get((file.uuid, file.tree), []))
            paths.append(path)
    return paths


def _write(path: Path, file: PlannedFile, parts: list[Part]) -> None:
    with publish(path) as draft, recreate(draft) as out:
        tree = None
        for block in _blocks(file, parts):
            # By its types: a name that is merely assigned would become an RNTuple, and no tree's friend.
            types = {"done": "uint8", "e2e": block["e2e"].type}
            tree = tree or out.mktree(file.tree.rsplit("/", 1)[-1], types)
            tree.extend(block)


def _blocks(file: PlannedFile, parts: list[Part]) -> Iterator[dict[str, Any]]:
    """Yield the branches of some entries at a time, all entries once and in order."""
    some: list[pa.Table] = []
    at = start = 0
    done: list[tuple[int, int]] = []
    for part in parts:
        some.append(read_sorted(part))
        done.append((part.start, part.stop))
        at = part.stop
        if at - start >= _BLOCK:
            yield _branches(some, done, start, at)
            some, done, start = [], [], at
    if start < file.entries and parts:
        yield _branches(some or [read_sorted(parts[-1]).slice(0, 0)], done, start, file.entries)


def _branches(tables: list[pa.Table], done: list[tuple[int, int]], start: int, stop: int) -> dict[str, Any]:
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
    return {"done": flags, "e2e": ak.zip(vectors)}


def _numbers(name: str, column: Any) -> Any:
    if name in _CODES:
        words = np.asarray(column.cast(pa.string()).to_numpy(zero_copy_only=False))
        codes = {word: code for code, word in enumerate(_CODES[name])}
        return np.array([codes[word] for word in words.tolist()], np.int8)
    if pa.types.is_floating(column.type):
        return column.to_numpy(zero_copy_only=False).astype(np.float32)
    return column.fill_null(-1).to_numpy(zero_copy_only=False)
