"""Workers of jobs end without dumps: whoever reads a job's log finds what went wrong, and nothing else."""

import os
import re
import shlex
import signal
import subprocess
import sys
import threading

import pytest
from runs import environment

from e2edist.config.site import PoolSpec
from e2edist.pools import configured, preview
from e2edist.pools._certificates import make_certificates

SCHEDULER = """
import asyncio, sys
from pathlib import Path
from e2edist.pools import configured
async def serve(folder):
    from distributed import Scheduler
    from e2edist.pools._certificates import read_certificates
    options = {"protocol": "tls://", "host": "127.0.0.1", "port": 0, "dashboard_address": "127.0.0.1:0"}
    async with Scheduler(**options, security=read_certificates(folder)) as scheduler:
        print(scheduler.address, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
with configured():
    asyncio.run(serve(Path(sys.argv[1])))
"""
pytestmark = pytest.mark.slow
#: What Dask logs when a worker is there, and before.
JOINED, STARTS = "Registered to:", "Start Nanny at"


class TaskContext:
    """A job script of ours, run as a process of this machine, and its log."""

    def __init__(self, script, cwd, more=None):
        self.lines, self.process = (
            [],
            subprocess.Popen(
                ["bash"],
                stdin=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=cwd,
                env=environment() | (more or {}),
                start_new_session=True,
            ),
        )
        self.process.stdin.write(script)
        self.process.stdin.close()

    def read_until(self, text):
        for line in self.process.stderr:
            self.lines.append(line)
            if text in line:
                return
        raise AssertionError("".join(self.lines))

    def end(self):
        """Return the exit code and all that was written."""
        self.lines += self.process.stderr.readlines()
        return self.process.wait(60), "".join(self.lines)


@pytest.fixture
def place(tmp_path):
    with configured():
        make_certificates(tmp_path / ".tls")
    return tmp_path


@pytest.fixture
def scheduler(place):
    """The process of a scheduler, and its address."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCHEDULER, str(place / ".tls")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    yield process, process.stdout.readline().strip()
    process.kill()
    process.wait(60)
    process.stdin.close()
    process.stdout.close()


@pytest.fixture
def start(place):
    """Start the job of a worker for the scheduler at an address."""
    jobs = []

    def call(address, more=None, **job):
        job |= {"interface": "lo", "local_directory": str(place)}
        spec = PoolSpec.model_validate({"kind": "slurm", "threads": 1, "memory_gib": 1, "job": job})
        text = preview("cpu", spec, place).replace("tls://SCHEDULER:PORT", address)
        jobs.append(TaskContext(text, place, more))
        return jobs[-1]

    yield call
    for job in jobs:
        if job.process.poll() is None:
            os.killpg(job.process.pid, signal.SIGKILL)
        job.process.wait(60)
        job.process.stderr.close()


def is_quiet(text):
    bad = r"Traceback|was destroyed|Exception ignored| - (WARNING|ERROR|CRITICAL) - |^\S*(Error|Exception)\b"
    return not re.search(bad, text, re.MULTILINE)


@pytest.mark.parametrize(
    ("number", "tell"), [(signal.SIGTERM, os.kill), (signal.SIGTERM, os.killpg), (signal.SIGINT, os.killpg)]
)
@pytest.mark.parametrize("seen", [JOINED, STARTS])
def test_a_worker_that_is_told_to_end_ends_quietly_from_its_start_on(scheduler, start, number, tell, seen):
    job = start(scheduler[1])
    job.read_until(seen)
    tell(job.process.pid, number)
    assert is_quiet(job.end()[1])


def test_a_worker_that_looks_for_its_scheduler_ends_quietly(start):
    job = start("tls://127.0.0.1:7")
    timer = threading.Timer(6, job.process.terminate)
    timer.start()
    assert is_quiet(job.end()[1])
    timer.join()


@pytest.mark.parametrize("how", ["is killed", "closes"])
def test_a_worker_whose_scheduler_ends_follows_quietly(scheduler, start, how):
    process, address = scheduler
    job = start(address)
    job.read_until(JOINED)
    if how == "closes":
        process.stdin.close()
    else:
        process.kill()
    assert is_quiet(job.end()[1])


def test_a_worker_that_finds_its_scheduler_gone_says_so_in_a_line(scheduler, start):
    process, address = scheduler
    job = start(address, death_timeout_s=8)
    job.read_until(STARTS)
    process.kill()
    code, text = job.end()
    assert code == 1
    assert "no worker: its scheduler is gone (the campaign has ended) or can't be reached" in text
    assert is_quiet(text)


def test_what_really_goes_wrong_is_told_with_its_trace(scheduler, start, place):
    (place / "broken.py").write_text("raise ValueError('nothing works here')")
    job = start(scheduler[1], worker_args=("--preload", shlex.quote(str(place / "broken.py"))))
    code, text = job.end()
    assert code == 1
    assert "ValueError: nothing works here" in text
