"""One very large file: ``python tests/benchmarks/large.py 10000000 [--minutes M]``.

Writes a file of so many events with few hits each, plans it, and runs a campaign over it, which is
interrupted after some minutes if it does not end before. Prints as JSON: seconds and memory to plan, chunks,
seconds to the first part, peak memory of driver and workers, and the share of the time in which each worker
ran a chunk.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import dataset
import numpy as np
import psutil
import uproot

from e2edist.campaign.planning import make_plan
from e2edist.config.tagger import load_tagger
from e2edist.demo import make_events
from e2edist.records.ledger import read_receipts
from e2edist.records.plan import read_plan

#: Events of a cluster, and hits that an event keeps.
_CLUSTER, _HITS = 20_000, 6


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], allow_abbrev=False)
    p.add_argument("events", type=int, nargs="?", default=10_000_000)
    p.add_argument("--cluster", type=int, default=_CLUSTER, help=f"events of a cluster ({_CLUSTER:,})")
    p.add_argument("--workers", type=int, default=2, help="of one thread (2)")
    p.add_argument("--minutes", type=float, default=5.0, help="then the campaign is interrupted (5)")
    p.add_argument("--file", type=Path, help="use this file, or write it; it stays")
    return p


def write(path: Path, events: int, cluster: int) -> None:
    """Write demo events over and over, of each event the hottest hits only."""
    tagger = load_tagger("eg")
    demo = make_events(path.parent / "demo", "eg", 2000, 5, files=1)
    records = dataset.records_of(dataset.batches(demo, tagger), tagger)
    for name, hits in records.items():
        if "energy" in ak.fields(hits):
            keep = ak.argsort(hits["energy"], ascending=False)[:, :_HITS]
            records[name] = hits[ak.sort(keep)]
    count = len(next(iter(records.values())))
    rows = np.resize(np.arange(count), cluster)
    records = {name: ak.to_packed(table[rows]) for name, table in records.items()}
    with uproot.recreate(path, compression=uproot.ZSTD(1)) as file:
        types = {name: table.type.content for name, table in records.items()}
        tree = file.mktree("Events", types | {"run": "u4", "luminosityBlock": "u4", "event": "u8"})
        for start in range(0, events, cluster):
            some = min(cluster, events - start)
            ones = np.ones(some, "u4")
            numbers = {
                "run": ones,
                "luminosityBlock": ones,
                "event": np.arange(start, start + some, dtype="u8"),
            }
            tree.extend({name: table[:some] for name, table in records.items()} | numbers)


def plan(path: Path) -> dict[str, Any]:
    """Plan the file in a process of its own; return seconds and peak memory."""
    code = "import sys, large; large.plan_here(sys.argv[1])"
    env = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    }
    done = subprocess.run([sys.executable, "-c", code, str(path)], env=env, capture_output=True, check=True)
    return json.loads(done.stdout)


def plan_here(path: str) -> None:
    """Print what planning took."""
    before, began = _peak_mib(), time.perf_counter()
    made = make_plan(load_tagger("eg"), [path])
    seconds = time.perf_counter() - began
    clusters = len(made.files[0].edges) - 1
    print(json.dumps({"seconds": seconds, "clusters": clusters, "MiB more": _peak_mib() - before}))


def _peak_mib() -> int:
    # Not ru_maxrss: a child begins with its parent's.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def campaign(path: Path, out: Path, workers: int, minutes: float) -> dict[str, Any]:
    """Run a campaign over the file for so long; return what it took."""
    line = [sys.executable, "-m", "e2edist.submit", "--input", str(path), "--output", str(out)]
    line += ["--workers", str(workers), "--threads", "1"]
    began = time.time()
    process = subprocess.Popen(
        line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    peaks = {"driver": 0.0, "worker": 0.0}
    done = threading.Event()
    watch = threading.Thread(target=_watch, args=(process.pid, peaks, done))
    watch.start()
    try:
        process.communicate(timeout=minutes * 60)
        whole = True
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        whole = False
    ended = time.time()
    done.set()
    watch.join()
    ending = {"whole": whole, "code": process.returncode, "seconds": ended - began}
    return ending | facts(out, began) | {f"{name} peak MiB": round(mib) for name, mib in peaks.items()}


def _watch(pid: int, peaks: dict[str, float], done: threading.Event) -> None:
    """Keep the largest memory of the driver, and of any process below it, until `done`."""
    driver = psutil.Process(pid)
    while not done.wait(0.5):
        try:
            for name, some in (("driver", [driver]), ("worker", driver.children(recursive=True))):
                peaks[name] = max([peaks[name], *(one.memory_info().rss / 2**20 for one in some)])
        except psutil.NoSuchProcess:
            continue


def facts(out: Path, began: float) -> dict[str, Any]:
    """Return what the receipts tell: first part, chunks, rate, share of the time that workers ran a chunk."""
    frozen = read_plan(out)
    receipts = sorted(read_receipts(out, frozen.fingerprint), key=lambda one: one.started)
    spans = [(one.started, one.started + one.wall_s) for one in receipts]
    first, last = spans[0][0], max(stop for _, stop in spans)
    busy: dict[int, float] = {}
    for one, (start, stop) in zip(receipts, spans, strict=True):
        busy[one.pid] = busy.get(one.pid, 0.0) + stop - start
    events = sum(one.events for one in receipts)
    return {
        "chunks planned": len(frozen.chunks()),
        "plan.json bytes": (out / "plan.json").stat().st_size,
        "parts": len(receipts),
        "events": events,
        "first part after s": min(stop for _, stop in spans) - began,
        "events/s": events / (last - first),
        "busy share of each worker": [round(seconds / (last - first), 4) for seconds in busy.values()],
        "longest chunk s": max(stop - start for start, stop in spans),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Run what the command line says."""
    args = parser().parse_args(argv)
    folder = Path(tempfile.mkdtemp(prefix="e2edist-large-", dir=os.environ.get("TMPDIR")))
    path = args.file or folder / "large.root"
    found: dict[str, Any] = {"events": args.events}
    try:
        began = time.perf_counter()
        if not path.exists():
            write(path, args.events, args.cluster)
            found["written in s"] = time.perf_counter() - began
        found["file GB"] = path.stat().st_size / 1e9
        found["plan"] = plan(path)
        print(json.dumps(found), file=sys.stderr, flush=True)
        found["campaign"] = campaign(path, folder / "out", args.workers, args.minutes)
        print(json.dumps(found, indent=1))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
