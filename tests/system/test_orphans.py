"""Workers that start for a driver which is killed meanwhile."""

import os
import signal
import subprocess
import sys

import pytest
from distributed.security import Security
from lab import FAULTS, Lab, end_group, members, until
from runs import ROOT, environment

from e2edist.pools import _orphaned_workers

#: A worker ends within a minute of its driver, on a busy machine a few times that; else it stays for ever.
GONE_S = 240
SCHEDULER = """
import asyncio, sys
from distributed import Scheduler
from distributed.security import Security

async def main(protocol, key, certificate):
    own = {"tls_ca_file": certificate, "tls_scheduler_key": key, "tls_scheduler_cert": certificate}
    security = Security(**own, require_encryption=True) if protocol == "tls" else None
    place = {"protocol": protocol, "host": "127.0.0.1", "port": 0, "dashboard": False}
    async with Scheduler(**place, security=security) as scheduler:
        print(scheduler.address, flush=True)
        while not scheduler.workers:
            await asyncio.sleep(0.1)
        print("joined", flush=True)
        await scheduler.finished()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def start(tmp_path):
    """Start processes that end with the test, each in a group of its own."""
    started = []

    def call(*words, **env):
        process = subprocess.Popen(
            list(map(str, words)),
            env=environment() | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
            cwd=tmp_path,
        )
        started.append(process)
        return process

    yield call
    for process in started:
        end_group(process.pid)
        process.wait(10)
        process.stdout.close()


@pytest.fixture(params=["tcp", pytest.param("tls", marks=pytest.mark.slow)])
def start_both(request, start, tmp_path):
    """Return a function that starts a scheduler and a job's worker, which imports for so many seconds."""

    def call(import_s):
        secret = Security.temporary()
        key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
        key.write_text(secret.tls_client_key)
        certificate.write_text(secret.tls_client_cert)
        scheduler = start(sys.executable, "-c", SCHEDULER, request.param, key, certificate)
        address = scheduler.stdout.readline().strip()
        tls = ["--tls-ca-file", certificate, "--tls-cert", certificate, "--tls-key", key]
        worker = start(
            *(sys.executable, "-m", "e2edist.pools._worker", address, "--nanny", "--death-timeout", 3600),
            *("--no-dashboard", "--local-directory", tmp_path, *(tls if request.param == "tls" else [])),
            PYTHONPATH=os.pathsep.join([str(FAULTS), str(ROOT)]),
            E2E_MARKS=str(tmp_path),
            E2E_IMPORT=str(import_s),
        )
        until(lambda: list(tmp_path.glob("import.*")) or worker.poll() is not None)
        assert worker.poll() is None
        return scheduler, worker

    return call


@pytest.mark.slow
def test_the_worker_of_a_job_that_imports_for_long_joins(start_both):
    scheduler, worker = start_both(3 * _orphaned_workers._LOOK_S)
    assert scheduler.stdout.readline() == "joined\n"
    assert worker.poll() is None


def test_the_worker_of_a_job_whose_driver_is_killed_before_it_joins_ends_by_itself(
    start_both,
):
    scheduler, worker = start_both(3600)
    scheduler.send_signal(signal.SIGKILL)
    until(lambda: worker.poll() is not None and not members(worker.pid), GONE_S)


@pytest.mark.slow
def test_local_workers_whose_driver_is_killed_while_they_start_end_by_themselves(
    tmp_path, source, tiny_model
):
    lab = Lab(tmp_path, source, tiny_model)
    try:
        process = lab.start(workers=2, env={"E2E_IMPORT": "10"})
        until(lambda: len(list(lab.marks.glob("import.*"))) == 2)
        process.kill()
        process.wait()
        until(lambda: not members(process.pid), GONE_S)
    finally:
        lab.clear_up()
