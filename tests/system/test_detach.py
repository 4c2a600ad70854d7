"""Detached campaigns: whoever started them may leave; they are found and ended from their folder."""

import os
import signal
import subprocess

import psutil
import pytest
from lab import until
from runs import TIMEOUT_S, parts, receipts, record, run, start, status, table, verb

#: A campaign that takes its time: a chunk per cluster, one thread.
SLOW = ("--workers", 1, "--threads", 1, "--chunk-events", 1)


def tree(pid):
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def gone(processes):
    return all(not p.is_running() or p.status() == psutil.STATUS_ZOMBIE for p in processes)


@pytest.fixture
def ended(tmp_path):
    """End what a failed test may leave."""
    yield
    if (tmp_path / "out" / "controller.json").exists() and record(tmp_path)["kind"] == "process":
        verb("cancel", "out", "--timeout-s", 5, cwd=tmp_path)


@pytest.mark.usefixtures("ended")
def test_a_detached_campaign_outlives_its_submit_and_ends_by_itself(campaign, events, model, tmp_path):
    options = ("--input", events, "--model", model, "--output", "out", "--threads", 1)
    said = run((*options, "--detach"), tmp_path)
    assert (said.returncode, said.stderr) == (0, "")
    assert "detached as process" in said.stdout
    assert f"python -m e2edist.status {tmp_path / 'out'}" in said.stdout
    assert f"python -m e2edist.cancel {tmp_path / 'out'}" in said.stdout
    pid = int(record(tmp_path)["id"])
    # It has no terminal and leads a session: nothing that happens to ours reaches it.
    assert os.getsid(pid) == pid
    until(lambda: status(tmp_path)["state"] == "done")
    assert verb("status", "out", cwd=tmp_path).returncode == 0
    assert table(tmp_path / "out").equals(table(campaign))
    again = verb("cancel", "out", cwd=tmp_path)
    assert (again.returncode, "nothing runs" in again.stdout) == (0, True)


@pytest.mark.slow
@pytest.mark.usefixtures("ended")
def test_cancel_ends_a_detached_campaign_whole_and_submit_goes_on(endless, model, tmp_path, slow_chunks):
    options = ("--input", endless, "--model", model, "--output", "out", *SLOW)
    slow_chunks(1)
    assert run((*options, "--detach"), tmp_path).returncode == 0
    processes = tree(int(record(tmp_path)["id"]))
    until(lambda: parts(tmp_path / "out"))
    running = status(tmp_path)
    assert (running["state"], running["under_way"]) == ("running", True)
    second = run((*options, "--detach"), tmp_path)
    assert second.returncode == 2
    assert "controller already" in second.stderr
    processes += tree(int(record(tmp_path)["id"]))
    said = verb("cancel", "out", cwd=tmp_path)
    assert (said.returncode, said.stderr) == (0, "")
    until(lambda: gone(processes), 30)
    after = status(tmp_path)
    assert (after["state"], after["why"]) == ("stopped", "cancelled")
    assert 0 < after["counts"]["events_done"] < 400
    assert verb("status", "out", cwd=tmp_path).returncode == 1
    slow_chunks(0)
    assert run(options, tmp_path).returncode == 0
    assert sum(receipt["events"] for receipt in receipts(tmp_path / "out")) == 400
    assert status(tmp_path)["controller"] is None  # the last run was no controller's


@pytest.mark.slow
@pytest.mark.usefixtures("ended")
def test_a_killed_controller_is_told_from_a_stopped_one(endless, model, tmp_path, slow_chunks):
    slow_chunks(1)
    options = ("--input", endless, "--model", model, "--output", "out", *SLOW, "--detach")
    assert run(options, tmp_path).returncode == 0
    pid = int(record(tmp_path)["id"])
    until(lambda: status(tmp_path)["state"] == "running")
    os.kill(pid, signal.SIGKILL)
    until(lambda: status(tmp_path)["state"] == "died")
    said = verb("status", "out", cwd=tmp_path)
    assert said.returncode == 1
    assert f"pid {pid}" in said.stdout
    assert "the same submit does the rest" in said.stdout


def test_what_is_wrong_is_said_before_anything_is_started(events, tmp_path):
    said = run(("--input", events, "--model", "no.onnx", "--output", "out", "--detach"), tmp_path)
    assert said.returncode == 2
    assert "no.onnx" in said.stderr
    assert not (tmp_path / "out").exists()


def test_a_host_that_could_not_submit_is_refused_before_anything_is_detached(events, tmp_path):
    words = ("--site", "perlmutter", "--account", "m1", "--image", "docker:me/e2edist:1", "--input", events)
    words += ("--set", "controller.kind=process", "--output", "out", "--detach")
    said = run(words, tmp_path)
    assert said.returncode == 2
    assert "detached" not in said.stdout
    assert "this host has no" in said.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_campaign_in_a_terminal_is_cancelled_from_another(endless, model, tmp_path, slow_chunks):
    slow_chunks(1)
    options = ("--input", endless, "--model", model, "--output", "out", *SLOW)
    process = start(options, tmp_path, stdout=subprocess.DEVNULL)
    try:
        until(lambda: parts(tmp_path / "out"))
        assert verb("cancel", "out", cwd=tmp_path).returncode == 0
        assert process.wait(TIMEOUT_S) == 130
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert status(tmp_path)["state"] == "stopped"


def test_status_and_cancel_need_a_campaign(tmp_path):
    for name in ("status", "cancel"):
        said = verb(name, "nowhere", cwd=tmp_path)
        assert said.returncode == 2
        assert "holds no campaign" in said.stderr
        assert "Traceback" not in said.stderr
