"""Detached campaigns: whoever started them may leave; they are found and ended from their folder."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from runs import ROOT, TIMEOUT_S, environment, parts, receipts, run, start, table

SLURM = ROOT / "containers" / "test-clusters" / "slurm"
#: A campaign that takes its time: a chunk per cluster, one thread.
SLOW = ("--workers", 1, "--threads", 1, "--chunk-events", 1)


def verb(name, *arguments, cwd, env=None, timeout=TIMEOUT_S):
    """Run another verb to its end."""
    command = [sys.executable, "-m", f"e2edist.{name}", *map(str, arguments)]
    return subprocess.run(
        command,
        cwd=cwd,
        env=env or environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def status(cwd, env=None):
    said = verb("status", "out", "--json", cwd=cwd, env=env)
    assert said.stderr == ""
    return json.loads(said.stdout)


def until(true, seconds=TIMEOUT_S):
    deadline = time.monotonic() + seconds
    while not (found := true()) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert found
    return found


def record(cwd):
    return json.loads((cwd / "out" / "controller.json").read_text(encoding="utf-8"))


def tree(pid):
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def gone(processes):
    return all(not p.is_running() or p.status() == psutil.STATUS_ZOMBIE for p in processes)


@pytest.fixture(scope="module")
def many(tmp_path_factory, make_small_clusters):
    """More events than are done while a test looks on: 80 chunks."""
    folder = tmp_path_factory.mktemp("many")
    make_small_clusters(folder, "eg", 4000, seed=4)
    return folder


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
    assert "python -m e2edist.status out" in said.stdout
    assert "python -m e2edist.cancel out" in said.stdout
    pid = int(record(tmp_path)["id"])
    # It has no terminal and leads a session: nothing that happens to ours reaches it.
    assert os.getsid(pid) == pid
    until(lambda: status(tmp_path)["state"] == "done")
    assert verb("status", "out", cwd=tmp_path).returncode == 0
    assert table(tmp_path / "out").equals(table(campaign))
    again = verb("cancel", "out", cwd=tmp_path)
    assert (again.returncode, "nothing runs" in again.stdout) == (0, True)


@pytest.mark.usefixtures("ended")
def test_cancel_ends_a_detached_campaign_whole_and_submit_goes_on(many, model, tmp_path):
    options = ("--input", many, "--model", model, "--output", "out", *SLOW)
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
    assert 0 < after["counts"]["events_done"] < 4000
    assert verb("status", "out", cwd=tmp_path).returncode == 1
    assert run(options, tmp_path).returncode == 0
    assert sum(receipt["events"] for receipt in receipts(tmp_path / "out")) == 4000
    assert status(tmp_path)["controller"] is None  # the last run was no controller's


@pytest.mark.usefixtures("ended")
def test_a_killed_controller_is_told_from_a_stopped_one(many, model, tmp_path):
    options = ("--input", many, "--model", model, "--output", "out", *SLOW, "--detach")
    assert run(options, tmp_path).returncode == 0
    pid = int(record(tmp_path)["id"])
    until(lambda: status(tmp_path)["state"] == "running")
    os.kill(pid, signal.SIGKILL)
    until(lambda: status(tmp_path)["state"] == "died", 30)
    said = verb("status", "out", cwd=tmp_path)
    assert said.returncode == 1
    assert f"pid {pid}" in said.stdout
    assert "the same submit does the rest" in said.stdout


def test_what_is_wrong_is_said_before_anything_is_started(events, tmp_path):
    said = run(("--input", events, "--model", "no.onnx", "--output", "out", "--detach"), tmp_path)
    assert said.returncode == 2
    assert "no.onnx" in said.stderr
    assert not (tmp_path / "out").exists()


def test_a_campaign_in_a_terminal_is_cancelled_from_another(many, model, tmp_path):
    options = ("--input", many, "--model", model, "--output", "out", *SLOW)
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


@pytest.fixture(scope="module")
def slurm():
    """Environment of a SLURM cluster of our own."""
    required = "slurm" in os.environ.get("E2EDIST_REQUIRE", "").split(",")
    path = os.environ["PATH"] + os.pathsep + "/usr/sbin"
    if not required and not (shutil.which("slurmctld", path=path) and shutil.which("munged", path=path)):
        pytest.skip("SLURM is not installed: containers/test-clusters/slurm install")
    # Not below pytest's own folder: munge wants to be reached by other users.
    base = Path(tempfile.gettempdir()) / f"e2edist-detach-{os.getpid()}"
    command = [str(SLURM), "--base", str(base)]
    options = ("--nodes", "2", "--gpu-nodes", "0")
    up = subprocess.run([*command, "up", *options], capture_output=True, text=True, timeout=300, check=False)
    try:
        assert up.returncode == 0, up.stderr
        exports = (
            line.removeprefix("export ").split("#")[0].strip()
            for line in (base / "env.sh").read_text().splitlines()
        )
        yield environment() | dict(line.split("=", 1) for line in exports if "=" in line)
    finally:
        subprocess.run([*command, "down"], capture_output=True, timeout=120, check=False)


SITE = """
name = "test"
[pools.cpu]
kind = "slurm"
workers = 2
threads = 1
memory_gib = 1
[pools.cpu.job]
queue = "cpu"
poll_s = 1
{job}
[controller]
kind = "slurm"
walltime_min = 10
notice_s = 60
cores = 1
memory_gib = 1
queue = "cpu"
{controller}
"""


def _jobs(env):
    command = ("squeue", "--noheader", "--format=%i")
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.split()


def _detach(env, cwd, events, model, job="", controller=""):
    (cwd / "site.toml").write_text(SITE.format(job=job, controller=controller), encoding="utf-8")
    options = ("--site", "site.toml", "--input", events, "--model", model, "--output", "out")
    return verb("submit", *options, "--chunk-events", 1, "--detach", cwd=cwd, env=env)


@pytest.mark.slow
def test_a_controller_job_runs_the_campaign_with_nobody_logged_in(slurm, campaign, events, model, tmp_path):
    said = _detach(slurm, tmp_path, events, model)
    assert (said.returncode, said.stderr) == (0, "")
    job = record(tmp_path)["id"]
    assert f"SLURM job {job}" in said.stdout
    # Submit has ended: only the jobs are left.
    until(lambda: status(tmp_path, slurm)["state"] == "done")
    until(lambda: not _jobs(slurm), 60)
    assert table(tmp_path / "out").equals(table(campaign))
    assert json.loads((tmp_path / "out" / "progress.json").read_text())["host"].startswith("cpu")


@pytest.mark.slow
def test_cancel_ends_the_controller_job_and_its_workers(slurm, many, model, tmp_path):
    assert _detach(slurm, tmp_path, many, model).returncode == 0
    running = until(lambda: _running_with_workers(tmp_path, slurm))
    assert running["driver"]["here"] is False
    assert len(_jobs(slurm)) == 3
    said = verb("cancel", "out", cwd=tmp_path, env=slurm)
    assert (said.returncode, said.stderr) == (0, "")
    assert _jobs(slurm) == []
    after = status(tmp_path, slurm)
    assert (after["state"], after["why"]) == ("stopped", "cancelled")
    log = (tmp_path / "out" / "controller.log").read_text()
    assert "the same command does the rest" in log  # in good order
    assert "Traceback" not in log


def _controller(token):
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            ours = process.environ().get("E2EDIST_CONTROLLER") == token
            if ours and "e2edist.submit" in process.cmdline():
                return process
    raise AssertionError("there is no controller")


def _running_with_workers(cwd, env, state="joined"):
    found = status(cwd, env)
    pools = (found["heartbeat"] or {}).get("pools", {})
    return found if found["state"] == "running" and pools["cpu"][state] == 2 else None


@pytest.mark.slow
def test_cancel_finds_the_workers_of_a_controller_that_was_killed(slurm, many, model, tmp_path):
    # Workers notice the death of their scheduler; those that still wait would start for nothing.
    waiting = 'directives = ["--begin=now+1hour"]'
    assert _detach(slurm, tmp_path, many, model, job=waiting).returncode == 0
    until(lambda: len(_jobs(slurm)) == 3 and _running_with_workers(tmp_path, slurm, "queued"))
    job = record(tmp_path)["id"]
    # Nodes are namespaces of this machine. scancel would not do: it asks politely first.
    _controller(record(tmp_path)["token"]).kill()
    until(lambda: job not in _jobs(slurm))
    assert len(_jobs(slurm)) == 2
    said = verb("cancel", "out", cwd=tmp_path, env=slurm)
    assert said.returncode == 0
    assert "2 worker jobs that were left" in said.stdout
    assert _jobs(slurm) == []
    assert status(tmp_path, slurm)["driver"] is None  # the dead one's lock bars nobody


@pytest.mark.slow
def test_a_controller_that_waits_in_the_queue_is_seen_and_taken_out(slurm, events, model, tmp_path):
    controller = 'directives = ["--begin=now+1hour"]'
    assert _detach(slurm, tmp_path, events, model, controller=controller).returncode == 0
    waiting = status(tmp_path, slurm)
    assert waiting["state"] == "queued"
    again = _detach(slurm, tmp_path, events, model, controller=controller)
    assert again.returncode == 2
    assert "has a controller already" in again.stderr
    assert verb("cancel", "out", cwd=tmp_path, env=slurm).returncode == 0
    assert _jobs(slurm) == []
    assert status(tmp_path, slurm)["state"] == "stopped"


@pytest.mark.slow
def test_a_refused_controller_is_an_error_of_submit(slurm, events, model, tmp_path):
    said = _detach(slurm, tmp_path, events, model, controller='directives = ["--partition=nowhere"]')
    assert said.returncode == 2
    assert "sbatch" in said.stderr
    assert not (tmp_path / "out" / "controller.json").exists()
