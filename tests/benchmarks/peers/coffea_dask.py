"""Coffea's Runner with the Dask executor."""

from . import coffea_futures

LABEL, NEEDS, SMALL = "coffea Runner, Dask", ("coffea",), False
_cluster = []


def start(threads):
    from dask.distributed import Client, LocalCluster

    cluster = LocalCluster(n_workers=threads, threads_per_worker=1, dashboard_address=None, memory_limit=0)
    _cluster.append((Client(cluster), cluster, threads))


def run(task):
    from coffea.processor import DaskExecutor

    client, _, threads = _cluster[-1]
    executor = DaskExecutor(client=client, status=False, compression=None)
    return coffea_futures.run_with(executor, task, threads)


def stop():
    client, cluster, _ = _cluster.pop()
    client.close()
    cluster.close()
