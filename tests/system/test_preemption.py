"""What a worker does at SIGTERM, without a batch system: job scripts run as processes of this machine."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from lab import end_group, until
from runs import ROOT, TIMEOUT_S, environment

from e2edist.config.site import PoolSpec
from e2edist.pools import PoolEnvironment, Setup, is_draining
from e2edist.pools._batch_pool import open_batch_pool
from e2edist.pools.slurm import Slurm

pytestmark = pytest.mark.slow


class Processes(Slurm):
    """Runs the job scripts that SLURM would get."""

    started = {}  # noqa: RUF012 - of the one test that runs
    requeued = set()  # noqa: RUF012 - these wait in the queue again, whatever still runs of them

    def submit(self, job, name):
        script = self.job_script(job, name)
        # The functions of these tests are this module's.
        here = Path(__file__).parent
        env = environment() | {"PYTHONPATH": os.pathsep.join(map(str, [ROOT, here, here.parent]))}
        process = subprocess.Popen(
            ["bash", "-c", script], env=env, stderr=subprocess.DEVNULL, start_new_session=True
        )
        self.started[str(process.pid)] = process
        return str(process.pid)

    def states(self, ids):
        alive = [job for job in ids if self.started[job].poll() is None]
        return {job: "queued" if job in self.requeued else "running" for job in alive}

    def cancel(self, ids):
        for job in ids:
            end_group(int(job))
            self.started[job].wait(10)

    def log_tail(self, job, number):
        return ""


def _no_setup():
    """Workers need none here."""


def _wait_for(path, mark):
    Path(mark).touch()
    while not Path(path).exists():
        time.sleep(0.02)
    return "done"


def _until_told(mark):
    """Stand for a load of many steps."""
    Path(mark).touch()
    for steps in range(1000):
        if is_draining():
            return steps
        time.sleep(0.05)
    return "never told"


def _bad_setup():
    raise ValueError("no such thing here")


@pytest.fixture
def make(tmp_path):
    """Open a pool of one worker with so many seconds of notice; gives it with its process."""
    pools = []

    def call(notice_s, setup=_no_setup, **more):
        job = {
            "poll_s": 0.2,
            "notice_s": notice_s,
            "interface": "lo",
            "local_directory": str(tmp_path),
        } | more
        spec = PoolSpec.model_validate({"kind": "slurm", "workers": 1, "threads": 1, "job": job})
        place = PoolEnvironment(tmp_path)
        pool = open_batch_pool(Processes(), "cpu", spec, Setup(setup, ()), place)
        pools.append((pool, place))
        until(lambda: pool.slots() == 1 or pool.failure_reason)
        return pool, next(reversed(Processes.started.values()))

    yield call
    for pool, place in pools:
        pool.close()
        place.close()


@pytest.fixture(params=["its job", "all processes of its job"])
def tell(request):
    """Batch systems signal a job's first process, or all of them."""
    return os.kill if request.param == "its job" else os.killpg


@pytest.fixture
def begin(tmp_path):
    """Start a task on a pool, and wait until it runs; it gets some arguments, and a file to say so."""

    def call(pool, function, *arguments):
        mark = tmp_path / "begun"
        pool.submit("one", function, *map(str, arguments), str(mark))
        assert pool.wait(0) == []
        until(mark.exists)

    return call


def test_a_task_that_ends_within_the_notice_is_done_and_the_worker_gone(make, begin, tell, tmp_path):
    pool, process = make(notice_s=60)
    begin(pool, _wait_for, tmp_path / "go")
    tell(process.pid, signal.SIGTERM)
    until(lambda: pool.slots() == 0)  # whoever leaves gets nothing more
    tell(process.pid, signal.SIGTERM)  # as batch systems do
    (tmp_path / "go").touch()
    assert [(o.kind, o.value) for o in pool.wait(TIMEOUT_S)] == [("done", "done")]
    assert process.wait(TIMEOUT_S) == 0


def test_a_task_of_many_steps_hears_that_its_worker_has_to_end_and_comes_home(make, begin, tell, tmp_path):
    pool, process = make(notice_s=60)
    begin(pool, _until_told)
    tell(process.pid, signal.SIGTERM)
    (outcome,) = pool.wait(TIMEOUT_S)
    assert outcome.kind == "done"
    assert outcome.value != "never told"
    assert process.wait(TIMEOUT_S) == 0


def test_a_task_that_needs_longer_comes_back_and_nobody_is_blamed(make, begin, tell, tmp_path):
    pool, process = make(notice_s=1)
    begin(pool, _wait_for, tmp_path / "go")
    tell(process.pid, signal.SIGTERM)
    (outcome,) = pool.wait(TIMEOUT_S)
    assert (outcome.kind, type(outcome.error), str(outcome.error)) == (
        "lost",
        ConnectionError,
        "its worker was told to end",
    )
    assert process.wait(TIMEOUT_S) == 0


def test_a_worker_that_is_killed_after_its_notice_is_blamed_for_nothing_either(make, begin, tell, tmp_path):
    pool, process = make(notice_s=60)
    begin(pool, _wait_for, tmp_path / "go")
    tell(process.pid, signal.SIGTERM)
    until(lambda: pool.slots() == 0)
    end_group(process.pid)
    (outcome,) = pool.wait(TIMEOUT_S)
    assert (outcome.kind, type(outcome.error)) == ("lost", ConnectionError)


def test_the_worker_of_a_requeued_job_gets_nothing_more_and_is_heard_out(make, begin, tmp_path):
    pool, process = make(notice_s=60)
    begin(pool, _wait_for, tmp_path / "go")
    Processes.requeued.add(str(process.pid))
    until(lambda: pool.slots() == 0)
    assert pool.wait(2) == []  # it is not taken for lost
    (tmp_path / "go").touch()
    assert [(o.kind, o.value) for o in pool.wait(TIMEOUT_S)] == [("done", "done")]


def test_a_worker_that_dies_without_notice_puts_its_task_under_suspicion(make, begin, tmp_path):
    pool, process = make(notice_s=60)
    begin(pool, _wait_for, tmp_path / "go")
    end_group(process.pid)
    (outcome,) = pool.wait(TIMEOUT_S)
    assert (outcome.kind, isinstance(outcome.error, ConnectionError)) == ("lost", False)


def test_workers_that_can_not_be_set_up_stop_their_pool(make):
    pool, _ = make(notice_s=1, setup=_bad_setup)
    assert "3 jobs in a row ended before their worker joined" in pool.failure_reason
    assert "no such thing here" in pool.failure_reason


def test_a_worker_that_comes_and_goes_between_two_looks_at_the_queue_has_come(make):
    pool, process = make(notice_s=1, poll_s=600, start_failures=1)
    until(lambda: pool.counts() == {"queued": 0, "running": 1, "joined": 1})
    running, starting = pool.job_seconds()
    assert running >= starting > 0  # its processes need some time
    end_group(process.pid)
    process.wait(TIMEOUT_S)
    until(lambda: pool.counts() == {"queued": 0, "running": 1, "joined": 0})
    pool._supervisor.update()
    assert pool.failure_reason == ""
    assert next(reversed(Processes.started.values())) is not process  # another one has its place
