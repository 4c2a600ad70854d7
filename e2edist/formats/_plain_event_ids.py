"""Run, luminosity block and event from branches of one number an event, as flat ntuples have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e2edist.errors import EntriesError
from e2edist.imaging.event_batch import EVENT_NUMBERS

from ._branch_map import BranchErrors, EventIds
from ._check_branch import check_branch
from ._tables import to_dtype

if TYPE_CHECKING:
    from collections.abc import Mapping

    from e2edist.imaging.event_batch import Array

    from ._branch_map import JaggedColumn, Request


def plain_event_ids(request: Request, names: Mapping[str, str]) -> tuple[EventIds | None, tuple[str, ...]]:
    """Return how to read run, lumi and event, and which of them can't be read, and why.

    Parameters
    ----------
    names : mapping of str to str
        "run", "lumi" and "event" -> the name of the branch.
    """
    branches = request.branches
    errors = BranchErrors(request.errors.where)  # of its own: event numbers are optional
    found = {
        key: check_branch(branches[name], key, "integer", errors, scalar=True)
        for key, name in names.items()
        if name in branches
    }
    absent = [f"{key}: no branch {name}" for key, name in names.items() if name not in branches]
    readable = {key: branch for key, branch in found.items() if branch}

    def decode(lists: Mapping[str, JaggedColumn]) -> dict[str, Array | None]:
        return {key: _number(lists[b.name].data, EVENT_NUMBERS[key], b.name) for key, b in readable.items()}

    event_ids = EventIds(tuple(readable.values()), decode) if readable else None
    return event_ids, (*absent, *errors.messages)


def _number(values: Array, dtype: str, what: str) -> Array | None:
    """Return event numbers, nothing where one of them does not fit: a run of -1 says that there is none."""
    try:
        return to_dtype(values, dtype, what)
    except EntriesError:
        return None
