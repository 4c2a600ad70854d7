"""The plan and the closing tables of a campaign, for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rich.table import Column

from e2edist.control.lost_files import lost_files
from e2edist.house_table import make_table, number_columns

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from e2edist.accounting.bill import PoolBill
    from e2edist.accounting.estimate import Choice
    from e2edist.accounting.summary import Summary
    from e2edist.accounting.upper_limit import UpperLimit

#: Rows of a table that may be long.
_SHOWN = 20


def cost_columns(units: Iterable[str]) -> list[Column]:
    """Return the columns of node hours, GPU hours and charge; the unit of all charges is in the header."""
    found = set(units)
    charge = f"charge\n{found.pop()}" if len(found) == 1 else "charge"
    return number_columns("node h", "GPU h", charge)


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


def takes_nodes(rows: Iterable[UpperLimit | Choice | PoolBill]) -> bool:
    """Return whether nodes are charged; else a site lends slots, and cores are what people count."""
    return any(row.node_h or row.charge for row in rows)


def hours_columns(rows: Sequence[UpperLimit | Choice]) -> list[Column]:
    """Return the columns of node hours and charge, or of core hours where no node is charged."""
    if takes_nodes(rows):
        return cost_columns(row.unit for row in rows)
    return number_columns("core h", *(["GPU h"] if any(row.gpu_h for row in rows) else []))


def hours_cells(row: UpperLimit | Choice, rows: Sequence[UpperLimit | Choice]) -> list[str]:
    """Return the cells of `hours_columns` of `rows` for one of them; a dash is unknown."""
    if takes_nodes(rows):
        return cost_cells(row.node_h, row.gpu_h, row.charge, [one.unit for one in rows], row.unit)
    hours = [row.core_h, *([row.gpu_h] if any(one.gpu_h for one in rows) else [])]
    return ["-" if number is None else short_number(number) for number in hours]


def print_stages(console: Console, total: Summary) -> None:
    """Show the time of each stage of all runs."""
    if not total.stages:
        return
    console.print("")
    columns = number_columns("wall s", "cpu s", "items", "ms/item")
    table = make_table("stage", *columns, title="time, summed over threads")
    for name, (wall, cpu, items) in total.stages.items():
        per = f"{wall / items:.3f}" if items else ""
        table.add_row(name, f"{wall / 1e3:,.2f}", f"{cpu / 1e3:,.2f}", f"{items:,}" if items else "", per)
    _print_table(console, table)


def _print_table(console: Console, table: Table) -> None:
    console.print(table)
    console.print("")


def print_bad(console: Console, rows: list[dict[str, Any]], title: str) -> None:
    """Show what was lost, the costliest first; nothing if nothing was."""
    if not rows:
        return
    for line in lost_files(rows, title):
        console.print(line)
    console.print("")


def print_datasets(console: Console, sums: Mapping[str, dict[str, Any]]) -> None:
    """Show what each dataset comes to."""
    keys = ("files", "events", "done", "rows")
    table = make_table(Column("dataset", overflow="fold"), *number_columns(*keys))
    for name, counts in sums.items():
        table.add_row(name or "(none)", *(f"{counts[key]:,}" for key in keys))
    console.print(table)


def print_tuning(
    console: Console, title: str, measured: Sequence[dict[str, Any]], best: dict[str, Any]
) -> None:
    """Show what was measured, the fastest first, and mark the setting that was chosen."""
    names = ("workers", "threads", "intra_op", "sessions")
    shape = Column("workers x threads\nx in a call x sessions", no_wrap=True)
    size = Column("kB/object", justify="right", overflow="fold")  # or why the setting does not run
    columns = [shape, Column("images"), *number_columns("batch", "events/s", "objects/s"), size]
    table = make_table("", *columns, title=title)
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
    units, currencies = [row.unit for row in bill], sorted({row.currency for row in bill if row.currency})
    # In lines of their own, or terminals of 80 columns cut them.
    names = ("worker\nh", "% used/idle\n/start/lost")
    columns = [Column("pool", no_wrap=True), *number_columns(*names)]
    charged, gpus = takes_nodes(bill), any(row.gpu_h for row in bill)
    columns += cost_columns(units) if charged else number_columns("GPU h") if gpus else []
    columns += number_columns(*currencies, "per M\nevents") if charged else []
    table = make_table(*columns, title="bill, of all runs")
    for row in bill:
        hours = (row.used_h, row.idle_h, row.starting_h, row.lost_h)
        parts = "/".join(f"{100 * h / row.allocated_h:.0f}" for h in hours if row.allocated_h)
        shown = [row.pool, short_number(row.allocated_h), parts]
        if charged:
            shown += cost_cells(row.node_h, row.gpu_h, row.charge, units, row.unit)
            shown += [f"{row.cost:,.2f}" if row.currency == one else "" for one in currencies]
            million = row.charge_per_million
            shown.append(short_number(million) if million is not None else "")
        elif gpus:
            shown.append(short_number(row.gpu_h))
        table.add_row(*shown)
    _print_table(console, table)


def print_estimate(
    console: Console, choices: Sequence[Choice], notes: Sequence[str], left: int, *, charged: bool
) -> None:
    """Show what the `left` events of a campaign would take, and mark the cheapest and the fastest way.

    Parameters
    ----------
    charged : bool
        Whether somebody may charge for it: nobody does on the user's own machine.
    """
    if not left:
        console.print("nothing is left to estimate: all events are done, and the results are kept")
        return
    from e2edist.accounting.estimate import best

    marks = best(list(choices)) if len(choices) > 1 else None
    pool, columns = Column("pool", no_wrap=True), number_columns("jobs", "time to finish")
    columns += hours_columns(choices) if charged else []
    table = make_table("", pool, *columns, title="estimate of the rest")
    sign = "+-" if console.options.ascii_only else "±"
    for one in choices:
        message = [
            word for word, top in zip(("cheapest", "fastest"), marks or (), strict=False) if one is top
        ]
        time_ = f"{timedelta(seconds=round(one.seconds))} {sign} {100 * one.spread:.0f} %"
        cost = hours_cells(one, choices) if charged else []
        table.add_row(", ".join(message), one.pool, f"{one.jobs:,}", time_, *cost)
    console.print(table)
    for note in notes:
        console.print(note)
    console.print("next: the same line without --estimate does the rest")


def print_quality(console: Console, warnings: list[str]) -> None:
    """Show what looks wrong with scores and inputs; nothing if nothing does."""
    if not warnings:
        return
    table = make_table(Column(overflow="fold"), title="data quality: worth a look", header=False)
    for line in warnings[:_SHOWN]:
        table.add_row(line)
    if len(warnings) > _SHOWN:
        table.add_row(f"... and {len(warnings) - _SHOWN} more, see quality.json")
    _print_table(console, table)
