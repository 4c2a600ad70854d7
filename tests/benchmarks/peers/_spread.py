"""Processes that share out the entries of a task, with a function for a range of entries."""

import multiprocessing

from . import _dense

_pools = []


def start(threads):
    _pools.append((multiprocessing.get_context("spawn").Pool(threads), threads))


def run(function, task):
    pool, threads = _pools[-1]
    work = [(*one, task["tagger"]) for one in _dense.ranges(task, threads * 4)]
    return _dense.join(pool.starmap(function, work, chunksize=1))


def stop():
    pool, _ = _pools.pop()
    pool.terminate()
    pool.join()
