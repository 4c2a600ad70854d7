"""A pool on real Dask workers, from its first word to the scheduler on."""

import sys
import time
from pathlib import Path

import pytest
from distributed import Client, LocalCluster, WorkerPlugin
from distributed.comm.core import CommClosedError
from lab import until

from e2edist.errors import ResourceError
from e2edist.pools import Setup, _worker_setup, is_draining
from e2edist.pools._dask_pool import DaskPool
from e2edist.pools._dask_scope import checked_config


@pytest.fixture
def client():
    with (
        checked_config(),
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            memory_limit=0,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def failing(client, monkeypatch, times):
    """Let so many answers to the setup get lost, as where a worker dies meanwhile; return how many were."""
    lost, register = [], client.register_plugin

    def register_plugin(plugin):
        if len(lost) < times:
            lost.append(plugin)
            raise CommClosedError("Stream is closed")
        return register(plugin)

    monkeypatch.setattr(client, "register_plugin", register_plugin)
    monkeypatch.setattr(_worker_setup, "_PAUSES_S", (0.01, 0.01))
    return lost


def _steps_until_told(begun, most):
    """Stand for a bundle of chunks, from another process; give the steps that were made."""
    for step in range(most):
        if is_draining():
            return step
        Path(begun).touch()
        time.sleep(0.02)
    return most


def test_a_stopped_pool_ends_its_tasks_after_their_step_and_no_task_of_a_later_run(client, tmp_path):
    client.register_plugin(PathPlugin())
    pool = DaskPool("here", client, Setup(divmod, (7, 2)))
    pool.submit("task", _steps_until_told, str(tmp_path / "begun"), 10_000)
    until(lambda: pool.wait(0.1) or (tmp_path / "begun").exists())
    pool.stop_accepting()
    (outcome,) = until(lambda: pool.wait(0.5))
    assert (outcome.tag, outcome.kind) == ("task", "done")
    assert 0 < outcome.value < 10_000
    later = DaskPool("here", client, Setup(divmod, (7, 2)))
    later.submit("task", _steps_until_told, str(tmp_path / "begun"), 3)
    (outcome,) = until(lambda: later.wait(0.5))
    assert (outcome.kind, outcome.value) == ("done", 3)


class PathPlugin(WorkerPlugin):
    """Lets workers import this module."""

    name = "path"

    def setup(self, worker):
        sys.path.insert(0, str(Path(__file__).parent))


def test_a_setup_whose_answer_is_lost_is_asked_for_again(client, monkeypatch):
    lost = failing(client, monkeypatch, 2)
    pool = DaskPool("here", client, Setup(divmod, (7, 2)))
    assert len(lost) == 2
    pool.submit("task", divmod, 7, 2)
    outcomes = until(lambda: pool.wait(0.5))
    assert [(one.tag, one.kind, one.value) for one in outcomes] == [("task", "done", (3, 1))]


def test_a_scheduler_that_never_answers_is_an_error(client, monkeypatch):
    failing(client, monkeypatch, 9)
    with pytest.raises(ResourceError, match="pool here: its scheduler does not answer"):
        DaskPool("here", client, Setup(divmod, (7, 2)))


def test_a_thread_whose_task_ended_takes_another_one(monkeypatch):
    """Pools that share a scheduler send each task to a thread that is free, and know which are."""
    sent = []
    start = DaskPool._start
    monkeypatch.setattr(
        DaskPool, "_start", lambda pool, tasks, where: (sent.append(where), start(pool, tasks, where))
    )
    options = {"threads_per_worker": 2, "memory_limit": 0, "resources": {"here": 2}}
    with (
        checked_config(),
        LocalCluster(n_workers=1, host="127.0.0.1", dashboard_address="127.0.0.1:0", **options) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        pool = DaskPool("here", client, Setup(divmod, (7, 2)), resource="here")
        until(lambda: pool.slots() == 2)
        for i in range(6):
            pool.submit(f"task {i}", divmod, 7, 2)
            assert [one.tag for one in until(lambda: pool.wait(0.5))] == [f"task {i}"]
    assert [list(where) for where in sent] == [["workers"]] * 6
