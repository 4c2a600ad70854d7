"""What SLURM says to our job scripts, and campaigns that it refuses."""

import os
import re
import subprocess

import pytest
from distributed import Client
from lab import until
from page_session import says

from e2edist.config.site import load_site
from e2edist.pools import preview
from e2edist.pools._certificates import read_certificates

pytestmark = pytest.mark.parametrize("system", ["slurm"], indirect=True)


def test_a_job_that_slurm_refuses_stops_the_campaign(system, jobs):
    code, said = jobs.end(jobs.start(site=system.pool("cpu", 2, queue="nowhere")), 60)
    assert code == 2, said
    assert "invalid partition specified: nowhere" in said
    assert says("Refused jobs", said), said
    assert system.queue() == {}


@pytest.mark.slow
@pytest.mark.parametrize("how", ["--signal=TERM@50", "preempted", "cancelled"])
def test_workers_that_share_a_job_and_gpus_hand_their_chunks_back_at_its_notice(system, jobs, clean, how):
    """Four workers on two GPUs."""
    device, signal = "$((1-SLURM_LOCALID/2))", how.startswith("--")
    more = (how,) if signal else ()
    queue, walltime = "low" if how == "preempted" else "gpu", 1 if signal else 10
    process = jobs.begin(
        system.shared_job(4, device, *more, queue=queue, walltime_min=walltime, notice_s=1), workers=4
    )
    (job,) = jobs.jobs()["gpu"]
    with Client(
        jobs.address(job), security=read_certificates(jobs.out / ".tls"), set_as_default=False
    ) as client:
        seen = client.run(lambda: os.environ["CUDA_VISIBLE_DEVICES"])
    assert sorted(seen.values()) == ["0", "0", "1", "1"]
    if how == "preempted":
        system.crowd_out(job)
    elif how == "cancelled":
        system.remove(job)
    until(lambda: jobs.log().count("its worker was told to end: give it out again") >= 4)
    jobs.finish(process, clean)
    assert "died" not in jobs.log()


def _scripts():
    sites = [load_site(name) for name in ("perlmutter", "slurm")]
    return [(f"{s.name}-{n}", n, p) for s in sites for n, p in s.pools.items() if p.kind == "slurm"]


@pytest.mark.parametrize(("name", "spec"), [pytest.param(n, p, id=i) for i, n, p in _scripts()])
def test_slurm_takes_the_scripts_of_our_sites(system, name, spec, tmp_path):
    """Options are SLURM's own to check; shifter's come with a plug-in that is not here."""
    lines = preview(name, spec, tmp_path).splitlines(keepends=True)
    script = "".join(line for line in lines if not re.match(r"#SBATCH --(image|module)=", line))
    # Perlmutter chooses partitions by QOS and constraint; here they are named.
    kind = "gpu" if "--constraint=gpu" in script else "cpu"
    done = subprocess.run(
        ["sbatch", "--test-only", "-p", kind],
        env=os.environ | system.env,
        input=script,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "to start at" in done.stderr


@pytest.mark.slow
def test_an_estimate_has_the_queue_s_own_forecast(system, jobs):
    jobs.open_gate()
    site = system.pool("cpu", 2) + system.pool("gpu", 1)
    code, said = jobs.end(jobs.start("--estimate", site=site, env={"COLUMNS": "200"}), 120)
    assert code == 0, said
    assert "estimate of the rest" in said
    assert re.search(r"pool cpu: would start at \d{4}-\d\d-\d\dT", said)
    assert system.queue() == {}
