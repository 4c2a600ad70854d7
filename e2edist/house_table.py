"""The look of every table on the terminal."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Column, Table


def make_table(*columns: Column | str, title: str = "", header: bool = True) -> Table:
    """Return a table without a frame, whose title stands above its first column."""
    return Table(
        *columns,
        title=title or None,
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
        pad_edge=False,
        show_header=header,
    )


def number_columns(*names: str) -> list[Column]:
    """Return columns of numbers, aligned right and never cut."""
    return [Column(name, justify="right", no_wrap=True) for name in names]
