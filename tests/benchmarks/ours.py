"""The product: ``submit`` on a Dask cluster that stays, Parquet written, everything counted."""

import contextlib
import io
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import uproot
from peers._dense import CODES

from e2edist import submit

LABEL, NEEDS, SMALL = "e2edist", (), False
_state = {}


def start(threads):
    from distributed import LocalCluster

    from e2edist.pools._dask_scope import checked_config

    with checked_config():
        cluster = LocalCluster(
            n_workers=1, threads_per_worker=threads, dashboard_address=None, memory_limit=0, host="127.0.0.1"
        )
    folder = Path(tempfile.mkdtemp(prefix="e2edist-benchmark-"))
    site = folder / "site.toml"
    site.write_text(
        f'name = "warm"\n[pools.warm]\nkind = "attach"\nscheduler = "{cluster.scheduler_address}"\n'
        f'workers = 1\nthreads = {threads}\nprofile = "none"\n',
        encoding="utf-8",
    )
    _state.update(cluster=cluster, folder=folder, site=site, runs=0)


def run(task):
    """Run a campaign; its scores are read back by who wants them, which is no part of it."""
    _state["runs"] += 1
    output = _state["folder"] / f"run{_state['runs']}"
    said, began = io.StringIO(), time.time()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = submit.main(arguments(task, output, ["--site", str(_state["site"])]))
    if code:
        raise RuntimeError(said.getvalue())

    def scores():
        first = min(part.stat().st_mtime for part in (output / "predictions").glob("*.parquet")) - began
        found = read(output, task)
        shutil.rmtree(output)
        return *found, {"first_part": first}

    return scores


def stop():
    _state["cluster"].close()
    shutil.rmtree(_state["folder"])


def arguments(task, output, more):
    return ["--tagger", task["tagger"], "--input", *task["files"], "--output", str(output), *more]


def read(output, task):
    """Return keys and scores, as the peers do."""
    table = ds.dataset(output / "predictions").to_table(filter=ds.field("status") == "ok").to_pandas()
    files = {}
    for i, path in enumerate(task["files"]):
        with uproot.open(path) as file:
            files[file.file.uuid.hex] = i
    file = table["uuid"].astype(str).map(files).to_numpy(np.int64)
    kind = table["kind"].astype(str).map(CODES).to_numpy(np.int64)
    key = (((file << 32) + table["entry"].to_numpy()) * 4 + kind) * 1024 + table["object"].to_numpy()
    order = np.argsort(key)
    return key[order], table.iloc[:, -1].to_numpy(np.float32)[order]


def cold(task, threads):
    """Run the command as a person does; return CPU seconds, wall seconds, seconds to the first part, MiB."""
    with tempfile.TemporaryDirectory(prefix="e2edist-benchmark-") as folder:
        output = Path(folder) / "out"
        words = arguments(task, output, ["--workers", "1", "--threads", str(threads)])
        began = time.time()
        process = psutil.Popen(
            [sys.executable, "-m", "e2edist.submit", *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        before = psutil.Process().cpu_times()
        _, said = process.communicate()
        after = psutil.Process().cpu_times()
        if process.returncode:
            raise RuntimeError(said.decode())
        cpu = sum(getattr(after, k) - getattr(before, k) for k in ("children_user", "children_system"))
        parts = list((output / "predictions").glob("*.parquet"))
        receipts = [json.loads(pq.read_metadata(part).metadata[b"e2edist"]) for part in parts]
        first = min(part.stat().st_mtime for part in parts) - began
        return {
            "cpu": cpu,
            "wall": time.time() - began,
            "first_part": first,
            "peak_mib": max(receipt["peak_mib"] for receipt in receipts),
        }
