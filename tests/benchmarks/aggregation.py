"""Aggregating very many rows: ``python tests/benchmarks/aggregation.py [ROWS] [PARTS]`` (10^7 in 10^4).

Makes a campaign of synthetic parts and aggregates it twice; then deletes, doubles, corrupts and swaps a part
and verifies. Prints as JSON what each step took, its peak memory, and what it found.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from simulated import make_plan, make_receipt

from e2edist.records.chunk import Chunk
from e2edist.records.folder import CampaignFolder
from e2edist.records.part_columns import PART_COLUMNS
from e2edist.records.parts import write_part
from e2edist.records.plan import Plan


def rows_of(chunk: Chunk, rows: int) -> pa.Table:
    """Return rows as a tagger of photons and electrons writes them."""
    rng = np.random.default_rng(chunk.start)
    entry = np.sort(rng.integers(chunk.start, chunk.stop, rows // 2)).repeat(2)
    words = {"uuid": np.full(rows, chunk.uuid), "kind": np.tile(["photon", "electron"], rows // 2)}
    words["status"] = np.where(rng.random(rows) < 0.6, "ok", "pt")
    found = {name: pa.array(values).dictionary_encode() for name, values in words.items()}
    found |= {"entry": pa.array(entry), "object": pa.array(np.arange(rows, dtype=np.int32))}
    numbers = {n: pa.array(rng.random(rows, np.float32)) for n in ("pt", "eta", "phi")}
    columns = {
        name: (found | numbers).get(name, pa.nulls(rows, column.type)).cast(column.type)
        for name, column in PART_COLUMNS.items()
    }
    return pa.table(columns | {"score": pa.array(rng.random(rows, np.float32))})


def make_campaign(folder: Path, rows: int, parts: int) -> Plan:
    """Write a finished campaign of synthetic parts."""
    plan = make_plan(parts)
    plan.write(folder)
    each = rows // parts // 2 * 2
    for chunk in plan.chunks():
        table = rows_of(chunk, each)
        receipt = replace(make_receipt(chunk, plan.fingerprint), rows=each)
        write_part(CampaignFolder(folder).part(chunk.id), table, lambda receipt=receipt: receipt)
    return plan


def aggregate(*words: object) -> dict[str, Any]:
    """Run the verb in a process of its own; return its code, what it said, seconds and peak memory."""
    line = [sys.executable, "-m", "e2edist.aggregate", *map(str, words)]
    began = time.perf_counter()
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)  # the usage of this child alone
    process.returncode = os.waitstatus_to_exitcode(status)
    facts = {
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_s": round(used.ru_utime + used.ru_stime, 1),
    }
    return {"code": process.returncode, "said": said} | facts | {"peak_mib": used.ru_maxrss // 1024}


def break_parts(folder: Path, plan: Plan) -> None:
    """Delete a part, double one under another name, corrupt one, put a foreign one there."""
    paths = [CampaignFolder(folder).part(chunk.id) for chunk in plan.chunks()[:4]]
    paths[0].unlink()
    twice = plan.chunks()[1].halves()[0]
    receipt = replace(make_receipt(twice, plan.fingerprint), rows=2)
    write_part(CampaignFolder(folder).part(twice.id), rows_of(twice, 2), lambda: receipt)
    content = bytearray(paths[2].read_bytes())
    content[len(content) // 3] ^= 1
    paths[2].write_bytes(content)
    other = replace(make_receipt(plan.chunks()[3], "another plan"), rows=2)
    write_part(paths[3], rows_of(plan.chunks()[3], 2), lambda: other)


def measure(rows: int, parts: int, folder: Path) -> dict[str, Any]:
    """Make, aggregate, aggregate again, break, verify; return what each came to."""
    began = time.perf_counter()
    plan = make_campaign(folder, rows, parts)
    found: dict[str, Any] = {"rows": rows, "parts": parts, "made_s": round(time.perf_counter() - began, 1)}
    for step in ("aggregate", "again"):
        found[step] = aggregate(folder)
    files = sorted((folder / "aggregated" / "table").glob("*.parquet"))
    found["file_mib"] = [round(path.stat().st_size / 2**20, 1) for path in files]
    found["rows_written"] = sum(pq.read_metadata(path).num_rows for path in files)
    break_parts(folder, plan)
    found["broken"] = aggregate(folder, "--verify")
    return found


def main() -> None:
    """Measure, and print it as JSON."""
    words = [int(word) for word in sys.argv[1:]]
    rows, parts = (*words, *(10**7, 10**4)[len(words) :])
    with tempfile.TemporaryDirectory(prefix="e2edist-aggregation-") as folder:
        print(json.dumps(measure(rows, parts, Path(folder)), indent=1))


if __name__ == "__main__":
    main()
