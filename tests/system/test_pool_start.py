"""A pool on real Dask workers, from its first word to the scheduler on."""

import pytest
from distributed import Client, LocalCluster
from distributed.comm.core import CommClosedError
from lab import until

from e2edist.errors import ResourceError
from e2edist.pools import Setup
from e2edist.pools import _dask as dask_pool
from e2edist.pools._dask import DaskPool, settings


@pytest.fixture
def client():
    with (
        settings(),
        LocalCluster(
            n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, memory_limit=0
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
    monkeypatch.setattr(dask_pool, "_PAUSES_S", (0.01, 0.01))
    return lost


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
