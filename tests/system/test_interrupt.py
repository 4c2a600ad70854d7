"""Runs that are stopped: nobody stays behind, nothing is half there, and the same command goes on."""

import os
import signal
import subprocess
import time

import psutil
import pytest
from runs import TIMEOUT_S, drafts, parts, receipts, run, start, table

#: A worker must notice in this time that its driver was killed.
ORPHANS_S = 120


def _options(events, model):
    options = ("--workers", 1, "--threads", 1, "--chunk-events", 1)
    return ("--input", events, "--model", model, "--output", "out", *options)


def _until(true, seconds):
    """Wait for `true()`; return what it gave last."""
    deadline = time.monotonic() + seconds
    while not (found := true()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def _stopped(arguments, cwd, number, *, group, after):
    """Start a run, send it a signal when `after()` is true; return code, stdout, stderr and workers."""
    process = start(arguments, cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert _until(after, TIMEOUT_S)
        workers = psutil.Process(process.pid).children(recursive=True)
        (os.killpg if group else os.kill)(process.pid, number)
        out, err = process.communicate(timeout=TIMEOUT_S)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, out, err, workers


def _all_gone(processes):
    return all(not p.is_running() or p.status() == psutil.STATUS_ZOMBIE for p in processes)


STOPS = {
    "ctrl-c": (signal.SIGINT, True, 130),
    "scancel": (signal.SIGTERM, True, 130),
    "term": (signal.SIGTERM, False, 130),
    "kill": (signal.SIGKILL, False, -signal.SIGKILL),
}


@pytest.mark.parametrize(
    "way", ["ctrl-c", *(pytest.param(way, marks=pytest.mark.slow) for way in ("scancel", "term", "kill"))]
)
def test_a_stopped_run_goes_on(way, campaign, events, model, tmp_path, slow_chunks):
    number, group, wanted = STOPS[way]
    options, out = _options(events, model), tmp_path / "out"
    slow_chunks(2)  # there are twelve: it does not end before it is stopped
    code, said, err, workers = _stopped(options, tmp_path, number, group=group, after=lambda: parts(out))
    assert code == wanted
    assert workers
    assert _until(lambda: _all_gone(workers), ORPHANS_S)
    assert "Traceback" not in err
    done = receipts(out)
    assert 0 < len(done) < 12  # whole parts only: each has its receipt
    if way != "kill":
        assert err == ""
        assert "the same command does the rest" in said
    slow_chunks(0)
    again = run(options, tmp_path)
    assert (again.returncode, again.stderr) == (0, "")
    assert drafts(out) == []
    # What was there was not made again, and nothing is missing or doubled.
    assert [receipt for receipt in receipts(out) if receipt in done] == done
    assert table(out).equals(table(campaign))


@pytest.mark.slow
def test_ctrl_c_while_the_workers_start(campaign, events, model, tmp_path):
    options, out = _options(events, model), tmp_path / "out"
    begun = (out / "plan.json").exists
    code, _, err, workers = _stopped(options, tmp_path, signal.SIGINT, group=True, after=begun)
    assert (code, err) == (130, "")
    assert _until(lambda: _all_gone(workers), ORPHANS_S)
    assert run(options, tmp_path).returncode == 0
    assert table(out).equals(table(campaign))
