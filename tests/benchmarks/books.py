"""Aggregating very many rows: ``python tests/benchmarks/books.py [ROWS] [PARTS]`` (10^7 rows in 10^4 parts).

Makes a campaign of synthetic parts, aggregates it, and says how long it took and how much memory; then
deletes, doubles, corrupts and swaps a part, and says what verifying finds.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from simulated import make_plan, make_receipt

from e2edist.campaign.chunk import PREDICTIONS, Chunk
from e2edist.campaign.plan import Plan
from e2edist.storage.parts import COLUMNS, write_part


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
        name: (found | numbers).get(name, pa.nulls(rows, kind)).cast(kind) for name, kind in COLUMNS.items()
    }
    return pa.table(columns | {"score": pa.array(rng.random(rows, np.float32))})


def make_campaign(folder: Path, rows: int, parts: int) -> Plan:
    """Write a finished campaign of synthetic parts."""
    plan = make_plan(parts)
    plan.write(folder)
    each = rows // parts // 2 * 2
    for chunk in plan.chunks():
        table = rows_of(chunk, each)
        receipt = make_receipt(chunk, plan.fingerprint) | {"rows": each}
        write_part(folder / PREDICTIONS / f"{chunk.id}.parquet", table, lambda receipt=receipt: receipt)
    return plan


def aggregate(*words: object) -> tuple[int, str]:
    """Run the verb in a process of its own; return code and what it said."""
    line = [sys.executable, "-m", "e2edist.aggregate", *map(str, words)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def break_parts(folder: Path, plan: Plan) -> None:
    """Delete a part, double one under another name, corrupt one, put a foreign one there."""
    paths = [folder / PREDICTIONS / f"{chunk.id}.parquet" for chunk in plan.chunks()[:4]]
    paths[0].unlink()
    twice = plan.chunks()[1].halves()[0]
    proof = make_receipt(twice, plan.fingerprint) | {"rows": 2}
    write_part(folder / PREDICTIONS / f"{twice.id}.parquet", rows_of(twice, 2), lambda: proof)
    content = bytearray(paths[2].read_bytes())
    content[len(content) // 3] ^= 1
    paths[2].write_bytes(content)
    other = make_receipt(plan.chunks()[3], "another plan") | {"rows": 2}
    write_part(paths[3], rows_of(plan.chunks()[3], 2), lambda: other)


def main() -> None:
    """Make, aggregate, break, verify."""
    rows, parts = (
        int(sys.argv[1]) if len(sys.argv) > 1 else 10**7,
        int(sys.argv[2]) if len(sys.argv) > 2 else 10**4,
    )
    folder = Path(tempfile.mkdtemp(prefix="e2edist-books-", dir=os.environ.get("TMPDIR")))
    try:
        began = time.perf_counter()
        plan = make_campaign(folder, rows, parts)
        print(f"{rows:,} rows in {parts:,} parts made in {time.perf_counter() - began:.0f} s", flush=True)
        began = time.perf_counter()
        code, said = aggregate(folder)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(said, f"exit code {code}, {time.perf_counter() - began:.0f} s, {peak:.0f} MiB", flush=True)
        break_parts(folder, plan)
        print(aggregate(folder, "--verify")[1])
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
