"""Scaling as it is: real campaigns on one and on two workers of one thread each.

    scaling_runs.py local --json measured.json     the pool of this machine
    scaling_runs.py slurm --json measured.json     jobs of the test cluster (see containers/test-clusters)

The events are the real ones, where they are to be had, or demo events, so many times over in each of as many
files as there are workers at most. Strong: all files on 1, 2, ... workers; weak: a file for each worker. Time
counts from where the first worker has set up to the end of the last chunk. Medians over rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from typing import Any

import dataset

from e2edist.records.ledger import read_receipts
from e2edist.records.plan import read_plan
from e2edist.records.receipt import EVENTSETUP

ROOT = Path(__file__).resolve().parents[2]


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], allow_abbrev=False)
    p.add_argument("where", choices=("local", "slurm"))
    p.add_argument("--tagger", choices=dataset.TAGGERS, default="eg")
    p.add_argument("--copies", type=int, default=60, help="of the events in each file (60)")
    p.add_argument("--workers", type=int, default=2, metavar="N", help="1, 2, 4 ... up to N (2)")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--json", type=Path, metavar="FILE", help="for scaling.py and report --scaling")
    p.add_argument("--keep", type=Path, metavar="DIR", help="keep the campaigns there, for scaling.py")
    return p


def site_of(where: str, cluster: Any, workers: int) -> str:
    """Return the site file of so many workers."""
    if cluster is None:
        pool = f'[pools.cpu]\nkind = "local"\nworkers = {workers}\nthreads = 1\n'
    else:
        pool = cluster.pool("cpu", workers, walltime_min=60)
    return f'name = "{where}"\n{pool}'


def run(folder: Path, files: list[str], tagger: str, site: str, env: dict[str, str]) -> dict[str, Any]:
    """Run a campaign to its end; return its events, seconds and rate."""
    folder.mkdir(parents=True)
    (folder / "site.toml").write_text(site, encoding="utf-8")
    line = [sys.executable, "-m", "e2edist.submit", "--site", str(folder / "site.toml"), "--tagger", tagger]
    line += ["--input", *files, "--output", str(folder / "out")]
    began = time.perf_counter()
    done = subprocess.run(line, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr + done.stdout)
    return {"command_s": time.perf_counter() - began} | times(folder / "out")


def times(folder: Path) -> dict[str, Any]:
    """Return what a campaign took.

    `wall_s` is from where a worker has set up to the end of the last chunk, `busy` the share of it in which
    workers ran chunks, which says something on a crowded machine too, and `cpu_us` CPU time per event.
    """
    plan = read_plan(folder)
    receipts = list(read_receipts(folder, plan.fingerprint))
    starts = [one.started + one.setup_s for one in receipts]
    ends = [one.started + one.wall_s for one in receipts]
    cpu = sum(s[1] for one in receipts for name, s in one.stages.items() if name != EVENTSETUP)
    events, wall = sum(one.events for one in receipts), max(ends) - min(starts)
    work = sum(end - start for start, end in zip(starts, ends, strict=True))
    workers = len({one.pid for one in receipts})
    return {"events": events, "wall_s": wall, "busy": work / wall / workers, "cpu_us": cpu / events * 1e3}


def series(runs: dict[tuple[str, int], list[dict[str, Any]]], label: str) -> list[dict[str, Any]]:
    """Return the strong and the weak series; efficiency is against the fewest workers of a round."""
    found = []
    for mode in ("strong", "weak"):
        mine = {workers: some for (kind, workers), some in sorted(runs.items()) if kind == mode}
        rates = {n: [one["events"] / one["wall_s"] / n for one in some] for n, some in mine.items()}
        first = rates[min(rates)]
        points = []
        for workers, some in mine.items():
            facts = {key: median(one[key] for one in some) for key in ("wall_s", "busy", "cpu_us")}
            facts["events"] = some[0]["events"]
            all_ = [rate / one for rate, one in zip(rates[workers], first, strict=True)]
            points.append({"workers": workers, "efficiency": median(all_), "rounds": all_} | facts)
        found.append({"kind": "measured", "mode": mode, "label": label, "points": points})
    return found


def measure(args: argparse.Namespace, folder: Path, cluster: Any) -> list[dict[str, Any]]:
    """Run all campaigns, round by round, and return the series."""
    numbers = [2**i for i in range(args.workers.bit_length()) if 2**i <= args.workers]
    sample = dataset.make(folder / "data", args.tagger, args.copies, files=args.workers)
    env = os.environ | {"PYTHONPATH": str(ROOT)} | (cluster.env if cluster else {})
    runs: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for turn in range(args.rounds):
        for workers in numbers:
            for mode, files in (("strong", sample.big), ("weak", sample.big[:workers])):
                if (mode, workers) == ("weak", args.workers):
                    one = runs["strong", workers][-1]  # the same campaign
                else:
                    place = folder / f"{args.where}-{mode}-{workers}-{turn}"
                    one = run(place, files, sample.tagger, site_of(args.where, cluster, workers), env)
                    print(
                        f"{mode:7}{workers:4} workers {one['events'] / one['wall_s']:9,.0f} events/s",
                        flush=True,
                    )
                runs.setdefault((mode, workers), []).append(one)
    name = "SLURM jobs" if cluster else "processes of one machine"
    cores = len(os.sched_getaffinity(0))
    return series(runs, f"{name}, {args.tagger}, {sample.name} events, {cores} cores")


def show(found: list[dict[str, Any]]) -> None:
    """Print a line for each point."""
    for one in found:
        print(f"{one['mode']} scaling, {one['kind']}: {one['label']}")
        for p in one["points"]:
            print(
                f"{p['workers']:8} workers {p['events']:14,} events {p['wall_s']:9.1f} s, efficiency "
                f"{p['efficiency']:.3f}, busy {p['busy']:.3f}, {p['cpu_us']:.1f} us CPU/event"
            )


def main(argv: Sequence[str] | None = None) -> None:
    """Run what the command line says."""
    args = parser().parse_args(argv)
    folder = args.keep or Path(tempfile.mkdtemp(prefix="e2edist-scaling-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with _cluster(args) as cluster:
            found = measure(args, folder, cluster)
    finally:
        if not args.keep:
            shutil.rmtree(folder)
    show(found)
    if args.json:
        args.json.write_text(json.dumps({"series": found}, indent=1), encoding="utf-8")


def _cluster(args: argparse.Namespace) -> Any:
    if args.where == "local":
        return nullcontext()
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "system")]
    import batch

    shape = ("--nodes", args.workers, "--gpu-nodes", 0, "--cpus", 2, "--memory", 8000)
    return batch.cluster(batch.Slurm, *shape)


if __name__ == "__main__":
    main()
