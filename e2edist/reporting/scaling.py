"""Strong and weak scaling, measured or simulated, as files give it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from e2edist.config.text_files import read_text
from e2edist.config.toml_models import Spec, parse
from e2edist.errors import InputError

Finite = Annotated[float, Field(allow_inf_nan=False)]


class Point(Spec):
    """A number of workers."""

    model_config = ConfigDict(extra="ignore")

    workers: Annotated[int, Field(ge=1)]
    #: of all worker time, what went into events; 1 is ideal
    efficiency: Annotated[Finite, Field(gt=0)]
    events: int | None = None
    wall_s: Finite | None = None
    #: fraction of all worker time that is idle at the end
    tail_loss: Finite | None = None

    @property
    def speedup(self) -> float:
        """Times one ideal worker."""
        return self.workers * self.efficiency


class Series(Spec):
    """Points that belong together."""

    model_config = ConfigDict(extra="ignore")

    source: Literal["simulated", "measured"] = Field(alias="kind")
    mode: Literal["strong", "weak"]
    label: str
    points: tuple[Point, ...] = Field(min_length=1)


class _ScalingFile(Spec):
    model_config = ConfigDict(extra="ignore")

    series: tuple[Series, ...] = Field(min_length=1)


def read_scaling(path: Path) -> list[Series]:
    """Return the series of a file, their points by the number of workers.

    Raises
    ------
    E2EError
        It can't be read, or a key lacks or is wrong: says which.
    """
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        what = f"is no JSON that can be read ({error})"
        raise InputError(str(path), what, "It should be written by the scaling benchmark.") from error
    return [
        one.model_copy(update={"points": tuple(sorted(one.points, key=lambda point: point.workers))})
        for one in parse(_ScalingFile, content, str(path)).series
    ]


def describe_points(series: Sequence[Series]) -> str:
    """Return which of the figure's points were measured and which simulated."""
    simulated, measured = (
        [one for one in series if one.source == source] for source in ("simulated", "measured")
    )
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
