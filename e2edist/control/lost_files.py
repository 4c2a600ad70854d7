"""What was lost, for people: a file and its entries a line, and below it why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from rich.padding import Padding
from rich.text import Text

from e2edist.counted import counted

if TYPE_CHECKING:
    from rich.console import RenderableType

#: Rows that are shown.
_SHOWN = 20


def lost_files(rows: Iterable[dict[str, Any]], title: str) -> Iterator[RenderableType]:
    """Yield the lines of what was lost, the costliest first; nothing if nothing was.

    Parameters
    ----------
    rows : iterable of dict
        As in ``bad.parquet``: url, start, stop, events, attempts, reason.
    """
    ordered = sorted(rows, key=lambda row: -row["events"])
    if ordered:
        yield Text(title, style="italic")
    for row in ordered[:_SHOWN]:
        # Folded, not cut: what matters may stand at the end.
        yield Text(f"  {row['url']}{_entries(row)}", overflow="fold")
        yield Padding(Text(row["reason"], overflow="fold"), (0, 0, 0, 4), expand=False)
    if len(ordered) > _SHOWN:
        yield Text(f"  ... and {len(ordered) - _SHOWN:,} more: see bad.parquet")


def _entries(row: dict[str, Any]) -> str:
    """Return what of a file is lost; how many events a file has that could not be opened, nobody knows."""
    if row.get("stop") is None:
        return ": unknown number of events"
    size = f"{counted(row['events'], 'event')}, {counted(row['attempts'], 'attempt')}"
    return f" entries {row['start']}-{row['stop']} ({size})"
