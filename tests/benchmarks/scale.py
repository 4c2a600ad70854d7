"""What a campaign costs besides its chunks: ``python tests/benchmarks/scale.py``.

    scale.py driver [CHUNKS [THREADS]]           planning, driving, bookkeeping, resuming; chunks take no time
    scale.py dask [CHUNKS [WORKERS [SECONDS]]]   the same driver on a real Dask scheduler, simulated workers

CPU seconds are those of the driver's process, which is also the scheduler's: the workers have processes of
their own. One chunk in a thousand raises, one in two thousand loses its worker.
"""

from __future__ import annotations

import logging
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

from simulated import SimulatedPool, make_plan

from e2edist.accounting.folder_counts import count_folder
from e2edist.accounting.progress import Progress, ProgressTracker
from e2edist.accounting.summary import summarise, write_timing
from e2edist.campaign.cross_pool_check import CrossPoolCheck
from e2edist.campaign.driver import Driver
from e2edist.campaign.limits import Limits
from e2edist.pools import Pool, Setup
from e2edist.records.folder import CampaignFolder
from e2edist.records.ledger import Ledger, open_ledger
from e2edist.records.plan import Plan, read_plan

_PROCESSES = 2
_IDLE_S = 10.0


def timed(what: str, work: Callable[[], Any], chunks: int) -> Any:
    """Run a step and say what it took."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    each = cpu / chunks * 1e3
    print(
        f"{what:12} {cpu:8.2f} s CPU {wall:8.2f} s wall {each:7.3f} ms/chunk {peak:6.0f} MiB peak", flush=True
    )
    return result


def drive(pool: Pool, key: str, ledger: Ledger, plan: Plan, limits: Limits) -> Progress:
    """Run all chunks of a plan on a pool."""
    progress = Progress(len(ledger.pending), plan.events)
    tracker, check = ProgressTracker(progress), CrossPoolCheck(0.0, {key: ""})
    assert Driver({key: pool}, ledger, tracker, Event(), limits, check).run(ledger.pending)
    return progress


def run_driver(folder: Path, chunks: int, threads: int) -> None:
    """Time every step of a campaign whose chunks take no time."""
    plan = make_plan(chunks)
    timed("write plan", lambda: plan.write(folder), chunks)
    timed("read plan", lambda: read_plan(folder), chunks)
    ledger = timed("open ledger", lambda: open_ledger(folder, plan.fingerprint, plan.chunks()), chunks)
    pool = SimulatedPool("gpu", threads, plan.fingerprint, raising=1e-3, dying=5e-4)
    progress = timed("drive", lambda: drive(pool, "gpu", ledger, plan, Limits()), chunks)
    CampaignFolder(folder).predictions.mkdir()
    timed("timing table", lambda: write_timing(CampaignFolder(folder).timing, ledger.done), chunks)
    timed("summary", lambda: summarise(ledger.done.values()), chunks)
    timed("status", lambda: count_folder(folder), chunks)
    for name, receipt in ledger.done.items():
        with CampaignFolder(folder).part(name).open("wb") as part:
            part.truncate(receipt.size)
    again = timed("resume", lambda: open_ledger(folder, plan.fingerprint, plan.chunks()), chunks)
    assert not again.pending
    sizes = [(folder / name).stat().st_size / 1e6 for name in ("plan.json", "ledger.jsonl")]
    print(f"{progress.done:,} parts, plan {sizes[0]:.1f} MB, ledger {sizes[1]:.0f} MB")


@contextmanager
def simulated_cluster(workers: int, seconds: float) -> Iterator[Any]:
    """Start a scheduler in this process and workers in others; give the cluster."""
    from distributed import LocalCluster

    from e2edist.pools._dask_scope import checked_config

    with checked_config():
        cluster = LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=None)
    line = [sys.executable, str(Path(__file__).with_name("simulated_workers.py")), cluster.scheduler_address]
    each = [str(workers // _PROCESSES), str(seconds)]
    started = [subprocess.Popen([*line, *each]) for _ in range(_PROCESSES)]
    try:
        yield cluster
    finally:
        cluster.close(timeout=120)
        for process in started:
            process.terminate()
            process.wait(20)


def run_dask(folder: Path, chunks: int, workers: int, seconds: float) -> None:
    """Time the driver and the scheduler on workers that only wait."""
    from distributed import Client

    from e2edist.pools._dask_pool import DaskPool
    from e2edist.pools._pool_job import resource_of

    plan = make_plan(chunks)
    with simulated_cluster(workers, seconds) as cluster:
        client = Client(cluster, set_as_default=False)
        client.wait_for_workers(workers // _PROCESSES * _PROCESSES, timeout=900)
        key = f"{plan.fingerprint}:gpu"
        pool = DaskPool("gpu", client, Setup(print, ()), resource=resource_of("gpu"))
        ledger = open_ledger(folder, plan.fingerprint, plan.chunks())
        limits = Limits(portion_s=(seconds, 3600.0), bundle_s=seconds)
        idle = time.process_time()
        time.sleep(_IDLE_S)
        idle = (time.process_time() - idle) / _IDLE_S
        began, cpu = time.perf_counter(), time.process_time()
        progress = timed("drive", lambda: drive(pool, key, ledger, plan, limits), chunks)
        cpu = time.process_time() - cpu
        took = time.perf_counter() - began
        print(
            f"{progress.done:,} parts on {workers:,} workers in {took:.0f} s, {progress.done / took:.0f} /s"
        )
        # Heartbeats cost the same whether or not there is work; a busy machine that takes longer has more.
        each = (cpu - idle * took) / progress.done * 1e3
        print(f"idle workers {idle * 1e3:.0f} ms CPU a second; without them {each:.3f} ms/chunk")
        pool.close()


def main() -> None:
    """Run what the command line says."""
    kind, *numbers = sys.argv[1:] or ["driver"]
    logging.getLogger("e2edist").setLevel(logging.CRITICAL)
    folder = Path(tempfile.mkdtemp(prefix="e2edist-scale-", dir=os.environ.get("TMPDIR")))
    try:
        if kind == "driver":
            run_driver(folder, *map(int, [*numbers, *("100000", "4096")[len(numbers) :]]))
        else:
            chunks, workers, seconds = [*numbers, *("4000", "256", "5")[len(numbers) :]]
            run_dask(folder, int(chunks), int(workers), float(seconds))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
