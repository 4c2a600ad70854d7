"""Sums of a campaign: counts, stage times, and the timing table, from receipts only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from e2edist.records.parts import write_batches
from e2edist.records.receipt import Receipt, StageTimes, add_times

from .quality import Quality, add_quality, constant_names, warnings

#: Chunks of a row group.
_ROW_GROUP = 5_000
_TIMING_COLUMNS: dict[str, pa.DataType] = {
    "chunk": pa.string(),  # its id, the name of its part
    "stage": pa.string(),  # named as the reference's modules
    "wall_ms": pa.float64(),  # of the thread that ran the chunk
    "cpu_ms": pa.float64(),  # of that thread
    "items": pa.int64(),  # events for source and DetFrameProducer, objects for the others
    "started": pa.float64(),  # of the chunk, seconds since 1970
    "host": pa.string(),  # of the worker
    "pid": pa.int32(),  # of the worker
    "pool": pa.string(),  # name in the site file
    "device": pa.string(),  # processor or GPU that ran the model
    "provider": pa.string(),  # cpu, cuda or tensorrt
}


@dataclass(slots=True)
class Summary:
    """Sums over receipts.

    Attributes
    ----------
    chunks, events, objects : int
    events_in_mask : int, optional
        Events in the lumi mask, where a campaign had one; those of campaigns without a mask all count.
    status : Counter
        Objects by status.
    stages : dict
        Stage -> (wall ms, cpu ms, items), summed over chunks.
    peak_mib : int
        Largest memory of a worker.
    quality : dict
        Counts and histograms of scores and inputs (`e2edist.accounting.quality`).
    warnings : list of str
        What looks wrong with them.
    pools : dict
        Pool -> (wall ms of its threads, events).
    versions : dict
        Package -> versions of it that made parts.
    """

    chunks: int = 0
    events: int = 0
    events_in_mask: int | None = None
    objects: int = 0
    status: Counter[str] = field(default_factory=Counter)
    stages: StageTimes = field(default_factory=dict)
    peak_mib: int = 0
    quality: Quality = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    pools: dict[str, tuple[float, int]] = field(default_factory=dict)
    versions: dict[str, set[str]] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """Return what people and programs want to know, ready for JSON; the same in whatever order added."""
        return {
            "chunks": self.chunks,
            **({} if self.events_in_mask is None else {"events_in_mask": self.events_in_mask}),
            "objects": self.objects,
            "status": dict(sorted(self.status.items())),
            "stages": {
                name: {"wall_ms": round(wall, 3), "cpu_ms": round(cpu, 3), "items": items}
                for name, (wall, cpu, items) in self.stages.items()
            },
            "peak_mib": self.peak_mib,
            "versions": {name: sorted(some) for name, some in sorted(self.versions.items())},
            "warnings": self.warnings,
        }


def summarise(receipts: Iterable[Receipt]) -> Summary:
    """Add up receipts."""
    total, constant = Summary(), Counter[str]()
    unmasked = 0
    for receipt in receipts:
        quality = receipt.quality
        constant.update(constant_names(quality))
        total.chunks += 1
        total.events += receipt.events
        if receipt.events_in_mask is None:
            unmasked += receipt.events
        else:
            total.events_in_mask = (total.events_in_mask or 0) + receipt.events_in_mask
        total.objects += receipt.rows
        total.status.update(receipt.status)
        total.peak_mib = max(total.peak_mib, receipt.peak_mib)
        total.stages = add_times(total.stages, receipt.stages)
        total.quality = add_quality(total.quality, quality)
        _add_pool(total, receipt)
        for name, version in receipt.versions.items():
            total.versions.setdefault(name, set()).add(version)
    if total.events_in_mask is not None:
        total.events_in_mask += unmasked
    total.warnings = _mask_warnings(total) + warnings(total.quality, constant)
    return total


def _mask_warnings(total: Summary) -> list[str]:
    if total.events == 0 and total.chunks:
        return ["the input files that were read hold no events, so there are no rows"]
    if total.events_in_mask != 0 or total.events == 0:
        return []
    return [
        f"none of the {total.events:,} events is in the lumi mask, so there are no rows: a golden JSON "
        "is for data of its own runs, and simulated events (run 1) take none"
    ]


def _add_pool(total: Summary, receipt: Receipt) -> None:
    wall, events = total.pools.get(receipt.pool, (0.0, 0))
    total.pools[receipt.pool] = (wall + receipt.wall_s * 1e3, events + receipt.events)


def write_timing(path: Path, receipts: Mapping[str, Receipt]) -> None:
    """Write ``timing.parquet``: one row per chunk and stage; cpu is that of the chunk's own thread."""
    schema = pa.schema(_TIMING_COLUMNS)

    def batches() -> Iterator[pa.Table]:
        names = iter(sorted(receipts))
        while some := list(islice(names, _ROW_GROUP)):
            rows = [row for name in some for row in _rows(receipts[name])]
            yield pa.Table.from_pylist(rows, schema=schema)

    write_batches(path, schema, batches())


def _rows(receipt: Receipt) -> Iterable[dict[str, Any]]:
    common = {
        "chunk": receipt.id,
        **{key: getattr(receipt, key) for key in ("started", "host", "pid", "pool")},
        **{key: receipt.engine.get(key, "") for key in ("device", "provider")},
    }
    for stage, (wall, cpu, items) in receipt.stages.items():
        yield common | {"stage": stage, "wall_ms": wall, "cpu_ms": cpu, "items": items}
