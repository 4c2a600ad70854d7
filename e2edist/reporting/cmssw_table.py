"""Time per module on each device; CMSSW's timing beside ours, in its own format.

CMSSW's FastTimerService writes ``resources.json``: ``resources``, ``total``, ``modules``; each record has
``type``, ``label``, ``events``, ``time_thread`` and ``time_real`` in ms summed over the job, ``mem_alloc``,
``mem_free`` in kB; two pseudo-modules are called eventsetup and other (docs/images.md, Reference modules).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from e2edist.config.text_files import read_text
from e2edist.errors import InputError
from e2edist.records.receipt import EVENTSETUP
from e2edist.storage.publish import publish

from .campaign_stats import CampaignStats

_RESOURCES = [
    {"name": "time_real", "description": "real time", "unit": "ms", "title": "Time"},
    {"name": "time_thread", "description": "cpu time", "unit": "ms", "title": "Time"},
    {"name": "mem_alloc", "description": "allocated memory", "unit": "kB", "title": "Memory"},
    {"name": "mem_free", "description": "deallocated memory", "unit": "kB", "title": "Memory"},
]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table: one kind of device, ours or CMSSW's.

    Attributes
    ----------
    modules : dict of str to float
        Module -> wall ms per event.
    setup_ms : float
        Event setup, over the whole job.
    """

    name: str
    events: int
    modules: dict[str, float] = field(default_factory=dict)
    setup_ms: float = 0.0

    @property
    def total_ms(self) -> float:
        """Wall ms per event and thread, event setup left out."""
        return sum(self.modules.values())

    @property
    def events_per_s(self) -> float:
        """Of one thread."""
        return 1e3 / self.total_ms if self.total_ms else 0.0


def campaign_columns(campaigns: Sequence[CampaignStats]) -> list[Column]:
    """Return a column for each pool and device of each campaign."""
    found = []
    for campaign in campaigns:
        for device in campaign.devices:
            modules = {n: ms for n, ms in device.ms_per_event().items() if n != EVENTSETUP}
            setup = device.stages.get(EVENTSETUP, (0.0, 0.0, 0))[0]
            found.append(Column(f"{campaign.name}, {device.name}", device.events, modules, setup))
    return found


def read_cmssw(path: Path) -> Column:
    """Return the column of a FastTimerService file.

    Raises
    ------
    InputError
        It can't be read, or is no such file.
    """
    try:
        content = json.loads(read_text(path))
        events = int(content["total"]["events"])
        times: dict[str, float] = {}
        for module in content["modules"]:
            name = str(module["type"] if module["label"] not in (EVENTSETUP, "other") else module["label"])
            times[name] = times.get(name, 0.0) + float(module["time_real"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        what = f"is no FastTimerService file ({type(error).__name__}: {error})"
        raise InputError(str(path), what, "Name the resources.json that CMSSW wrote.") from error
    if events <= 0:
        raise InputError(str(path), "counts no events", "Name the resources.json of a job that ran.")
    setup = times.pop(EVENTSETUP, 0.0)
    return Column(f"CMSSW, {path.name}", events, {name: ms / events for name, ms in times.items()}, setup)


def write_cmssw(path: Path, campaign: CampaignStats) -> None:
    """Write a campaign's timing as FastTimerService would.

    Raises
    ------
    OutputError
        The file can't be written.
    """
    modules: list[dict[str, Any]] = [
        {
            "type": "other" if name in (EVENTSETUP, "other") else name,
            "label": name,
            "events": campaign.total.events,
            "time_real": wall,
            "time_thread": cpu,
            "mem_alloc": 0.0,
            "mem_free": 0.0,
        }
        for name, (wall, cpu, _) in campaign.total.stages.items()
    ]
    names = ("time_real", "time_thread", "mem_alloc", "mem_free")
    total: dict[str, Any] = {
        "type": "Job",
        "label": f"{campaign.tagger} {campaign.name}",
        "events": campaign.total.events,
    }
    total |= {name: sum(float(module[name]) for module in modules) for name in names}
    content = {"resources": _RESOURCES, "total": total, "modules": modules}
    with publish(path) as draft:
        draft.write_text(json.dumps(content, indent=1), encoding="utf-8")


def table_rows(columns: Sequence[Column]) -> list[list[str]]:
    """Return the table, head first: ms per event and module, sums, rates, gain over the first column."""
    names = list(dict.fromkeys(name for column in columns for name in column.modules))
    table = [["ms / event", *(column.name for column in columns)]]
    for name in names:
        found = (column.modules.get(name) for column in columns)
        table.append([name, *("" if ms is None else f"{ms:.4g}" for ms in found)])
    table.append(["all", *(f"{column.total_ms:.4g}" for column in columns)])
    table.append(["events / s of a thread", *(f"{column.events_per_s:,.0f}" for column in columns)])
    if len(columns) > 1:
        table.append(["gain", *(_gain(columns[0], column) for column in columns)])
    table.append([f"{EVENTSETUP} [ms], whole job", *(f"{column.setup_ms:,.0f}" for column in columns)])
    return table


def _gain(first: Column, column: Column) -> str:
    if column is first or not first.events_per_s:
        return ""
    return f"{column.events_per_s / first.events_per_s - 1:+.1%}"


def write_table(folder: Path, table: list[list[str]]) -> None:
    """Write the table as ``table.md`` and ``table.csv``."""
    head, *body = table
    marks = "|".join(["---", *("---:" for _ in head[1:])])
    lines = [f"| {' | '.join(row)} |" for row in (head, *body)]
    text = "\n".join([lines[0], f"|{marks}|", *lines[1:], ""])
    quoted = "\n".join(",".join(f'"{cell}"' for cell in row) for row in table) + "\n"
    for name, content in (("table.md", text), ("table.csv", quoted)):
        with publish(folder / name) as draft:
            draft.write_text(content, encoding="utf-8")
