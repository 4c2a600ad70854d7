"""Names in a campaign's folder. Imports nothing, so that looking at a folder takes no time."""

from __future__ import annotations

import re
from functools import cache

PLAN = "plan.json"
#: What is done, what was given up: one JSON object a line.
LEDGER = "ledger.jsonl"
#: Folder of the parts.
PREDICTIONS = "predictions"
#: Folder of what ``aggregate`` makes, unless it is told another.
AGGREGATED = "aggregated"
#: What the jobs occupied, and when: one JSON object a line.
USAGE = "usage.jsonl"
#: Folder of the report.
REPORT = "report"
#: One line per chunk that ended.
LOG = "submit.log"


def chunk_id(uuid: str, tree: str, start: int, stop: int) -> str:
    """Return the name of a part: safe in any file system, the same for the same entries of a file."""
    return piece_id(f"{uuid}-{_plain(tree)}", start, stop)


def piece_id(head: str, start: int, stop: int) -> str:
    """Return the id of other entries of the file that `head` stands for."""
    return f"{head}-{start}-{stop}"


def chunk_place(name: str) -> tuple[str, int, int]:
    """Return what the ids of a file's chunks begin with, and the entries of this one, half-open.

    >>> chunk_place("0f-Events-10-20")
    ('0f-Events', 10, 20)
    """
    head, start, stop = name.rsplit("-", 2)
    return head, int(start), int(stop)


@cache
def _plain(tree: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", tree)


def is_chunk_id(name: str) -> bool:
    """Whether a name looks like one of `chunk_id`."""
    return re.fullmatch(r"[0-9a-f]{32}-\w*-\d+-\d+", name) is not None
