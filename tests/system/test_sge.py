"""Campaigns on a real Grid Engine, whose jobs and nodes fail."""

import os

import pytest
from distributed import Client
from grid_engine import sge  # noqa: F401 fixture
from lab import until
from runs import environment, receipts, record, status, table, verb

from e2edist.config.site import load_site
from e2edist.pools import preview
from e2edist.pools._certificates import read_certificates

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("system", ["sge"], indirect=True)]


def test_jobs_with_and_without_gpus_give_the_local_table(system, jobs, clean):
    process = jobs.begin(system.both(), workers=4)
    address = jobs.address(jobs.jobs()["cpu"][0])
    with Client(address, security=read_certificates(jobs.out / ".tls"), set_as_default=False) as client:
        seen = client.run(lambda dask_worker: (str(dask_worker.name), os.environ.get("CUDA_VISIBLE_DEVICES")))
    assert sorted(device for name, device in seen.values() if name.startswith("gpu")) == ["0", "1"]
    jobs.finish(process, clean)
    assert {receipt["pool"] for receipt in receipts(jobs.out)} == {"cpu", "gpu"}


def test_jobs_that_are_deleted_or_lose_their_node_are_replaced(system, jobs, clean):
    process = jobs.begin(system.pool("cpu", 2, notice_s=1), workers=2)
    first, second = jobs.jobs()["cpu"]
    system.remove(first)
    until(lambda: "its worker was told to end: give it out again" in jobs.log(), 30)
    node = system.nodes()[second]
    system.break_(node, "freeze")
    try:
        until(lambda: f"job {second} of" in jobs.log() and "its node does not answer" in jobs.log(), 60)
        until(lambda: len(jobs.jobs()["cpu"]) >= 4, 30)
    finally:
        system.break_(node, "heal")
    jobs.finish(process, clean)
    assert "died" not in jobs.log()


def test_a_job_in_error_state_stops_the_campaign_with_its_reason(system, jobs):
    wrong = system.pool("cpu", 1, directives=["-V", "-wd /no/such/folder"])
    code, said = jobs.end(jobs.start(site=wrong), 90)
    assert code == 2, said
    assert "/no/such/folder" in said
    assert system.queue() == {}


def _detach(system, cwd, source, model, env):
    """Submit with two worker jobs and a controller that is a job."""
    tables = system.pool("cpu", 2) + system.controller()
    (cwd / "site.toml").write_text(f"name = 'test'\n{tables}", encoding="utf-8")
    options = ("--site", "site.toml", "--input", source, "--model", model, "--output", "out")
    said = verb("submit", *options, "--chunk-events", 1, "--detach", cwd=cwd, env=env)
    assert (said.returncode, said.stderr) == (0, "")


def test_a_controller_job_runs_the_campaign_with_nobody_logged_in(
    system, source, tiny_model, clean, tmp_path
):
    env = environment() | system.env
    _detach(system, tmp_path, source, tiny_model, env)
    until(lambda: status(tmp_path, env)["state"] == "done", 120)
    until(lambda: not system.queue(), 60)
    assert table(tmp_path / "out").equals(clean)


def test_cancel_ends_the_controller_job_and_its_workers(system, endless, model, tmp_path, slow_chunks):
    slow_chunks(1)
    env = environment() | system.env
    _detach(system, tmp_path, endless, model, env)

    def runs():
        found = status(tmp_path, env)
        pools = (found["heartbeat"] or {}).get("pools", {})
        return found["state"] == "running" and pools["cpu"]["joined"] == 2

    until(runs)
    said = verb("cancel", "out", cwd=tmp_path, env=env)
    assert (said.returncode, said.stderr) == (0, "")
    assert system.queue() == {}
    log = (tmp_path / "out" / "controller.log").read_text()
    assert "the same command does the rest" in log, log  # in good order
    assert record(tmp_path)["kind"] == "sge"


def test_doctor_finds_a_working_site_in_order_and_names_a_job_that_is_not_taken(system, jobs):
    wrong = system.pool("wrong", 1, **system.refused())
    tables = system.both() + wrong + system.controller()
    (jobs.folder / "site.toml").write_text(f"name = 'lab'\n{tables}", encoding="utf-8")
    words = ("--site", "site.toml", "--output", jobs.out, "--no-run")
    said = verb("doctor", *words, cwd=jobs.folder, env=jobs.environment())
    levels = {line[5:24].strip(): line[:5].strip() for line in said.stdout.splitlines()}
    topics = {"sge", "controller's job", "job of cpu", "job of gpu"}
    assert {topic: levels[topic] for topic in topics} == dict.fromkeys(topics, "ok")
    line = next(line for line in said.stdout.splitlines() if line.startswith("fail job of wrong"))
    assert system.refusal in line
    assert system.queue() == {}


def test_grid_engine_takes_the_script_of_our_site(system, tmp_path):
    spec = load_site("sge").pools["cpu"]
    assert "found suitable queue" in system.call("qsub", "-w", "v", text=preview("cpu", spec, tmp_path))
