"""Scaling as it would be: ``python tests/benchmarks/scaling.py CAMPAIGN_FOLDER --json scaling.json``.

Takes the timing of finished campaigns (what a chunk and an event take, how much that scatters, how long
workers take to start and set up, the gap between two chunks) and lets the real driver give out chunks to
thousands of workers that only count time. Strong: the same events on any number of workers; weak: events in
proportion to them. Waiting in a batch system's queue is left out, and so is a file system that gets slower
with many readers. The JSON is for ``python -m e2edist.report FOLDER --scaling scaling.json``.
"""

from __future__ import annotations

import argparse
import heapq
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from simulated import make_plan
from virtual import Run, Work, simulate

from e2edist.records.folder import CampaignFolder
from e2edist.records.ledger import read_receipts
from e2edist.records.plan import read_plan
from e2edist.records.receipt import Receipt

#: What driver and scheduler need for a chunk: CPU time of ``scale.py dask``, the idle workers' left out.
DISPATCH_MS = 2.0


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], allow_abbrev=False)
    p.add_argument(
        "folders", type=Path, nargs="+", metavar="DIR", help="output folders of finished campaigns"
    )
    p.add_argument("--workers", type=int, nargs="+", default=[4**i for i in range(7)], metavar="N")
    p.add_argument(
        "--minutes", type=float, default=10.0, help="work of each worker, of the most if strong (10)"
    )
    p.add_argument("--chunk-s", type=float, default=60.0, help="work that a planned chunk is (60)")
    p.add_argument("--chunk-events", type=int, help="instead: events of a planned chunk")
    p.add_argument("--dispatch-ms", type=float, default=DISPATCH_MS, help=f"for each chunk ({DISPATCH_MS})")
    p.add_argument("--slow", type=float, nargs=2, default=(0.0, 1.0), metavar=("FRACTION", "TIMES"),
                   help="workers that are slower, and so many times")  # fmt: skip
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--json", type=Path, metavar="FILE", help="for report --scaling")
    return p


def work_of(folders: Iterable[Path], dispatch_ms: float = 0.0) -> Work:
    """Return what the chunks of finished campaigns took, as distributions."""
    times, starts, setups, gaps = [], [], [], []
    for folder in folders:
        plan = read_plan(folder)
        receipts = sorted(read_receipts(folder, plan.fingerprint), key=lambda one: one.started)
        times += [(one.events, one.wall_s - one.setup_s) for one in receipts if one.events]
        began = _began(folder)
        for some in _by_worker(receipts).values():
            starts.append(max(0.0, some[0].started - began) if began else 0.0)
            setups.append(some[0].setup_s)
            gaps += _gaps(some)
    fixed, per_event, ratios = _line(np.array(times, np.float64))
    gap = float(np.median(gaps)) if gaps else 0.0
    return Work(fixed, per_event, ratios, tuple(starts), tuple(setups), gap, dispatch_ms / 1e3)


def _by_worker(receipts: Iterable[Receipt]) -> dict[tuple[str, int], list[Receipt]]:
    found: dict[tuple[str, int], list[Receipt]] = {}
    for one in receipts:
        found.setdefault((one.host, one.pid), []).append(one)
    return found


def _began(folder: Path) -> float:
    """Return when the driver began to wait for workers, 0 if it kept no journal."""
    try:
        lines = CampaignFolder(folder).usage.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return 0.0
    return min((line["t"] for line in map(json.loads, lines) if "t" in line), default=0.0)


def _gaps(receipts: Sequence[Receipt]) -> list[float]:
    """Return the pauses of a worker's threads; receipts don't name them: it is the one that ended first."""
    ended: list[float] = []
    gaps = []
    for one in receipts:
        if ended and ended[0] <= one.started + 1e-3:
            gaps.append(max(0.0, one.started - heapq.heappop(ended)))
        heapq.heappush(ended, one.started + one.wall_s)
    return gaps


def _line(times: Any) -> tuple[float, float, tuple[float, ...]]:
    """Return a chunk's seconds as fixed + per event, and the ratios of what was measured to that."""
    events, seconds = times.T
    fixed, per_event = 0.0, float(seconds.sum() / events.sum())
    if np.ptp(events) > 0.2 * events.max():
        ones = np.stack([np.ones_like(events), events], axis=1)
        fit = np.linalg.lstsq(ones, seconds, rcond=None)[0]
        if fit[0] > 0 and fit[1] > 0:
            fixed, per_event = float(fit[0]), float(fit[1])
    ratios = seconds / (fixed + per_event * events)
    return fixed, per_event, tuple(map(float, ratios / ratios.mean()))


def run_all(args: argparse.Namespace, work: Work) -> dict[str, list[Run]]:
    """Simulate and print both series."""
    chunk = args.chunk_events or max(1, round(args.chunk_s / work.per_event))
    each = max(1, round(args.minutes * 60 / work.per_event / chunk))
    found: dict[str, list[Run]] = {"strong": [], "weak": []}
    print(f"{'':7}{'workers':>8}{'events':>16}{'chunks':>9}{'wall':>14}  efficiency  start-up   tail")
    for mode, runs in found.items():
        for workers in sorted(args.workers):
            chunks = each * (max(args.workers) if mode == "strong" else workers)
            one = simulate(make_plan(chunks, chunk_events=chunk), workers, work, args.seed)
            runs.append(one)
            print(
                f"{mode:7}{workers:8,}{one.events:16,}{one.chunks:9,}{one.wall_s:12,.0f} s "
                f"{one.efficiency:11.3f}{one.start_loss:10.1%}{one.tail_loss:7.1%}",
                flush=True,
            )
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Run what the command line says."""
    args = parser().parse_args(argv)
    work = replace(work_of(args.folders, args.dispatch_ms), slow=tuple(args.slow))
    spread = float(np.std(work.ratios))
    print(
        f"{len(work.ratios)} chunks: {work.fixed * 1e3:.0f} ms + {work.per_event * 1e6:.1f} us/event, "
        f"scatter {spread:.1%}; {len(work.starts)} workers: start {np.median(work.starts):.1f} s, set up "
        f"{np.median(work.setups):.1f} s, gap {work.gap * 1e3:.0f} ms"
    )
    label = f"{args.minutes:g} min of work per worker, chunks of {args.chunk_s:g} s"
    if args.chunk_events:
        label = f"{args.minutes:g} min of work per worker, chunks of {args.chunk_events:,} events"
    found = run_all(args, work)
    series = [
        {"kind": "simulated", "mode": mode, "label": label, "points": [asdict(run) for run in runs]}
        for mode, runs in found.items()
    ]
    if args.json:
        args.json.write_text(json.dumps({"series": series, "drawn from": asdict(work)}, indent=1), "utf-8")


if __name__ == "__main__":
    main()
