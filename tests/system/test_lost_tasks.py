"""Tasks that scheduler or workers lose: they come back, or the campaign says why it can't go on."""

import sys
import threading
import time

import pytest
from distributed import Client, LocalCluster
from lab import until
from runs import receipts

from e2edist.errors import ResourceError
from e2edist.pools import Setup, _lost_tasks
from e2edist.pools._dask_pool import DaskPool
from e2edist.pools._dask_scope import checked_config


@pytest.fixture
def cluster():
    options = {"n_workers": 1, "threads_per_worker": 1, "host": "127.0.0.1", "memory_limit": 0}
    with checked_config(), LocalCluster(**options, dashboard_address="127.0.0.1:0") as cluster:
        yield cluster


@pytest.fixture
def pool(cluster, monkeypatch):
    """A pool that looks for its tasks all the time."""
    for name, seconds in {"_LOOK_S": 0.1, "_GRACE_S": 0.3, "_ASK_S": 0.2, "_ASK_GRACE_S": 0.5}.items():
        monkeypatch.setattr(_lost_tasks, name, seconds)
    with Client(cluster, set_as_default=False) as client:
        yield DaskPool("here", client, Setup(divmod, (7, 2)))


def losing(monkeypatch, stream, *ops):
    """Let messages of some kinds get lost on a stream of the scheduler's."""
    send = stream.send

    def send_others(*messages):
        send(*(message for message in messages if message.get("op") not in ops))

    monkeypatch.setattr(stream, "send", send_others)


def ended(pool):
    """Return what comes back, as the driver would."""

    def look():
        pool.slots()
        return pool.wait(0.1)

    (outcome,) = until(look)
    return outcome


def lose_submissions(monkeypatch, cluster):
    monkeypatch.setitem(cluster.scheduler.stream_handlers, "update-graph", lambda **_: None)


def test_a_task_whose_submission_is_lost_comes_back_and_can_be_given_again(pool, cluster, monkeypatch):
    with monkeypatch.context() as patch:
        lose_submissions(patch, cluster)
        pool.submit("task", divmod, 7, 2)
        outcome = ended(pool)
    assert (outcome.tag, outcome.kind, type(outcome.error)) == ("task", "lost", ConnectionError)
    assert str(outcome.error) == "the scheduler does not know this task"
    pool.submit("task", divmod, 7, 2)
    assert (ended(pool).value, pool.slots()) == ((3, 1), 1)


def test_a_task_that_runs_for_long_is_not_taken_for_lost(pool):
    pool.submit("task", time.sleep, 3)
    assert ended(pool).kind == "done"


def test_a_result_whose_end_is_not_told_is_taken_all_the_same(pool, cluster, monkeypatch):
    for stream in cluster.scheduler.client_comms.values():
        losing(monkeypatch, stream, "key-in-memory")
    pool.submit("task", divmod, 7, 2)
    outcome = ended(pool)
    assert (outcome.kind, outcome.value) == ("done", (3, 1))


def test_a_task_of_which_no_news_comes_is_handed_back(pool, cluster, monkeypatch):
    for stream in cluster.scheduler.client_comms.values():
        losing(monkeypatch, stream, "key-in-memory", "event")
    pool.submit("task", divmod, 7, 2)
    assert ended(pool).kind == "lost"


def test_a_task_that_its_worker_never_got_is_handed_back(pool, cluster, monkeypatch):
    with monkeypatch.context() as patch:
        for stream in cluster.scheduler.stream_comms.values():
            losing(patch, stream, "compute-task")
        pool.submit("task", divmod, 7, 2)
        assert ended(pool).kind == "lost"
    pool.submit("task", divmod, 7, 2)
    assert ended(pool).kind == "done"


@pytest.mark.slow
def test_a_scheduler_that_loses_everything_stops_the_campaign(pool, cluster, monkeypatch):
    lose_submissions(monkeypatch, cluster)

    def submit_again_and_again():
        for _ in range(20):
            pool.submit("task", divmod, 7, 2)
            ended(pool)

    with pytest.raises(ResourceError, match="pool here: its scheduler loses the tasks that it gets"):
        submit_again_and_again()


def test_a_scheduler_that_can_start_no_thread_says_so_soon(pool, cluster, monkeypatch):
    lose_submissions(monkeypatch, cluster)
    pool.submit("task", divmod, 7, 2)
    pool.wait(0)
    before = threading.stack_size(1 << 46)  # no thread can be started from now on
    try:
        assert "can't start new thread" in str(ended(pool).error)
        pool.submit("task", divmod, 7, 2)
        pool.wait(0)
        assert ended(pool).kind == "lost"
        with pytest.raises(ResourceError, match=r"can't start new thread.*ulimit -u"):
            pool.slots()
    finally:
        threading.stack_size(before)


@pytest.mark.slow
def test_a_campaign_whose_first_submissions_are_lost_is_complete(lab, clean):
    code, said = lab.run(env={"E2E_DROP": "2"})
    assert code == 0, said
    lab.holds(clean)
    assert "the scheduler does not know this task" in (lab.out / "submit.log").read_text()


@pytest.mark.slow
def test_a_campaign_none_of_whose_tasks_arrives_ends_with_one_sentence_and_loses_nothing(lab, clean):
    code, said = lab.run(env={"E2E_DROP": "1000"})
    assert code == 2
    assert said.count("its scheduler loses the tasks that it gets") == 1
    assert lab.bad() == receipts(lab.out) == []
    lab.completes(clean)


NO_THREAD = """
import sys, threading
from e2edist.submit import main
threading.stack_size(1 << 46)  # no thread can be started from now on
sys.exit(main(sys.argv[1:]))
"""


def test_a_run_that_can_start_no_thread_says_which_limits_to_raise(lab):
    program = lab.folder / "submit_without_threads.py"
    program.write_text(NO_THREAD, encoding="utf-8")
    process = lab.launch([sys.executable, program, *lab.arguments()], lab.environment())
    code, said = lab.end(process)
    assert code == 2
    assert said.count("can't start new thread. Raise the limits of threads and memory (ulimit -u, -v)") == 1
    assert "bug" not in said
