"""Detached campaigns whose controller is a job, too: the same on each batch system."""

import json
from contextlib import suppress

import psutil
import pytest
from lab import until
from runs import environment, record, status, table, verb

pytestmark = pytest.mark.slow


@pytest.fixture
def env(system):
    return environment() | system.env


def _detach(system, env, cwd, source, model, *, pool=None, controller=None):
    """Submit with two worker jobs and a controller that is a job.

    The site is a file of the user's own, which is gone when the controller starts.
    """
    tables = system.pool("cpu", 2, **pool or {}) + system.controller(**controller or {})
    file = cwd / "config" / "e2edist" / "sites" / "mine.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"name = 'test'\n{tables}[pools.spare]\n", encoding="utf-8")
    options = ("--site", "mine", "--pools=cpu", "--input", source, "--model", model, "--output", "out")
    own = env | {"XDG_CONFIG_HOME": str(cwd / "config")}
    said = verb("submit", *options, "--chunk-events", 1, "--detach", cwd=cwd, env=own)
    file.unlink()
    return said


def _running(cwd, env, jobs):
    """Return the status once the campaign runs and both worker jobs are queued or joined, as `jobs` says."""
    found = status(cwd, env)
    pools = (found["heartbeat"] or {}).get("pools", {})
    return found if found["state"] == "running" and pools["cpu"][jobs] == 2 else None


def _controller(token):
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            ours = process.environ().get("E2EDIST_CONTROLLER") == token
            if ours and "e2edist.submit" in process.cmdline():
                return process
    raise AssertionError("there is no controller")


def test_a_controller_job_runs_the_campaign_with_nobody_logged_in(
    system, env, campaign, events, model, tmp_path
):
    said = _detach(system, env, tmp_path, events, model)
    assert (said.returncode, said.stderr) == (0, "")
    job = record(tmp_path)["id"]
    assert f"job {job}" in said.stdout
    # Submit has ended: only the jobs are left.
    until(lambda: status(tmp_path, env)["state"] == "done")
    until(lambda: not system.queue())
    assert table(tmp_path / "out").equals(table(campaign))
    host = json.loads((tmp_path / "out" / "progress.json").read_text())["host"]
    assert host.startswith(system.controller_host)


def test_cancel_ends_the_controller_job_and_its_workers(system, endless, model, tmp_path, slow_chunks):
    slow_chunks(1)
    env = environment() | system.env
    assert _detach(system, env, tmp_path, endless, model).returncode == 0
    running = until(lambda: _running(tmp_path, env, "joined"))
    assert running["driver"]["here"] is False
    assert len(system.queue()) == 3
    again = _detach(system, env, tmp_path, endless, model)
    assert (again.returncode, "controller already" in again.stderr) == (2, True)
    said = verb("cancel", "out", cwd=tmp_path, env=env)
    assert (said.returncode, said.stderr) == (0, "")
    assert system.queue() == {}
    after = status(tmp_path, env)
    assert (after["state"], after["why"]) == ("stopped", "cancelled")
    log = (tmp_path / "out" / "controller.log").read_text()
    assert "the same command does the rest" in log  # in good order
    assert "Traceback" not in log


def test_cancel_finds_the_workers_of_a_controller_that_was_killed(system, env, endless, model, tmp_path):
    # Workers notice the death of their scheduler; those that still wait would start for nothing.
    assert _detach(system, env, tmp_path, endless, model, pool=system.waits()).returncode == 0
    until(lambda: len(system.queue()) == 3 and _running(tmp_path, env, "queued"))
    job = record(tmp_path)["id"]
    # Nodes are namespaces of this machine. The batch system would ask it politely first.
    _controller(record(tmp_path)["token"]).kill()
    until(lambda: job not in system.queue())
    assert len(system.queue()) == 2
    said = verb("cancel", "out", cwd=tmp_path, env=env)
    assert said.returncode == 0
    assert "2 worker jobs that were left" in said.stdout
    assert system.queue() == {}
    assert status(tmp_path, env)["driver"] is None  # the dead one's lock bars nobody


def test_a_controller_that_waits_in_the_queue_is_seen_and_taken_out(system, env, events, model, tmp_path):
    assert _detach(system, env, tmp_path, events, model, controller=system.waits()).returncode == 0
    assert status(tmp_path, env)["state"] == "queued"
    again = _detach(system, env, tmp_path, events, model, controller=system.waits())
    assert again.returncode == 2
    assert "has a controller already" in again.stderr
    assert verb("cancel", "out", cwd=tmp_path, env=env).returncode == 0
    assert system.queue() == {}
    assert status(tmp_path, env)["state"] == "stopped"


def test_a_refused_controller_is_an_error_of_submit(system, env, events, model, tmp_path):
    said = _detach(system, env, tmp_path, events, model, controller=system.refused())
    assert said.returncode == 2
    assert {"slurm": "sbatch", "htcondor": "condor_submit"}[system.kind] in said.stderr
    assert "Traceback" not in said.stderr
    assert not (tmp_path / "out" / "controller.json").exists()
