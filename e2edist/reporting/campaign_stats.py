"""All numbers of one campaign that a report shows; read once, chunk by chunk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from e2edist.accounting.bill import PoolBill, make_bill
from e2edist.accounting.summary import Summary, summarise
from e2edist.accounting.usage import read_commands
from e2edist.demo.networks import demo_note
from e2edist.imaging.event_batch import Array
from e2edist.records.chunk import Chunk
from e2edist.records.ledger import read_receipts
from e2edist.records.losses import read_losses, unwanted_skips
from e2edist.records.plan import Plan, require_plan
from e2edist.records.receipt import EVENTSETUP, Receipt, StageTimes, add_times

from .names import class_names


@dataclass(slots=True)
class DeviceStats:
    """Chunks that ran alike: one pool on one kind of device.

    Attributes
    ----------
    stages : dict
        Stage -> (wall ms, cpu ms, items), summed over its threads.
    """

    pool: str
    device: str
    provider: str
    chunks: int = 0
    events: int = 0
    objects: int = 0
    stages: StageTimes = field(default_factory=dict)

    @property
    def name(self) -> str:
        """For legends and tables."""
        return f"{self.pool}: {self.device}"

    def ms_per_event(self) -> dict[str, float]:
        """Return stage -> wall milliseconds per event."""
        return {name: times[0] / max(1, self.events) for name, times in self.stages.items()}

    def events_per_s(self) -> float:
        """Return events per second of one thread, without setting up."""
        wall = sum(times[0] for name, times in self.stages.items() if name != EVENTSETUP)
        return self.events / wall * 1e3 if wall else 0.0


@dataclass(slots=True)
class CampaignStats:
    """One campaign.

    Attributes
    ----------
    name : str
        For legends and titles.
    started, wall_s, setup_s, events : array, shape (chunks,)
        Of each chunk: seconds since 1970, seconds, seconds of them that were setting up, entries.
    worker : list of (host, pid)
        Of each chunk.
    parts : list of str
        Ids of the chunks.
    provenance : dict of str to Counter
        What parts say of where they come from -> how many say so.
    events_in_mask : int
        Events in the lumi mask, of those done; without a mask nothing.
    """

    name: str
    folder: Path
    plan: Plan
    total: Summary
    devices: list[DeviceStats]
    started: Array
    wall_s: Array
    setup_s: Array
    events: Array
    worker: list[tuple[str, int]]
    parts: list[str]
    provenance: dict[str, Counter[str]]
    events_in_mask: int
    losses: list[dict[str, Any]]
    commands: list[str]
    bill: list[PoolBill]

    @property
    def tagger(self) -> str:
        """Name of the tagger."""
        return str(self.plan.tagger.get("name", "?"))

    @property
    def classes(self) -> tuple[str, ...]:
        """What the truth labels 0, 1 and so on are called."""
        return class_names(self.plan)

    @property
    def demo_note(self) -> str:
        """The sentence on a demo network that ran on other than demo events; empty elsewhere."""
        sha256 = str(self.plan.tagger.get("model", {}).get("sha256", ""))
        return demo_note(sha256, [file.url for file in self.plan.files])

    @property
    def lost(self) -> int:
        """Events that are in no part and were given up, in skipped files too unless that was asked for."""
        given_up: int = sum(row["stop"] - row["start"] for row in self.losses if row.get("stop") is not None)
        return given_up + unwanted_skips(self.plan)

    @property
    def events_planned(self) -> int:
        """Events of all inputs, of skipped files too unless that was asked for."""
        return self.plan.events + unwanted_skips(self.plan)

    @property
    def span_s(self) -> float:
        """Seconds in which at least one chunk ran."""
        if not len(self.started):
            return 0.0
        order = np.argsort(self.started)
        started, ended = self.started[order], np.maximum.accumulate((self.started + self.wall_s)[order])
        gaps = np.maximum(0.0, started[1:] - ended[:-1]).sum()
        return float(ended[-1] - started[0] - gaps)

    @property
    def rate(self) -> float:
        """Events per second while chunks ran."""
        return self.total.events / self.span_s if self.span_s else 0.0

    def chunks(self) -> list[Chunk]:
        """Return the planned chunks that are parts, from all over the campaign first."""
        done = set(self.parts)
        found = [chunk for chunk in self.plan.chunks() if chunk.id in done]
        step = max(1, len(found) // 8)
        return [chunk for start in range(step) for chunk in found[start::step]]

    @property
    def threads(self) -> int:
        """Most chunks that ran at one time."""
        return most_concurrent(self.started, self.wall_s)


def most_concurrent(started: Array, wall_s: Array) -> int:
    """Return how many of some spans overlap at most."""
    if not len(started):
        return 0
    edges = np.concatenate([started, started + wall_s])
    steps = np.concatenate([np.ones(len(started)), -np.ones(len(started))])
    # An end comes before a beginning at the same moment.
    most: float = np.cumsum(steps[np.lexsort((steps, edges))]).max()
    return int(most)


def read_stats(folder: Path, name: str = "") -> CampaignStats:
    """Return the numbers of the campaign in a folder, under that folder's name or another.

    Raises
    ------
    OutputError
        There is no campaign, or its plan can't be read.
    """
    plan = require_plan(folder)
    reader = _Reader()
    total = summarise(reader.collect(read_receipts(folder, plan.fingerprint)))
    return CampaignStats(
        name=name or folder.absolute().name,
        folder=folder,
        plan=plan,
        total=total,
        devices=sorted(reader.devices.values(), key=lambda device: device.name),
        started=np.array(reader.started, np.float64),
        wall_s=np.array(reader.wall_s, np.float64),
        setup_s=np.array(reader.setup_s, np.float64),
        events=np.array(reader.events, np.float64),
        worker=reader.worker,
        parts=reader.parts,
        provenance=reader.provenance,
        events_in_mask=reader.events_in_mask,
        losses=read_losses(folder),
        commands=read_commands(folder),
        bill=make_bill(folder, total.pools),
    )


@dataclass(slots=True)
class _Reader:
    devices: dict[tuple[str, str], DeviceStats] = field(default_factory=dict)
    started: list[float] = field(default_factory=list)
    wall_s: list[float] = field(default_factory=list)
    setup_s: list[float] = field(default_factory=list)
    events: list[int] = field(default_factory=list)
    worker: list[tuple[str, int]] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    provenance: dict[str, Counter[str]] = field(default_factory=dict)
    events_in_mask: int = 0

    def collect(self, receipts: Iterator[Receipt]) -> Iterator[Receipt]:
        """Take notes of receipts on their way."""
        for receipt in receipts:
            self._add(receipt)
            yield receipt

    def _add(self, receipt: Receipt) -> None:
        engine = receipt.engine
        key = receipt.pool, engine.get("device", "")
        device = self.devices.setdefault(key, DeviceStats(*key, engine.get("provider", "")))
        device.chunks += 1
        device.events += receipt.events
        device.objects += receipt.rows
        device.stages = add_times(device.stages, receipt.stages)
        self.parts.append(receipt.id)
        self.started.append(receipt.started)
        self.wall_s.append(receipt.wall_s)
        self.setup_s.append(receipt.setup_s)
        self.events.append(receipt.events)
        self.events_in_mask += receipt.events_in_mask or 0
        self.worker.append((receipt.host, receipt.pid))
        facts = {f"engine of {receipt.pool}": _text(engine), "versions": _text(receipt.versions)}
        facts |= {name: getattr(receipt, name) for name in ("image", "validation")}
        noted = [("notes on inputs", note) for note in receipt.notes]
        for name, text in (*facts.items(), *noted):
            if text:
                self.provenance.setdefault(name, Counter())[text] += 1


def _text(facts: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items())


def throughput(campaign: CampaignStats, bins: int = 60) -> tuple[Array, Array]:
    """Return edges in seconds from the first chunk on, and events per second between them.

    The events of a chunk are spread evenly over its time without setting up.
    """
    if not len(campaign.started):
        return np.array([0.0, 1.0]), np.zeros(1)
    begin = campaign.started - campaign.started.min()
    start, stop = begin + campaign.setup_s, begin + campaign.wall_s
    edges = np.linspace(0.0, max(stop.max(), 1e-3), bins + 1)
    rate = campaign.events / np.maximum(stop - start, 1e-9)
    done = np.zeros(bins)
    for first, last, speed in zip(start, stop, rate, strict=True):
        overlap = np.minimum(edges[1:], last) - np.maximum(edges[:-1], first)
        done += np.maximum(overlap, 0.0) * speed
    return edges, done / np.diff(edges)


def efficiency(campaign: CampaignStats, *, nodes: bool) -> dict[str, float]:
    """Return worker (or node) -> fraction of its time that its threads were in chunks.

    Time counts from its first chunk to its last, times the most chunks that it ran at once.
    """
    groups: dict[str, list[int]] = {}
    for i, (host, pid) in enumerate(campaign.worker):
        groups.setdefault(host if nodes else f"{host} {pid}", []).append(i)
    found = {}
    for name, rows in sorted(groups.items()):
        started, wall = campaign.started[rows], campaign.wall_s[rows]
        span = float((started + wall).max() - started.min())
        found[name] = float(wall.sum() / max(1e-9, span * most_concurrent(started, wall)))
    return found


def roofline(device: DeviceStats) -> dict[str, float]:
    """Return stage -> events per second of one thread that did nothing else; the lowest bounds it."""
    steps = {name: times[0] for name, times in device.stages.items() if name != EVENTSETUP and times[0] > 0}
    return {name: device.events / wall * 1e3 for name, wall in steps.items()}
