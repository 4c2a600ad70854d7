"""The plan and the closing tables of a campaign, for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Column, Table

from e2edist.records.folder import CampaignFolder

if TYPE_CHECKING:
    from rich.console import Console

    from e2edist.accounting.bill import PoolBill
    from e2edist.accounting.estimate import Choice
    from e2edist.accounting.summary import Summary

#: Looks of a table with many columns.
COMPACT: dict[str, Any] = {
    "box": SIMPLE_HEAD,
    "padding": (0, 1, 0, 0),
    "show_edge": False,
    "pad_edge": False,
    "title_justify": "left",
}
#: Rows of a table that may be long.
_SHOWN = 20


def cost_columns(units: Iterable[str]) -> list[Column]:
    """Return the columns of node hours, GPU hours and charge; the unit of all charges is in the header."""
    found = set(units)
    charge = f"charge\n{found.pop()}" if len(found) == 1 else "charge"
    return [Column(name, justify="right", no_wrap=True) for name in ("node h", "GPU h", charge)]


def short_number(number: float) -> str:
    """Return a number with three digits, or all of them before the point.

    >>> short_number(0.123456), short_number(21.04), short_number(12345.6)
    ('0.123', '21', '12,346')
    """
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def cost_cells(
    node_h: float | None, gpu_h: float | None, charge: float | None, units: Iterable[str], unit: str
) -> list[str]:
    """Return the cells of `cost_columns` of `units`, one of which is the charge's; a dash is unknown."""
    cells = ["-" if number is None else short_number(number) for number in (node_h, gpu_h, charge)]
    return [*cells[:2], f"{cells[2]} {unit}" if charge is not None and len(set(units)) > 1 else cells[2]]


def print_summary(console: Console, total: Summary, seconds: float, events: int) -> None:
    """Show the closing tables: counts of all runs, stage times, and the rate of this run.

    Parameters
    ----------
    seconds : float
        Wall time of this run, from the first worker on.
    events : int
        Events that this run did.
    """
    counts = Table(title="result", title_justify="left", show_header=False)
    counts.add_row("events", f"{total.events:,}")
    if total.events_in_mask is not None:
        counts.add_row("events in the lumi mask", f"{total.events_in_mask:,}")
    counts.add_row("objects", f"{total.objects:,}")
    counts.add_row("with scores", f"{total.status.get('ok', 0):,}")
    for status, number in sorted(total.status.items()):
        if status != "ok":
            counts.add_row(f"rejected: {status}", f"{number:,}")
    if events and seconds > 0:
        counts.add_row("events/s in this run", f"{events / seconds:,.0f}")
    if total.peak_mib:
        counts.add_row("largest worker", f"{total.peak_mib:,} MiB")
    console.print(counts)
    stages = Table(
        "stage",
        "wall s",
        "cpu s",
        "items",
        "ms/item",
        title="time, summed over threads",
        title_justify="left",
    )
    for name, (wall, cpu, items) in total.stages.items():
        per = f"{wall / items:.3f}" if items else ""
        stages.add_row(name, f"{wall / 1e3:.2f}", f"{cpu / 1e3:.2f}", f"{items:,}" if items else "", per)
    console.print(stages)


def print_bad(console: Console, rows: list[dict[str, Any]], fraction: float) -> None:
    """Show what was lost, the costliest first; nothing if nothing was."""
    if not rows:
        return
    table = Table(
        "file",
        "entries",
        "events",
        "attempts",
        "reason",
        title=f"failed: {100 * fraction:.4g} % of all events",
        title_justify="left",
    )
    for row in sorted(rows, key=lambda r: -r["events"])[:_SHOWN]:
        entries = f"{row['start']}-{row['stop']}" if row.get("stop") is not None else "all"
        table.add_row(row["url"], entries, f"{row['events']:,}", str(row["attempts"]), row["reason"])
    if len(rows) > _SHOWN:
        table.add_row(f"... and {len(rows) - _SHOWN} more", "", "", "", "see bad.parquet")
    console.print(table)


def print_tuning(
    console: Console, title: str, measured: Sequence[dict[str, Any]], best: dict[str, Any]
) -> None:
    """Show what was measured, the fastest first, and mark the setting that was chosen."""
    names = ("workers", "threads", "intra_op", "sessions")
    shape = "workers x threads x in a call x sessions"
    table = Table(
        "", shape, "images", "batch", "events/s", "objects/s", "kB/object", title=title, title_justify="left"
    )
    for row in sorted(measured, key=lambda r: -r.get("events_per_s", 0)):
        mark = "*" if {key: row[key] for key in best} == best else ""
        speed = [f"{row.get(key, 0):,.0f}" for key in ("events_per_s", "objects_per_s")]
        last = row["fault"] if "fault" in row else f"{row['kb_per_object']:.1f}"
        shared = " x ".join(str(row[name]) for name in names)
        table.add_row(mark, shared, row["images"], str(row["batch"]), *speed, last)
    console.print(table)


def print_bill(console: Console, bill: Sequence[PoolBill]) -> None:
    """Show what all runs of a campaign took, a pool a row; nothing without a journal."""
    if not bill:
        return
    # In lines of their own, or terminals of 80 columns cut them.
    whole = (
        Column("pool", no_wrap=True),
        Column("worker\nh"),
        Column("% used/idle\n/start/lost", no_wrap=True),
    )
    headers = (*whole, "node h", "GPU h", "charge", "per M\nevents")
    table = Table(*headers, title="bill, of all runs", title_justify="left")
    for row in bill:
        hours = (row.used_h, row.idle_h, row.starting_h, row.lost_h)
        parts = "/".join(f"{100 * h / row.allocated_h:.0f}" for h in hours if row.allocated_h)
        paid = f" = {row.cost:.2f} {row.currency}" if row.currency else ""
        million = row.charge_per_million
        table.add_row(
            row.pool,
            f"{row.allocated_h:.3g}",
            parts,
            f"{row.node_h:.3g}",
            f"{row.gpu_h:.3g}",
            f"{row.charge:.3g} {row.unit}{paid}",
            f"{million:.3g}" if million is not None else "",
        )
    console.print(table)


def print_estimate(console: Console, choices: Sequence[Choice], notes: Sequence[str]) -> None:
    """Show what the rest of a campaign would take, and mark the cheapest and the fastest way."""
    from e2edist.accounting.estimate import best

    marks = best(list(choices))
    numbers = [Column(name, justify="right", no_wrap=True) for name in ("jobs", "time to finish")]
    pool = Column("pool", no_wrap=True)
    units = [one.unit for one in choices]
    table = Table("", pool, *numbers, *cost_columns(units), title="estimate of the rest", **COMPACT)
    for one in choices:
        message = [
            word for word, top in zip(("cheapest", "fastest"), marks or (), strict=False) if one is top
        ]
        time_ = f"{timedelta(seconds=round(one.seconds))} +- {one.spread:.0%}"
        cost = cost_cells(one.node_h, one.gpu_h, one.charge, units, one.unit)
        table.add_row(", ".join(message), one.pool, f"{one.jobs:,}", time_, *cost)
    console.print(table)
    for note in notes:
        console.print(note)


def print_quality(console: Console, warnings: list[str]) -> None:
    """Show what looks wrong with scores and inputs; nothing if nothing does."""
    if not warnings:
        return
    table = Table(title="data quality: worth a look", title_justify="left", show_header=False)
    for line in warnings[:_SHOWN]:
        table.add_row(line)
    if len(warnings) > _SHOWN:
        table.add_row(f"... and {len(warnings) - _SHOWN} more, see quality.json")
    console.print(table)


def print_where(console: Console, folder: Path) -> None:
    """Say where the results lie, and how to read them."""
    files = CampaignFolder(folder)
    parts = str(files.predictions)
    # DuckDB takes a name for a pattern.
    quoted = "".join(f"[{c}]" if c in "*?[" else c for c in parts).replace("'", "''")
    lines = (
        f"timing       {files.timing}",
        f"predictions  {parts}/*.parquet, read them with",
        f"  pyarrow  pyarrow.dataset.dataset({parts!r}).to_table()",
        f"  DuckDB   FROM '{quoted}/*.parquet'",
        f"  pandas   pandas.read_parquet({parts!r})",
    )
    for line in lines:
        console.print(line)
