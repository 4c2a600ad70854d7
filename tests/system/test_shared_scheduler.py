"""Campaigns that share a scheduler: each sets up workers that join later, until it has ended."""

import os
from dataclasses import dataclass

import pytest
from distributed import Client, LocalCluster

from e2edist.pools import Setup
from e2edist.pools._dask_pool import DaskPool
from e2edist.pools._dask_scope import checked_config


@dataclass
class Scheduler:
    cluster: LocalCluster

    def pool(self, name):
        client = Client(self.cluster, set_as_default=False)
        return DaskPool("attach", client, Setup(os.putenv, ("E2EDIST_TEST", name)))

    def plugins(self):
        with Client(self.cluster, set_as_default=False) as client:
            return client.run_on_scheduler(lambda dask_scheduler: sorted(dask_scheduler.worker_plugins))


@pytest.fixture
def shared():
    how = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "memory_limit": 0}
    with checked_config(), LocalCluster(n_workers=1, threads_per_worker=1, **how) as cluster:
        yield Scheduler(cluster)


def ours(names):
    return [name for name in names if name.startswith("e2edist-setup")]


def test_the_setup_of_one_campaign_takes_no_other_s_place_and_goes_when_its_campaign_ends(shared):
    first, second = shared.pool("first"), shared.pool("second")
    try:
        assert len(ours(shared.plugins())) == 2
        with Client(shared.cluster, set_as_default=False) as client:
            before = set(client.scheduler_info()["workers"])
            shared.cluster.scale(2)
            client.wait_for_workers(2, timeout=60)
            (joined,) = set(client.scheduler_info()["workers"]) - before
            known = client.run(lambda dask_worker: sorted(dask_worker.plugins), workers=[joined])[joined]
            assert ours(known) == ours(shared.plugins())
        first.close()
        assert len(ours(shared.plugins())) == 1
    finally:
        second.close()
    assert ours(shared.plugins()) == []
