"""Campaigns that HTCondor holds, and nodes that share no disk with the host that submits."""

import pytest
from distributed import Client
from page_session import says
from runs import parts
from servers import Web

from e2edist.config.site import load_site
from e2edist.pools import preview
from e2edist.pools._certificates import read_certificates
from e2edist.worker import run_chunk

pytestmark = pytest.mark.parametrize("system", ["htcondor"], indirect=True)


@pytest.mark.slow
def test_jobs_that_htcondor_holds_stop_the_campaign_with_its_reason(system, jobs):
    lines = {"transfer_input_files": "/no/such/image.sif", "should_transfer_files": "YES"}
    code, said = jobs.end(jobs.start(site=system.pool("cpu", 1, attributes=lines)), 90)
    assert code == 2, said
    assert "/no/such/image.sif" in said
    assert says("Held jobs", said), said
    assert system.queue() == {}


@pytest.mark.slow
def test_parts_come_home_from_workers_that_do_not_see_our_disk(system, jobs, source, clean):
    with Web(source, system.env["E2EDIST_TEST_HOST"]) as web:
        urls = [f"{web.url}/{path.name}\n" for path in sorted(source.iterdir())]
        jobs.source = jobs.folder / "files.txt"
        jobs.source.write_text("".join(urls), encoding="utf-8")
        process = jobs.begin(system.pool("cpu", 2, shared_disk=False), workers=2)
        job = jobs.jobs()["cpu"][0]
        security = read_certificates(jobs.out / ".tls")
        with Client(jobs.address(job), security=security, set_as_default=False) as client:
            found = client.run(
                lambda: [(c.folder, c.tagger.model.path) for c in run_chunk._contexts.values()]
            )
            known = [place for places in found.values() for place in places]
        # There is no path of ours that a worker could read or write.
        assert [folder for folder, _ in known] == ["", ""]
        assert not any(str(jobs.model.parent) in model for _, model in known)
        assert str(jobs.out) not in system.text(job)
        jobs.finish(process, clean)
    assert len(parts(jobs.out)) == 24


def test_inputs_that_workers_without_our_disk_can_not_see_are_refused(system, jobs):
    code, said = jobs.end(jobs.start(site=system.pool("cpu", 1, shared_disk=False)), 30)
    assert code == 2
    assert "its workers don't see this host's disk (job.shared_disk = false)" in said
    assert "Give inputs as root:// or https:// addresses, or below /cvmfs." in said
    assert system.queue() == {}


def _files():
    sites = [load_site(name) for name in ("htcondor", "lpc", "lxplus")]
    return [(f"{s.name}-{n}", n, p) for s in sites for n, p in s.pools.items()]


@pytest.mark.parametrize(("name", "spec"), [pytest.param(n, p, id=i) for i, n, p in _files()])
def test_htcondor_takes_the_submit_files_of_our_sites(system, name, spec, tmp_path):
    """Lines are HTCondor's own to check; there is no grid proxy here."""
    lines = preview(name, spec, tmp_path).splitlines(keepends=True)
    text = "".join(line for line in lines if not line.startswith("use_x509userproxy"))
    ad = system.call("condor_submit", "-dry-run", "-", "-", text=text)
    found = dict(line.split("=", maxsplit=1) for line in ad.splitlines() if "=" in line)
    assert found["DaskWorkerCores"] == str(spec.threads)
    assert found["MaxRuntime"] == str(spec.job.walltime_min * 60)
    assert found.get("RequestGPUs", "0") == str(spec.job.gpus)
    assert found.get("IsDaskWorker") == ("true" if "MY.IsDaskWorker" in spec.job.attributes else None)
