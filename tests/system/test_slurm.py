"""Campaigns on a real SLURM of several nodes, whose jobs, nodes and network fail."""

import os
import re
import signal
import subprocess

import pytest
from batch import BatchLab, cluster
from distributed import Client
from distributed.security import Security
from lab import until
from runs import receipts

from e2edist import aggregate
from e2edist.pools import preview
from e2edist.pools._tls import read_certificates
from e2edist.spec.site import load_site

slow = pytest.mark.slow

POOL = """
[pools.{name}]
kind = "slurm"
workers = {workers}
threads = 1
memory_gib = 2
provider = "cpu"         # the GPUs of the test cluster are fake
[pools.{name}.job]
queue = "{queue}"
walltime_min = {walltime}
poll_s = 0.5
start_failures = 2
"""
#: One job of two workers, each with a GPU of its own, numbered the other way round.
GPU = """
workers_per_job = 2
launcher = "srun --ntasks=2 --cpus-per-task=1 --mem=2000 --kill-on-bad-exit=1"
visible_gpus = "$((1-SLURM_LOCALID))"
skip = ["-n 1", "--cpus-per-task", "--mem="]
directives = ["--ntasks=2", "--cpus-per-task=1", "--mem=4000", "--gres=gpu:2"]
"""


def pool(name, workers=1, *, queue="", walltime=10, more=""):
    return POOL.format(name=name, workers=workers, queue=queue or name, walltime=walltime) + more


BOTH = pool("cpu", 2) + pool("gpu", 2, more=GPU)


@pytest.fixture(scope="module")
def slurm():
    shape = ("--nodes", 3, "--gpu-nodes", 1, "--gpus", 4, "--cpus", 256, "--memory", 500000)
    with cluster("slurm", *shape, "--preempt", "--netns", "--grace", 5) as one:
        yield one


@pytest.fixture
def lab(slurm, tmp_path, source, tiny_model):
    one = BatchLab(tmp_path, source, tiny_model, slurm)
    yield one
    one.clear_up()
    slurm.call("scancel", "--me", check=False)


def queue(slurm):
    """Return id -> state of all jobs in the queue; what is only cleaned up does not count."""
    rows = [line.split() for line in slurm.call("squeue", "-h", "-o", "%i %T").splitlines()]
    return {job: state for job, state in rows if state != "COMPLETING"}


def nodes(slurm):
    """Return id -> node of all running jobs."""
    lines = slurm.call("squeue", "-h", "-t", "R", "-o", "%i %N").splitlines()
    return dict(line.split() for line in lines)


@slow
def test_cpu_and_gpu_pools_together_give_the_local_table_behind_tls(slurm, lab, clean, capsys):
    process = lab.begin(BOTH, workers=4)
    jobs = lab.jobs()
    assert [len(jobs[name]) for name in ("cpu", "gpu")] == [2, 1]
    script = slurm.call("scontrol", "write", "batch_script", jobs["cpu"][0], "-")
    address = re.search(r"tls://[\d.]+:\d+", script)[0]
    for stranger in (None, Security.temporary()):
        with pytest.raises((OSError, TypeError)):
            Client(address, security=stranger, timeout=5, set_as_default=False)
    with Client(address, security=read_certificates(lab.out / ".tls"), set_as_default=False) as client:
        found = client.run(lambda: dict(os.environ)).values()
        # With the certificates somebody else's client is as good as ours.
        assert client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.workers)) == 4
    gpus = sorted(v["CUDA_VISIBLE_DEVICES"] for v in found if v["SLURM_JOB_PARTITION"] == "gpu")
    assert gpus == ["0", "1"]
    lab.finish(process, clean)
    assert {receipt["pool"] for receipt in receipts(lab.out)} == {"cpu", "gpu"}
    assert len({receipt["host"] for receipt in receipts(lab.out)}) >= 2
    assert queue(slurm) == {}
    assert aggregate.main([str(lab.out), "--verify"]) == 0
    capsys.readouterr()


@slow
def test_jobs_that_are_cancelled_requeued_or_held_cost_nothing(slurm, lab, clean):
    process = lab.begin(pool("cpu", 3) + pool("gpu", 1), workers=4)
    first, second, third = lab.jobs()["cpu"]
    slurm.call("scancel", first)
    slurm.call("scontrol", "requeue", second)
    slurm.call("scontrol", "requeuehold", third)
    until(lambda: len(lab.jobs()["cpu"]) == 5, 60)  # of the three only the requeued one is kept
    until(lambda: queue(slurm).get(second) == "RUNNING", 60)
    until(lambda: lab.joined() == 4, 90)
    assert first not in queue(slurm)
    assert third not in queue(slurm)
    lab.finish(process, clean)
    assert queue(slurm) == {}


@slow
def test_nodes_that_lose_power_hang_or_are_cut_off_cost_nothing(slurm, lab, clean):
    one = '\ndirectives = ["--exclusive"]\n'
    process = lab.begin(pool("cpu", 3, more=one) + pool("gpu", 1), workers=4)
    assert sorted(nodes(slurm).values()) == ["cpu1", "cpu2", "cpu3", "gpu1"]
    try:
        slurm.break_("cpu1", "kill")
        slurm.break_("cpu2", "cut")
        slurm.break_("gpu1", "freeze")
        until(lambda: lab.joined() == 1, 60)  # not a minute later, when Dask would notice
    finally:
        for node in ("cpu1", "cpu2", "gpu1"):
            slurm.break_(node, "heal")
    # The cut-off worker has its chunk still, and may write its part beside another's.
    lab.finish(process, clean)
    assert queue(slurm) == {}


@slow
def test_preempted_jobs_come_back(slurm, lab, clean):
    cpu = '\ndirectives = ["--constraint=cpu"]\n'
    process = lab.begin(pool("cpu", 2, queue="low", more=cpu) + pool("gpu", 1), workers=3)
    jobs = lab.jobs()["cpu"]
    node = nodes(slurm)[jobs[0]]
    script = "#!/bin/sh\nsleep 4\n"
    slurm.call("sbatch", "-p", "high", "-w", node, "--exclusive", "--mem=0", "-o", "/dev/null", text=script)
    until(lambda: "was requeued" in lab.log(), 60)
    until(lambda: lab.joined() == 3, 90)
    lab.finish(process, clean)
    assert lab.jobs()["cpu"] == jobs  # the same jobs, queued anew by SLURM
    assert queue(slurm) == {}


@slow
def test_the_end_of_the_walltime_costs_nothing(slurm, lab, clean):
    """The chunk at the gate outlives its job, which SLURM ends after a minute or a bit more."""
    process = lab.begin(pool("cpu", 1, walltime=1), workers=1)
    until(lambda: "gets no more chunks before its walltime" in lab.log(), 90)
    until(lambda: len(lab.jobs()["cpu"]) == 2, 150)
    lab.finish(process, clean)
    assert queue(slurm) == {}


def test_jobs_that_die_at_once_stop_the_campaign_with_their_last_lines(slurm, lab):
    dies = '\nprologue = ["echo FATAL: no such image: r/e:1 >&2", "exit 3"]\n'
    code, said = lab.end(lab.start(site=pool("cpu", 2, more=dies)), 60)
    assert code == 2, said
    assert "2 jobs in a row ended before their worker joined" in said
    assert "FATAL: no such image: r/e:1" in said
    assert queue(slurm) == {}


def test_a_job_that_slurm_refuses_stops_the_campaign(slurm, lab):
    code, said = lab.end(lab.start(site=pool("cpu", 2, queue="nowhere")), 60)
    assert code == 2, said
    assert "invalid partition specified: nowhere" in said
    assert queue(slurm) == {}


@slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "term"])
def test_no_job_stays_behind(slurm, lab, number):
    process = lab.start(site=BOTH)
    until(lambda: "RUNNING" in queue(slurm).values(), 60)
    lab.interrupt(process, number)
    assert queue(slurm) == {}


def _scripts():
    sites = [load_site(name) for name in ("perlmutter", "slurm")]
    return [(f"{s.name}-{n}", n, p) for s in sites for n, p in s.pools.items() if p.kind == "slurm"]


@pytest.mark.parametrize(("name", "spec"), [pytest.param(n, p, id=i) for i, n, p in _scripts()])
def test_slurm_takes_the_scripts_of_our_sites(slurm, name, spec, tmp_path):
    """Options are SLURM's own to check; shifter's come with a plug-in that is not here."""
    lines = preview(name, spec, tmp_path).splitlines(keepends=True)
    script = "".join(line for line in lines if not re.match(r"#SBATCH --(image|module)=", line))
    # Perlmutter chooses partitions by QOS and constraint; here they are named.
    kind = "gpu" if "--constraint=gpu" in script else "cpu"
    done = subprocess.run(
        ["sbatch", "--test-only", "-p", kind],
        env=os.environ | slurm.env,
        input=script,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "to start at" in done.stderr
