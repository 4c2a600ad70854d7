"""Aggregating a million rows in a thousand parts: little memory, faults are found, kills lose nothing."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from runs import TIMEOUT_S, environment

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
ROWS, PARTS = 10**6, 10**3

pytestmark = pytest.mark.slow


def test_a_million_rows_take_little_memory_and_four_faults_are_found():
    line = [sys.executable, BENCHMARKS / "aggregation.py", str(ROWS), str(PARTS)]
    done = subprocess.run(line, env=environment(), capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert (found["aggregate"]["code"], found["again"]["code"]) == (0, 0)
    assert found["rows_written"] == ROWS
    assert len(found["file_mib"]) == 1
    assert max(found[step]["peak_mib"] for step in ("aggregate", "again", "broken")) < 1024
    assert found["broken"]["code"] == 1
    said = found["broken"]["said"].splitlines()
    kinds = [line.split()[0] for line in said]
    # Deleted, corrupted and foreign parts leave gaps; the foreign and the doubled one are named.
    assert (kinds.count("missing"), kinds.count("damaged"), kinds.count("foreign")) == (2, 1, 2), said


def rows_in(path):
    return pq.read_metadata(path).num_rows


def test_killed_at_any_time_it_goes_on_and_each_row_is_there_once(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    from aggregation import make_campaign

    make_campaign(tmp_path, 10**5, 100)
    line = [sys.executable, "-m", "e2edist.aggregate", str(tmp_path), "--file-mib", "0.2", "--friend"]
    table = tmp_path / "aggregated" / "table"
    kept, kills = {}, 0
    for wanted in (1, 4, 8):
        process = subprocess.Popen(line, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        deadline = time.monotonic() + TIMEOUT_S
        while process.poll() is None and len(list(table.glob("part-*.parquet"))) < wanted:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
        process.stderr.close()
        now = {path: path.stat().st_mtime_ns for path in table.glob("part-*.parquet")}
        assert kept.items() <= now.items()  # what was whole is not made again
        kept = now
    assert kills
    assert not (tmp_path / "aggregated" / "summary.json").exists()
    done = subprocess.run(line, env=environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert kept.items() <= {path: path.stat().st_mtime_ns for path in table.glob("part-*.parquet")}.items()
    assert sum(map(rows_in, table.glob("part-*.parquet"))) == 10**5
    assert not list((tmp_path / "aggregated").rglob("*.draft"))
    keys = pq.read_table(table, columns=["uuid", "entry", "kind", "object"]).to_pandas()
    keys = keys.astype({"uuid": str, "kind": str})
    assert not keys.duplicated().any()
    assert keys.sort_values(list(keys), ignore_index=True).equals(keys)
