"""Run, luminosity block and event from the records of EventAuxiliary, which no release of CMSSW splits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from e2edist.errors import EntriesError
from e2edist.imaging.event_batch import EVENT_NUMBERS

from ._branch_map import Branch, EventIds, JaggedColumn
from ._check_branch import raw_bytes
from ._streamer_layout import UnreadableError
from ._unsplit import Records

if TYPE_CHECKING:
    from collections.abc import Mapping

    from e2edist.imaging.event_batch import Array

_BRANCH = "EventAuxiliary"
#: Number of an event -> where it is, best first: before CMSSW 3_8 the EventID had no luminosity block.
_PATHS = {
    "run": ("id_.run_",),
    "lumi": ("id_.luminosityBlock_", "luminosityBlock_"),
    "event": ("id_.event_",),
}


def find_event_ids(tree: Any) -> tuple[EventIds | None, tuple[str, ...]]:
    """Return how to read run, lumi and event of a tree, or a note on why they can't be read."""
    source = {branch.name: branch for branch in reversed(tree.branches)}.get(_BRANCH)
    if source is None:
        return None, (f"run, lumi, event: the file has no {_BRANCH}",)
    if len(source.branches) > 0 or source.num_entries != tree.num_entries:
        return None, (f"run, lumi, event: {_BRANCH} of this file is not written entry by entry",)
    try:
        records = Records(source)
        paths = {
            name: next((p for p in some if p in records.paths), some[0]) for name, some in _PATHS.items()
        }
        records.check(paths.values())
    except UnreadableError as error:
        return None, (f"run, lumi, event: {_BRANCH} can't be read ({error})",)
    as_bytes = Branch(_BRANCH, False, raw_bytes(), source, np.dtype("u1"))

    def decode(lists: Mapping[str, JaggedColumn]) -> dict[str, Array | None]:
        return event_ids_of(lists[_BRANCH], records, paths)

    return EventIds((as_bytes,), decode), ()


def event_ids_of(lists: JaggedColumn, records: Records, paths: Mapping[str, str]) -> dict[str, Array | None]:
    """Return run, lumi and event, all None if no record is what the file says of it.

    Parameters
    ----------
    lists : JaggedColumn
        uint8; one record an entry.
    records : Records
        What decodes them.
    paths : mapping of str to str
        "run", "lumi" and "event" -> path in the records.

    Returns
    -------
    dict of str to array or None
        "run" and "lumi" as uint32, "event" as uint64, shape (entries,).

    Raises
    ------
    EntriesError
        Some records are, so that the others are damaged: they alone are left out, not the numbers of all.
    """
    try:
        found = records.decode(lists, paths.values())
    except EntriesError as error:
        if error.ranges != ((0, len(lists.offsets) - 1),):
            raise
        return dict.fromkeys(EVENT_NUMBERS)
    return {name: found[paths[name]].data.astype(dtype) for name, dtype in EVENT_NUMBERS.items()}
