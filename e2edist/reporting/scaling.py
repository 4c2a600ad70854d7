"""Strong and weak scaling, measured or simulated, as files give it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2edist.config.text_files import read_text
from e2edist.errors import InputError

SOURCES, MODES = ("simulated", "measured"), ("strong", "weak")
_TODO = 'It should be {"series": [{"kind", "mode", "label", "points": [{"workers", "efficiency", ...}]}]}.'


@dataclass(frozen=True, slots=True)
class Point:
    """A number of workers.

    Attributes
    ----------
    efficiency : float
        Of all worker time, what went into events; 1 is ideal.
    tail_loss : float or None
        Fraction of all worker time that is idle at the end.
    """

    workers: int
    efficiency: float
    events: int | None = None
    wall_s: float | None = None
    tail_loss: float | None = None

    @property
    def speedup(self) -> float:
        """Times one ideal worker."""
        return self.workers * self.efficiency


@dataclass(frozen=True, slots=True)
class Series:
    """Points that belong together; `source` is one of `SOURCES`, `mode` one of `MODES`."""

    source: str
    mode: str
    label: str
    points: tuple[Point, ...]


def read_scaling(path: Path) -> list[Series]:
    """Return the series of a file.

    Raises
    ------
    InputError
        It can't be read, or a key lacks or is wrong: says which.
    """
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise InputError(str(path), f"is no JSON that can be read ({error})", _TODO) from error
    reader = _Reader(path)
    found = [reader.series(one, at) for one, at in reader.items(content, "series", "")]
    if not found:
        raise reader.fault("series", "is empty")
    return found


@dataclass(frozen=True, slots=True)
class _Reader:
    """Takes values out of a file; what is wrong is told with the key where it stands."""

    path: Path

    def fault(self, key: str, what: str) -> InputError:
        return InputError(f"{self.path}: {key}", what, _TODO)

    def series(self, table: Any, at: str) -> Series:
        source, mode = self._word(table, "kind", at, SOURCES), self._word(table, "mode", at, MODES)
        label = self._get(table, "label", at)
        points = [self._point(one, place) for one, place in self.items(table, "points", at)]
        if not points:
            raise self.fault(f"{at}points", "is empty")
        ordered = sorted(points, key=lambda point: point.workers)
        return Series(source, mode, str(label), tuple(ordered))

    def items(self, table: Any, key: str, at: str) -> list[tuple[Any, str]]:
        value = self._get(table, key, at)
        if not isinstance(value, list):
            raise self.fault(f"{at}{key}", "is no list")
        return [(one, f"{at}{key}[{i}].") for i, one in enumerate(value)]

    def _point(self, table: Any, at: str) -> Point:
        workers, efficiency = (self._number(table, key, at) for key in ("workers", "efficiency"))
        if workers < 1 or efficiency <= 0:
            key = "workers" if workers < 1 else "efficiency"
            raise self.fault(f"{at}{key}", "is not positive")
        more = [
            self._number(table, key, at) if key in table else None
            for key in ("events", "wall_s", "tail_loss")
        ]
        events = None if more[0] is None else int(more[0])
        return Point(int(workers), efficiency, events, more[1], more[2])

    def _get(self, table: Any, key: str, at: str) -> Any:
        if not isinstance(table, dict):
            raise self.fault(at.rstrip(".") or "the whole", "is no table")
        if key not in table:
            raise self.fault(f"{at}{key}", "is missing")
        return table[key]

    def _word(self, table: Any, key: str, at: str, known: Sequence[str]) -> str:
        value = self._get(table, key, at)
        if value not in known:
            raise self.fault(f"{at}{key}", f"is {value!r}, not {' or '.join(known)}")
        return str(value)

    def _number(self, table: Any, key: str, at: str) -> float:
        value = self._get(table, key, at)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < float("inf"):
            raise self.fault(f"{at}{key}", f"is {value!r}, not a number")
        return float(value)


def describe_points(series: Sequence[Series]) -> str:
    """Return which of the figure's points were measured and which simulated."""
    simulated, measured = ([one for one in series if one.source == source] for source in SOURCES)
    text = (
        "Left: the same events on more workers; right: events in proportion to the workers; dotted: ideal. "
    )
    if simulated:
        text += (
            f"Lines are simulated, up to {_most(simulated):,} workers: the driver itself, with times drawn "
            "from those of measured chunks, and neither a queue nor a file system that gets slower. "
        )
    if measured:
        text += f"Points are measured, up to {_most(measured):,} workers: whole campaigns with events. "
    if not (simulated and measured):
        text += f"Nothing here is {'measured' if simulated else 'simulated'}. "
    return text.rstrip()


def _most(series: Sequence[Series]) -> int:
    return max(point.workers for one in series for point in one.points)


def scaling_rows(series: Sequence[Series]) -> list[list[str]]:
    """Return a table, head first: a row for each point."""
    table = [["", "workers", "events", "wall [s]", "efficiency", "idle at the end"]]
    for one in series:
        for p in one.points:
            cells = [
                "" if x is None else text.format(x) for x, text in ((p.events, "{:,}"), (p.wall_s, "{:,.1f}"))
            ]
            tail = "" if p.tail_loss is None else f"{p.tail_loss:.1%}"
            name = f"{one.mode}, {one.source}: {one.label}"
            table.append([name, f"{p.workers:,}", *cells, f"{p.efficiency:.3f}", tail])
    return table
