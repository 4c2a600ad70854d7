"""Tables of a site's pools: their jobs and workers, and what they take at most."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Column

from e2edist.cli.tables import hours_cells, hours_columns, short_number, takes_nodes
from e2edist.house_table import make_table, number_columns

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from e2edist.accounting.upper_limit import UpperLimit


def pool_table(limits: list[UpperLimit]) -> Table:
    """Return a row a pool: its jobs, what is in one, and what all take at most."""
    names = ["jobs", "workers\nper job", "threads\neach", "GiB\neach", "wall\ntime"]
    nodes = takes_nodes(limits)
    numbers = number_columns(*names, *(["nodes\neach"] if nodes else []))
    table = make_table(Column("pool", no_wrap=True), *numbers, *hours_columns(limits), title="at most")
    for one in limits:
        grows = one.jobs_most > one.jobs
        jobs = f"{one.jobs}-{one.jobs_most}" if grows else f"{one.jobs}" if one.jobs else "-"
        wall = short_walltime(one.walltime_min) if one.walltime_min else "-"
        share = [f"{one.nodes:g}" if one.jobs else "-"] if nodes else []
        table.add_row(one.pool, jobs, *_worker_cells(one), wall, *share, *hours_cells(one, limits))
    return table


def worker_table(limits: list[UpperLimit]) -> Table:
    """Return a row a pool whose workers are no jobs: nobody knows how long they live."""
    numbers = number_columns("workers", "threads\neach", "GiB\neach")
    table = make_table(Column("pool", no_wrap=True), *numbers)
    for one in limits:
        table.add_row(one.pool, *_worker_cells(one))
    return table


def _worker_cells(one: UpperLimit) -> tuple[str, str, str]:
    """Return workers, threads and memory; what nobody knows is a dash."""
    memory = f"{one.memory_gib:g}" if one.memory_gib else "-"
    return str(one.workers or "-"), str(one.threads or "-"), memory


def print_sum(console: Console, limits: list[UpperLimit], *, estimating: bool) -> None:
    """Print node hours, or core hours where no node is charged, and GPU hours of all pools."""
    nodes = takes_nodes(limits)
    hours = sum((one.node_h if nodes else one.core_h) or 0.0 for one in limits)
    gpu_h = sum(one.gpu_h or 0.0 for one in limits)
    gpus = f" and {short_number(gpu_h)} GPU hours" if gpu_h else ""
    what = f"{short_number(hours)} {'node' if nodes else 'core'} hours{gpus}"
    console.print(f"\nAt most {what}: all jobs for their whole walltime.")
    console.print("Jobs end as soon as the work is done; jobs that are lost are replaced.")
    if not estimating:
        console.print("--estimate runs a few chunks and says what the campaign would really take.")


def short_walltime(minutes: int) -> str:
    """Return a walltime: 30 min, 2 h, 1:30 h."""
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60}{f':{minutes % 60:02d}' if minutes % 60 else ''} h"
