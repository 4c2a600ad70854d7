"""Campaigns on real batch systems of several nodes, whose jobs, nodes and network fail: the same on each."""

import json
import os
import signal
import tomllib

import pytest
from distributed import Client
from lab import until
from runs import knock, receipts, verb

from e2edist import aggregate
from e2edist.pools._certificates import read_certificates

slow = pytest.mark.slow


@slow
def test_cpu_and_gpu_pools_together_give_the_local_table_behind_tls(system, jobs, clean, capsys):
    process = jobs.begin(system.both(), workers=4)
    found = jobs.jobs()
    assert len(found["cpu"]) + len(found["gpu"]) >= 3
    address = jobs.address(found["cpu"][0])
    assert [knock(address, certificate) for certificate in ("no", "another")] == ["refused"] * 2
    with Client(address, security=read_certificates(jobs.out / ".tls"), set_as_default=False) as client:
        # With the certificates somebody else's client is as good as ours.
        assert client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.workers)) == 4
        seen = client.run(lambda dask_worker: (str(dask_worker.name), os.environ.get("CUDA_VISIBLE_DEVICES")))
    # Set before Python started, and another one for each worker.
    gpus = sorted(device for name, device in seen.values() if name.startswith("gpu"))
    assert gpus == {"slurm": ["0", "1"], "htcondor": ["e2egpu1000", "e2egpu1001"]}[system.kind]
    jobs.finish(process, clean)
    assert {receipt["pool"] for receipt in receipts(jobs.out)} == {"cpu", "gpu"}
    assert len({receipt["host"] for receipt in receipts(jobs.out)}) >= 2
    assert aggregate.main([str(jobs.out), "--verify"]) == 0
    capsys.readouterr()


@slow
def test_jobs_that_are_removed_requeued_or_held_cost_nothing(system, jobs, clean):
    process = jobs.begin(system.pool("cpu", 3) + system.pool("gpu", 1), workers=4)
    first, second, third = jobs.jobs()["cpu"]
    system.remove(first)
    system.requeue(second)
    system.hold(third)
    until(lambda: len(jobs.jobs()["cpu"]) >= 5)
    until(lambda: jobs.joined() == 4)
    assert not {first, third} & system.queue().keys()
    jobs.finish(process, clean)


@slow
def test_a_worker_that_is_told_to_end_in_time_ends_its_chunk_first(system, jobs, clean):
    process = jobs.begin(system.pool("cpu", 2, notice_s=60), workers=2)
    system.notify(jobs.jobs()["cpu"][0])
    until(lambda: "was told to end" in jobs.log())
    jobs.open_gate()
    jobs.finish(process, clean)
    assert "lost" not in jobs.log()


@slow
def test_a_worker_that_is_told_to_end_too_late_hands_its_chunk_back(system, jobs, clean):
    process = jobs.begin(system.pool("cpu", 2, notice_s=2), workers=2)
    system.notify(jobs.jobs()["cpu"][0])
    until(lambda: "its worker was told to end: give it out again" in jobs.log())
    until(lambda: jobs.joined() == 2)
    jobs.finish(process, clean)
    assert "died" not in jobs.log()


@slow
def test_preempted_jobs_come_back_and_their_chunks_are_blamed_for_nothing(system, jobs, clean):
    process = jobs.begin(system.pool("cpu", 2, queue="low", alone=True) + system.pool("gpu", 1), workers=3)
    system.crowd_out(jobs.jobs()["cpu"][0])
    until(lambda: "its worker was told to end: give it out again" in jobs.log())
    until(lambda: jobs.joined() == 3)
    jobs.finish(process, clean)
    assert "died" not in jobs.log()


@slow
def test_nodes_that_lose_power_hang_or_are_cut_off_cost_nothing(system, jobs, clean):
    process = jobs.begin(system.pool("cpu", 3, alone=True) + system.pool("gpu", 1), workers=4)
    assert sorted(system.nodes().values()) == ["cpu1", "cpu2", "cpu3", "gpu1"]
    broken = {"cpu1": "kill", "cpu2": "cut", "gpu1": "freeze"}
    try:
        for node, how in broken.items():
            system.break_(node, how)
        # Not minutes later, when Dask would notice; HTCondor itself leaves a hanging node its job for long.
        until(lambda: jobs.joined() == (1 if system.kind == "slurm" else 2))
    finally:
        for node in broken:
            system.break_(node, "heal")
    # The cut-off worker has its chunk still, and may write its part beside another's.
    jobs.finish(process, clean)


@slow
def test_the_end_of_the_walltime_costs_nothing(system, jobs, clean):
    """The chunk at the gate outlives its job, which the batch system ends."""
    process = jobs.begin(system.short_lived(), workers=1)
    until(lambda: len(jobs.jobs()["cpu"]) == 2, 150)
    jobs.finish(process, clean)


def test_jobs_that_die_at_once_stop_the_campaign_with_their_last_lines(system, jobs):
    dies = system.pool("cpu", 2, prologue=["echo FATAL: no such image: r/e:1 >&2", "exit 3"])
    code, said = jobs.end(jobs.start(site=dies), 90)
    assert code == 2, said
    assert "2 jobs in a row ended before their worker joined" in said
    assert "FATAL: no such image: r/e:1" in said
    assert system.queue() == {}


@slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "term"])
def test_no_job_stays_behind(system, jobs, number):
    process = jobs.start(site=system.both())
    until(lambda: "running" in system.queue().values())
    jobs.interrupt(process, number)


@slow
def test_a_pool_grows_while_chunks_remain_and_ends_idle_workers_only(system, jobs, clean):
    process = jobs.begin(system.pool("cpu", 1, pool="workers_most = 3\n"), workers=3)
    assert len(jobs.jobs()["cpu"]) == 3
    jobs.finish(process, clean)
    assert "there is work for more: 3 jobs from now on" in jobs.log()
    assert "lost" not in jobs.log()


@slow
def test_doctor_finds_a_working_site_in_order_and_runs_a_chunk_on_each_pool(system, jobs, tiny_model):
    tables = system.both() + system.controller()
    (jobs.folder / "site.toml").write_text(f"name = 'lab'\n{tables}", encoding="utf-8")
    jobs.open_gate()
    words = ("--site", "site.toml", "--output", jobs.out, "--model", tiny_model)
    said = verb("doctor", *words, cwd=jobs.folder, env=jobs.environment())
    assert said.returncode == 0, said.stdout + said.stderr
    levels = {line[5:24].strip(): line[:5].strip() for line in said.stdout.splitlines()}
    topics = {"output", "clock", "network", system.kind, "controller's job"}
    topics |= {f"{what} {pool}" for what in ("job of", "demo on") for pool in ("cpu", "gpu")}
    assert {topic: levels[topic] for topic in topics} == dict.fromkeys(topics, "ok")
    assert system.queue() == {}


def _settings(table, key=""):
    """Yield KEY=VALUE of tables in tables."""
    for name, value in table.items():
        path = f"{key}.{name}" if key else name
        if isinstance(value, dict):
            yield from _settings(value, path)
        else:
            yield f"{path}={json.dumps(value)}"


@slow
def test_init_writes_a_site_that_runs_a_chunk(system, jobs):
    settings = [word for one in _settings(tomllib.loads(system.pool("cpu", 1))) for word in ("--set", one)]
    jobs.open_gate()
    words = (system.kind, *settings, "--yes", "--run", "--file", "mine.toml")
    said = verb("init", *words, cwd=jobs.folder, env=jobs.environment())
    assert said.returncode == 0, said.stdout + said.stderr
    levels = {line[5:24].strip(): line[:5].strip() for line in said.stdout.splitlines()}
    assert (levels[system.kind], levels["job of cpu"], levels["demo on cpu"]) == ("ok", "ok", "ok")
    assert f"wrote {jobs.folder / 'mine.toml'}\nnext: python -m e2edist.submit --site" in said.stdout
    words = ("--site", "mine.toml", "--input", jobs.source, "--output", jobs.out, "--dry-run")
    dry = verb("submit", *words, cwd=jobs.folder, env=jobs.environment())
    assert dry.returncode == 0, dry.stderr
    assert "job of pool cpu" in dry.stdout
    assert not jobs.out.exists()
    assert system.queue() == {}


@slow
def test_doctor_names_the_job_that_is_not_taken(system, jobs):
    refused = system.pool("cpu", 1, **system.refused())
    (jobs.folder / "site.toml").write_text(f"name = 'lab'\n{refused}", encoding="utf-8")
    said = verb("doctor", "--site", "site.toml", "--no-run", cwd=jobs.folder, env=jobs.environment())
    assert said.returncode == 2
    line = next(line for line in said.stdout.splitlines() if line.startswith("fail job of cpu"))
    assert "refused" in line
    assert system.refusal in line
