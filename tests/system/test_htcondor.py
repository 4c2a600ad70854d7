"""Campaigns on a real HTCondor of several nodes, whose jobs, nodes and network fail."""

import re
import signal

import pytest
from batch import BatchLab, cluster
from distributed import Client
from distributed.security import Security
from lab import until
from runs import receipts

from e2edist import aggregate
from e2edist.pools._tls import read_certificates

slow = pytest.mark.slow

POOL = """
[pools.{name}]
kind = "htcondor"
workers = {workers}
threads = 1
memory_gib = 2
provider = "cpu"         # the GPUs of the test cluster are fake
[pools.{name}.job]
gpus = {gpus}
disk_gib = 0.1
walltime_min = 10
poll_s = 0.5
start_failures = 2
{more}
[pools.{name}.job.attributes]
getenv = "true"          # the checkout under test is no installed package
requirements = 'NodeKind == "{name}"'
"""


def pool(name, workers=1, more=""):
    return POOL.format(name=name, workers=workers, gpus=int(name == "gpu"), more=more)


BOTH = pool("cpu", 2) + pool("gpu", 2, 'visible_gpus = "${CUDA_VISIBLE_DEVICES#GPU-}"')


@pytest.fixture(scope="module")
def condor():
    shape = ("--nodes", 3, "--gpu-nodes", 1, "--gpus", 2, "--cpus", 8, "--memory", 32000)
    with cluster("htcondor", *shape, "--preempt", "--netns", "--grace", 5) as one:
        yield one


@pytest.fixture
def lab(condor, tmp_path, source, tiny_model):
    one = BatchLab(tmp_path, source, tiny_model, condor)
    yield one
    one.clear_up()
    condor.call("condor_rm", "-all", check=False)


def queue(condor):
    """Return id -> status of all jobs in the queue but those that are removed."""
    lines = condor.call("condor_q", "-allusers", "-af:j", "JobStatus").splitlines()
    return {job: int(state) for job, state in map(str.split, lines) if state != "3"}


def nodes(condor):
    """Return id -> node of all running jobs."""
    lines = condor.call("condor_q", "-allusers", "-af:j", "RemoteHost").splitlines()
    found = dict(map(str.split, lines))
    return {job: host.split("@")[-1].split(".")[0] for job, host in found.items() if host != "undefined"}


@slow
def test_cpu_and_gpu_pools_together_give_the_local_table_behind_tls(condor, lab, clean, capsys):
    process = lab.begin(BOTH, workers=4)
    jobs = lab.jobs()
    assert [len(jobs[name]) for name in ("cpu", "gpu")] == [2, 2]
    address = re.search(r"tls://[\d.]+:\d+", condor.call("condor_q", jobs["cpu"][0], "-af", "Arguments"))[0]
    for stranger in (None, Security.temporary()):
        with pytest.raises((OSError, TypeError)):
            Client(address, security=stranger, timeout=5, set_as_default=False)
    with Client(address, security=read_certificates(lab.out / ".tls"), set_as_default=False) as client:
        found = client.run(lambda: __import__("os").environ["CUDA_VISIBLE_DEVICES"]).values()
    # Set by the batch system under another name, and again by us before Python started.
    assert len({name for name in found if name.startswith("e2egpu1")}) == 2
    lab.finish(process, clean)
    assert {receipt["pool"] for receipt in receipts(lab.out)} == {"cpu", "gpu"}
    assert queue(condor) == {}
    assert aggregate.main([str(lab.out), "--verify"]) == 0
    capsys.readouterr()


@slow
def test_jobs_that_are_removed_held_or_evicted_cost_nothing(condor, lab, clean):
    process = lab.begin(pool("cpu", 3) + pool("gpu", 1), workers=4)
    first, second, third = lab.jobs()["cpu"]
    condor.call("condor_rm", first)
    condor.call("condor_hold", second)
    condor.call("condor_vacate_job", third)
    until(lambda: len(lab.jobs()["cpu"]) >= 5, 60)
    until(lambda: lab.joined() == 4, 90)
    assert not {first, second} & queue(condor).keys()
    lab.finish(process, clean)
    assert queue(condor) == {}


@slow
def test_nodes_that_lose_power_or_are_cut_off_cost_nothing(condor, lab, clean):
    one = BOTH.replace("memory_gib = 2", "memory_gib = 20").replace("workers = 2", "workers = 3", 1)
    process = lab.begin(one.replace("workers = 2", "workers = 1"), workers=4)
    assert sorted(nodes(condor).values()) == ["cpu1", "cpu2", "cpu3", "gpu1"]
    for node, how in (("cpu1", "kill"), ("cpu2", "cut")):
        condor.break_(node, how)
    try:
        until(lambda: lab.joined() == 2, 120)
    finally:
        for node in ("cpu1", "cpu2"):
            condor.break_(node, "heal")
    lab.finish(process, clean)
    assert queue(condor) == {}


def test_jobs_that_die_at_once_stop_the_campaign_with_their_last_lines(condor, lab):
    dies = 'prologue = ["echo FATAL: no such image: r/e:1 >&2", "exit 3"]'
    code, said = lab.end(lab.start(site=pool("cpu", 2, dies)), 90)
    assert code == 2, said
    assert "2 jobs in a row ended before their worker joined" in said
    assert "FATAL: no such image: r/e:1" in said
    assert queue(condor) == {}


@slow
def test_jobs_that_htcondor_holds_stop_the_campaign_with_its_reason(condor, lab):
    held = pool("cpu", 1) + 'transfer_input_files = "/no/such/image.sif"\nshould_transfer_files = "YES"\n'
    code, said = lab.end(lab.start(site=held), 90)
    assert code == 2, said
    assert "/no/such/image.sif" in said
    assert queue(condor) == {}


@slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "term"])
def test_no_job_stays_behind(condor, lab, number):
    process = lab.start(site=BOTH)
    until(lambda: 2 in queue(condor).values(), 60)
    lab.interrupt(process, number)
    assert queue(condor) == {}
