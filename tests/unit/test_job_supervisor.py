"""The supervisor of a pool's jobs, step by step, over a batch system that does what the test says."""

import pickle
import re
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from e2edist.config.jobs import JobSpec
from e2edist.errors import ResourceError
from e2edist.pools import _job_supervisor, _worker_events
from e2edist.pools._batch_commands import call
from e2edist.pools._job_supervisor import JobSupervisor
from e2edist.pools._pool_queue import PoolQueue
from e2edist.pools.slurm import Slurm


class Scripted:
    """Jobs that are queued, running or gone as the test says; `out` while it does not answer."""

    def __init__(self):
        self.jobs, self.submitted, self.cancelled = {}, [], []
        self.out = self.sticky = False

    def _ask(self):
        if self.out:
            raise ResourceError("squeue", "did not answer in 60 s")

    def script(self, name):
        return name

    def submit(self, name):
        self._ask()
        self.submitted.append(name)
        job = str(len(self.submitted))
        self.jobs[job] = "queued"
        return job

    def states(self, ids):
        self._ask()
        return {job: self.jobs[job] for job in ids if job in self.jobs}

    def cancel(self, ids):
        self._ask()
        for job in ids:
            self.cancelled.append(job)
            if not self.sticky:
                self.jobs.pop(job, None)

    def keys_to_change(self, state):
        return PoolQueue(Slurm(), SimpleNamespace(pool="gpu")).keys_to_change(state)

    def log_tail(self, job):
        return f"last lines of {job}"


class Clock:
    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(_job_supervisor, "time", made)
    return made


@pytest.fixture
def stage(clock):
    """Return (make, batch, names that the scheduler knows, names that were drained)."""
    batch, names, drained = Scripted(), set(), []

    def make(wanted=2, **spec):
        job = JobSpec(**{"poll_s": 1.0, "walltime_min": 60, "start_failures": 3} | spec)
        forget = names.difference_update

        def drain(jobs):
            drained.extend(jobs)
            return [name for name in jobs if name in names]

        workers = SimpleNamespace(joined=lambda: set(names), drain=drain, forget=forget, scale_down=_busy)
        return JobSupervisor(batch, job, "gpu", wanted, workers)

    return make, batch, names, drained


def _busy(names, number):
    """All workers have something to do."""
    return []


def _all_run(batch, names):
    for job in batch.jobs:
        batch.jobs[job] = "running"
        names.add(batch.submitted[int(job) - 1])


def test_jobs_are_submitted_up_to_what_is_wanted_and_counted(stage):
    make, batch, names, _ = stage
    supervisor = make(3)
    supervisor.update()
    assert batch.submitted == ["gpu-0", "gpu-1", "gpu-2"]
    assert supervisor.counts() == {"queued": 3, "running": 0, "joined": 0}
    batch.jobs["2"] = "running"
    supervisor.update()
    assert supervisor.counts() == {"queued": 2, "running": 1, "joined": 0}
    _all_run(batch, names)
    supervisor.update()
    assert supervisor.counts() == {"queued": 0, "running": 3, "joined": 3}
    assert len(batch.submitted) == 3


def test_what_queued_jobs_wait_for_is_told_until_they_run(stage):
    make, batch, names, _ = stage
    supervisor = make()
    supervisor.update()
    batch.jobs.update({"1": "queued", "2": "queued: Priority"})
    supervisor.update()
    assert (supervisor.waits_for, supervisor.counts()["queued"]) == ("Priority", 2)
    _all_run(batch, names)
    supervisor.update()
    assert (supervisor.waits_for, supervisor.counts()["joined"]) == ("", 2)
    batch.jobs["1"] = "queued: BeginTime"  # requeued
    supervisor.update()
    assert (supervisor.waits_for, supervisor.counts()["queued"]) == ("BeginTime", 1)


def test_names_tell_runs_apart(stage):
    make, batch, _, _ = stage
    supervisor = make(1)
    supervisor.run = "a1b2"
    supervisor.update()
    assert batch.submitted == ["gpu-a1b2-0"]


def test_a_lost_job_is_replaced(stage):
    make, batch, names, _ = stage
    supervisor = make()
    supervisor.update()
    _all_run(batch, names)
    supervisor.update()
    del batch.jobs["1"]
    supervisor.update()
    assert names == {"gpu-1"}
    assert batch.submitted == ["gpu-0", "gpu-1", "gpu-2"]
    assert supervisor.failure_reason == ""


def test_nothing_is_replaced_when_no_work_is_left(stage):
    make, batch, names, _ = stage
    supervisor = make()
    supervisor.update()
    _all_run(batch, names)
    supervisor.update()
    supervisor.wanted = 0
    batch.jobs.clear()
    supervisor.update()
    assert len(batch.submitted) == 2
    assert supervisor.failure_reason == ""


def test_replacements_have_an_end_that_is_told(stage):
    make, batch, names, _ = stage
    supervisor = make(1, replacements=2)
    for _ in range(4):
        supervisor.update()
        _all_run(batch, names)
        supervisor.update()
        batch.jobs.clear()
    supervisor.update()
    assert len(batch.submitted) == 3
    assert supervisor.failure_reason == "all of its jobs are gone, and 2 were replaced already"


def test_jobs_that_end_before_they_join_stop_the_pool_with_the_last_lines(stage):
    make, batch, _, _ = stage
    supervisor = make(2)
    supervisor.update()
    for _ in range(2):
        batch.jobs.pop(min(batch.jobs, key=int))
        supervisor.update()
        assert supervisor.failure_reason == ""
    batch.jobs.pop("3")
    supervisor.update()
    assert supervisor.failure_reason == (
        "3 jobs in a row ended before their worker joined (they end by themselves):\nlast lines of 3"
    )
    # The one that still waited can't start either.
    assert batch.jobs == {}
    assert supervisor.counts() == {"queued": 0, "running": 0, "joined": 0}


def test_workers_that_join_and_can_not_be_set_up_count_as_jobs_that_died(stage):
    make, batch, names, _ = stage
    supervisor = make(2, start_failures=2)
    supervisor.update()
    _all_run(batch, names)
    supervisor.setup_failures.update(dict.fromkeys(names, "ImportError: no numba"))
    supervisor.update()
    assert "2 jobs in a row ended before their worker joined" in supervisor.failure_reason
    assert "ImportError: no numba" in supervisor.failure_reason
    assert "last lines of" in supervisor.failure_reason
    assert batch.jobs == {}


def test_a_worker_that_joins_clears_the_record(stage):
    make, batch, names, _ = stage
    supervisor = make(1, start_failures=2)
    for _ in range(3):
        supervisor.update()
        batch.jobs.clear()
        supervisor.update()
        _all_run(batch, names)
        supervisor.update()
        batch.jobs.clear()
    assert supervisor.failure_reason == ""


def test_workers_that_come_and_go_between_two_looks_are_no_jobs_that_can_not_start(stage, clock):
    make, batch, _, _ = stage
    supervisor = make(1, start_failures=2)
    for i in range(4):
        supervisor.update()
        clock.now += 3
        supervisor.hear(f"gpu-{i}.0", 2.0)
        clock.now += 4
        supervisor.hear(f"gpu-{i}.0", None)
        clock.now += 3
        batch.jobs.clear()
    supervisor.update()
    assert len(batch.submitted) == 5
    assert supervisor.failure_reason == ""


def test_one_worker_that_came_between_two_looks_clears_the_record(stage):
    make, batch, _, _ = stage
    supervisor = make(1, start_failures=2)
    for i in range(4):
        supervisor.update()
        if i % 2:
            supervisor.hear(f"gpu-{i}", 0.0)
        batch.jobs.clear()
    supervisor.update()
    assert supervisor.failure_reason == ""
    for _ in range(2):
        batch.jobs.clear()
        supervisor.update()
    assert "2 jobs in a row" in supervisor.failure_reason


def test_a_worker_counts_at_once_and_until_it_leaves(stage):
    make, _, _, _ = stage
    supervisor = make(2)
    supervisor.update()
    supervisor.hear("gpu-0.0", 5.0)
    supervisor.hear("another-0", 5.0)  # of nobody here
    assert supervisor.counts() == {"queued": 1, "running": 1, "joined": 1}
    supervisor.hear("gpu-0.0", None)
    assert supervisor.counts() == {"queued": 1, "running": 1, "joined": 0}


def test_a_job_of_several_workers_has_joined_with_the_first_and_left_with_the_last(stage):
    make, _, _, _ = stage
    supervisor = make(1)
    supervisor.update()
    for worker, age_s, joined in (
        ("gpu-0.0.0", 1.0, 1),
        ("gpu-0.0.1", 1.0, 1),
        ("gpu-0.0.0", None, 1),
        ("gpu-0.0.1", None, 0),
        ("gpu-0.0.1", 9.0, 1),  # its nanny has started it anew
    ):
        supervisor.hear(worker, age_s)
        assert supervisor.counts()["joined"] == joined


def test_a_queue_that_is_late_does_not_take_a_worker_away(stage, clock):
    make, batch, names, drained = stage
    supervisor = make(1)
    supervisor.update()
    clock.now += 5
    names.add("gpu-0")
    supervisor.hear("gpu-0", 2.0)
    for state in ("queued", "running"):
        batch.jobs["1"] = state
        supervisor.update()
        assert supervisor.counts() == {"queued": 0, "running": 1, "joined": 1}
    assert drained == []
    clock.now += 5
    batch.jobs["1"] = "queued"  # and now it means it
    supervisor.update()
    assert drained == ["gpu-0"]
    assert supervisor.counts() == {"queued": 1, "running": 0, "joined": 0}


@pytest.mark.parametrize("looks", [True, False], ids=["seen", "between two looks"])
def test_a_job_takes_what_its_workers_say_and_each_of_its_lives_counts(stage, clock, looks):
    make, batch, _, _ = stage
    supervisor = make(1, poll_s=10)
    supervisor.update()
    clock.now += 30
    supervisor.update()
    clock.now += 7
    supervisor.hear("gpu-0.0", 4.0)  # since 1033
    clock.now += 6
    assert supervisor.job_seconds() == (10.0, 4.0)
    supervisor.hear("gpu-0.0", None)
    clock.now += 2
    if looks:
        batch.jobs["1"] = "queued"
        supervisor.update()
        assert supervisor.job_seconds() == (10.0, 4.0)
    clock.now += 20
    supervisor.hear("gpu-0.1", 3.0)
    clock.now += 1
    supervisor.hear("gpu-0.1", None)
    clock.now += 5
    batch.jobs.clear()
    supervisor.update()
    assert supervisor.job_seconds() == (14.0, 7.0)
    clock.now += 50
    supervisor.close()
    assert supervisor.job_seconds() == (14.0, 7.0)


def test_without_a_worker_s_word_a_job_began_and_ended_as_the_queue_says(stage, clock):
    make, batch, _, _ = stage
    supervisor = make(1, poll_s=10)
    supervisor.update()
    clock.now += 10
    batch.jobs["1"] = "running"
    supervisor.update()
    clock.now += 20
    assert supervisor.job_seconds() == (25.0, 25.0)
    supervisor.wanted = 0
    supervisor.close()
    clock.now += 20
    assert supervisor.job_seconds() == (25.0, 25.0)


def test_a_clock_that_is_wrong_starts_no_job_before_the_queue_had_it_waiting(stage, clock):
    make, _, _, _ = stage
    supervisor = make(1)
    supervisor.update()
    clock.now += 5
    supervisor.hear("gpu-0.0", 4000.0)
    assert supervisor.job_seconds() == (5.0, 5.0)


def test_a_job_is_as_old_as_its_batch_system_says(monkeypatch, tmp_path):
    nanny = SimpleNamespace(create_time=lambda: time.time() - 3)
    monkeypatch.setattr(_worker_events.psutil, "Process", lambda number: nanny)
    for name in ("SLURM_JOB_START_TIME", "_CONDOR_JOB_AD"):
        monkeypatch.delenv(name, raising=False)
    assert _age() == pytest.approx(3, abs=2)
    monkeypatch.setenv("SLURM_JOB_START_TIME", str(time.time() - 50))
    assert _age() == pytest.approx(50, abs=5)
    ad = tmp_path / ".job.ad"
    start = f"JobCurrentStartDate = {time.time() - 100:.0f}"
    ad.write_text(f'Cmd = "JobCurrentStartDate = 1"\n{start}\nJobStatus = 2\n')
    monkeypatch.setenv("_CONDOR_JOB_AD", str(ad))
    assert _age() == pytest.approx(100, abs=5)
    monkeypatch.setenv("_CONDOR_JOB_AD", str(tmp_path / "gone"))
    monkeypatch.setenv("SLURM_JOB_START_TIME", "soon")
    assert _age() == pytest.approx(3, abs=2)


def _age():
    what, said = _worker_events.set_up_event(SimpleNamespace(name="gpu-0"))
    name, age_s = pickle.loads(said)
    assert (what, name) == (_worker_events.SET_UP, "gpu-0")
    return age_s


def test_held_jobs_are_removed_and_their_reason_is_told(stage):
    make, batch, _, _ = stage
    supervisor = make(1, start_failures=2)
    supervisor.update()
    batch.jobs["1"] = "held: no such image"
    supervisor.update()
    assert batch.cancelled == ["1"]
    assert batch.submitted == ["gpu-0", "gpu-1"]
    batch.jobs["2"] = "held: no such image"
    supervisor.update()
    what = "2 jobs in a row ended before their worker joined (held: no such image)"
    assert supervisor.failure_reason.startswith(what)


def test_a_job_that_can_never_start_names_the_keys_to_change(stage):
    make, batch, _, _ = stage
    supervisor = make(1, start_failures=1)
    supervisor.update()
    batch.jobs["1"] = "held: PartitionTimeLimit"
    supervisor.update()
    keys = "pools.gpu.job.walltime_min or pools.gpu.job.queue"
    assert supervisor.failure_reason == f"its jobs can never start (PartitionTimeLimit); change {keys}"


def test_a_held_job_that_can_not_be_removed_now_is_removed_later(stage, monkeypatch):
    make, batch, names, _ = stage
    supervisor = make(1)
    supervisor.update()
    _all_run(batch, names)
    supervisor.update()
    batch.jobs["1"] = "held: by somebody"
    with monkeypatch.context() as patch:

        def refuse(ids):
            raise ResourceError("condor_rm", "did not answer")

        patch.setattr(batch, "cancel", refuse)
        with pytest.raises(ResourceError):
            supervisor.update()
    supervisor.update()
    assert "1" not in batch.jobs
    assert batch.submitted == ["gpu-0", "gpu-1"]


def test_a_requeued_job_is_kept_and_its_walltime_begins_anew(stage, clock):
    make, batch, names, drained = stage
    supervisor = make(1)
    supervisor.update()
    _all_run(batch, names)
    supervisor.update()
    clock.now += 3000
    batch.jobs["1"] = "ending"  # between two runs
    supervisor.update()
    batch.jobs["1"] = "queued"
    supervisor.update()
    assert drained == ["gpu-0"]
    drained.clear()
    clock.now += 3000
    _all_run(batch, names)
    supervisor.update()
    clock.now += 3000
    supervisor.update()
    assert drained == []
    clock.now += 700
    supervisor.update()
    assert drained == ["gpu-0"]
    assert len(batch.submitted) == 1


def test_the_worker_of_a_requeued_job_may_finish_what_it_runs_and_is_forgotten_after_its_notice(stage, clock):
    make, batch, names, drained = stage
    supervisor = make(1, notice_s=20)
    supervisor.update()
    _all_run(batch, names)
    supervisor.update()
    batch.jobs["1"] = "queued"
    supervisor.update()
    clock.now += 15
    supervisor.update()
    assert (names, drained) == ({"gpu-0"}, ["gpu-0"])  # it gets nothing more, and is still heard
    clock.now += 10
    supervisor.update()
    assert names == set()  # whatever the scheduler believes


def test_a_requeued_job_that_can_not_start_any_more_counts(stage):
    make, batch, names, _ = stage
    supervisor = make(1, start_failures=1)
    supervisor.update()
    _all_run(batch, names)
    supervisor.update()
    batch.jobs["1"] = "queued"
    names.clear()
    supervisor.update()
    batch.jobs.clear()
    supervisor.update()
    assert "1 jobs in a row" in supervisor.failure_reason


def test_a_worker_is_drained_once_when_a_chunk_could_outlive_its_job(stage, clock):
    make, batch, names, drained = stage
    supervisor = make(1, walltime_min=10)
    supervisor.longest_s = 100.0
    supervisor.update()
    _all_run(batch, names)
    supervisor.update()
    for seconds, wanted in ((490, []), (20, ["gpu-0"]), (20, ["gpu-0"])):
        clock.now += seconds
        supervisor.update()
        assert drained == wanted


@pytest.mark.parametrize(("seconds", "wanted"), [(497, []), (499, ["gpu-0"])])
def test_a_chunk_must_end_two_looks_before_the_walltime(stage, clock, seconds, wanted):
    make, batch, names, drained = stage
    supervisor = make(1, walltime_min=10)
    supervisor.longest_s = 100.0
    supervisor.update()
    _all_run(batch, names)
    supervisor.update()
    clock.now += seconds  # 600 less 100 less two times a second
    supervisor.update()
    assert drained == wanted


def _elastic(make, least, most, left):
    supervisor = make(least)
    supervisor.most, supervisor.left = most, left
    return supervisor


def test_a_pool_is_of_fixed_size_without_a_limit_to_grow_to(stage):
    make, batch, names, _ = stage
    supervisor = _elastic(make, 2, 0, 1000)
    for _ in range(4):
        supervisor.update()
        _all_run(batch, names)
    assert len(batch.submitted) == 2


def test_a_pool_doubles_when_all_its_jobs_came_to_work_and_there_is_more(stage):
    make, batch, names, _ = stage
    supervisor = _elastic(make, 2, 9, 1000)
    sizes = []
    for _ in range(4):
        supervisor.update()
        supervisor.update()  # jobs that wait in the queue are no reason for more
        sizes.append(len(batch.submitted))
        _all_run(batch, names)
    assert sizes == [2, 4, 8, 9]
    supervisor.update()
    assert supervisor.counts() == {"queued": 0, "running": 9, "joined": 9}


def test_a_pool_grows_no_further_than_its_chunks(stage):
    make, batch, names, _ = stage
    supervisor = _elastic(make, 1, 50, 11)
    supervisor.width = 4
    for _ in range(6):
        supervisor.update()
        _all_run(batch, names)
    assert len(batch.submitted) == 3


def test_only_idle_workers_go_and_never_more_than_are_too_many(stage):
    make, batch, names, _ = stage
    idle, asked = {"gpu-3", "gpu-1"}, []

    def scale_down(here, number):
        asked.append(number)
        gone = [name for name in here if name in idle][:number]
        names.difference_update(gone)
        return gone

    supervisor = _elastic(make, 1, 4, 1000)
    supervisor.workers.scale_down = scale_down
    for _ in range(4):
        supervisor.update()
        _all_run(batch, names)
    assert len(names) == 4
    supervisor.left = 3
    supervisor.update()
    assert (asked, names) == ([1], {"gpu-0", "gpu-2", "gpu-3"})
    supervisor.left = 1
    supervisor.update()
    supervisor.update()
    assert names == {"gpu-0", "gpu-2"}  # one of them too many, and busy
    assert batch.cancelled == []
    assert supervisor.failure_reason == ""
    for job in ("2", "4"):  # they end of themselves, which is no failure
        del batch.jobs[job]
    supervisor.update()
    assert supervisor.counts() == {"queued": 0, "running": 2, "joined": 2}
    assert len(batch.submitted) == 4


def test_a_pool_grows_again_when_chunks_come_back(stage):
    make, batch, names, _ = stage
    supervisor = _elastic(make, 1, 2, 5)
    supervisor.workers.scale_down = lambda here, number: [
        names.remove(name) or name for name in here[:number]
    ]
    for _ in range(2):
        supervisor.update()
        _all_run(batch, names)
    supervisor.left = 1
    supervisor.update()
    batch.jobs.pop("1")
    supervisor.update()
    supervisor.left = 2
    supervisor.update()
    assert batch.submitted == ["gpu-0", "gpu-1", "gpu-2"]


def test_a_batch_system_that_does_not_answer_is_asked_again(stage):
    make, batch, names, _ = stage
    supervisor = make()
    supervisor.update()
    _all_run(batch, names)
    supervisor.update()
    batch.out = True
    with pytest.raises(ResourceError):
        supervisor.update()
    assert supervisor.counts() == {"queued": 0, "running": 2, "joined": 2}
    batch.out = False
    supervisor.update()
    assert len(batch.submitted) == 2
    assert supervisor.failure_reason == ""


def test_closing_cancels_all_and_waits_until_they_left(stage):
    make, batch, _, _ = stage
    supervisor = make(3)
    supervisor.update()
    batch.jobs["2"] = "running"
    supervisor.close()
    assert sorted(batch.cancelled) == ["1", "2", "3"]
    assert batch.jobs == {}


def test_closing_tries_again_while_the_batch_system_does_not_answer(stage, clock, monkeypatch):
    make, batch, _, _ = stage
    supervisor = make(1)
    supervisor.update()
    batch.out = True
    began = clock.now

    def sleep(seconds):
        clock.now += seconds
        batch.out = clock.now < began + 10

    monkeypatch.setattr(clock, "sleep", sleep)
    supervisor.close()
    assert batch.jobs == {}


def test_closing_says_which_jobs_may_stay_behind(stage, caplog):
    make, batch, _, _ = stage
    supervisor = make(2)
    supervisor.update()
    batch.sticky = True
    supervisor.close()
    assert sorted(batch.cancelled) == ["1", "2"]  # asked once, not every time
    assert "jobs 1, 2 may be in the queue still: they do not leave it" in caplog.text


def test_jobs_that_are_being_cleaned_up_are_not_waited_for(stage, clock):
    make, batch, _, _ = stage
    supervisor = make(1)
    supervisor.update()
    batch.sticky, batch.jobs["1"] = True, "ending"
    began = clock.now
    supervisor.close()
    assert clock.now == began


def test_the_first_refusal_is_an_error_and_later_ones_are_not():
    batch, names = Scripted(), set()
    workers = SimpleNamespace(joined=lambda: names, drain=None, forget=lambda _: None, scale_down=_busy)
    supervisor = JobSupervisor(batch, JobSpec(poll_s=0.01), "gpu", 2, workers)
    batch.out = True
    with pytest.raises(ResourceError):
        supervisor.start()
    batch.out = False
    supervisor.start()
    try:
        _until(lambda: len(batch.submitted) == 2)
        batch.out = True
        time.sleep(0.05)
        batch.out = False
        del batch.jobs["1"]
        _until(lambda: len(batch.submitted) == 3)
    finally:
        supervisor.close()
    assert batch.jobs == {}


def _until(true):
    deadline = time.monotonic() + 120
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_commands_that_fail_say_what_they_said(monkeypatch):
    with pytest.raises(ResourceError, match="there is no such command here"):
        call("e2edist-no-such-command")
    line = "import sys; sys.exit('Batch job submission failed: Invalid account')"
    with pytest.raises(ResourceError, match=re.escape("failed (1): Batch job submission failed")):
        call(sys.executable, "-c", line)
    assert call(sys.executable, "-c", "print(input())", text="given").strip() == "given"
    said = "sbatch: error: CPU count can not be satisfied\nsbatch: error: Batch job submission failed: why\n"
    failed = subprocess.CompletedProcess((), 1, "", said)
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "run", lambda *_, **__: failed)
        line = "sbatch: failed (1): CPU count can not be satisfied; Batch job submission failed: why"
        with pytest.raises(ResourceError, match=f"^{re.escape(line)}$"):
            call("sbatch")

    def slow(*words, **options):
        raise subprocess.TimeoutExpired(words, options["timeout"])

    monkeypatch.setattr(subprocess, "run", slow)
    with pytest.raises(ResourceError, match="squeue: did not answer in 60 s"):
        call("squeue")


@pytest.mark.parametrize("kind", ["slurm", "htcondor", "sge", "pbs"])
def test_batch_systems_leave_ctrl_c_to_the_driver(kind):
    """In a process of its own, as importing dask-jobqueue takes both signals once."""
    line = (
        "import signal; numbers = (signal.SIGINT, signal.SIGTERM)\n"
        "for number in numbers: signal.signal(number, print)\n"
        "from pathlib import Path\n"
        "from e2edist.config.site import PoolSpec\n"
        "from e2edist.pools import preview\n"
        f"assert preview('cpu', PoolSpec(kind='{kind}'), Path('/out'))\n"
        "assert all(signal.getsignal(number) is print for number in numbers)"
    )
    subprocess.run([sys.executable, "-c", line], check=True)


def test_in_a_hurry_jobs_are_cancelled_and_nobody_waits_until_they_are_gone(stage, clock):
    make, batch, _, _ = stage
    supervisor = make()
    supervisor.update()
    batch.sticky, supervisor.at_once, began = True, True, clock.now
    supervisor.close()
    assert batch.cancelled == ["1", "2"]
    assert clock.now == began
