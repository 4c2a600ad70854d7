"""Coffea's Runner with the futures executor: the careful script as a processor."""

import concurrent.futures
import multiprocessing

import numpy as np

from . import _dense

LABEL, NEEDS, SMALL = "coffea Runner, futures", ("coffea",), False
_executor = []


def processor(tagger_name, files):
    """Return a coffea processor that gives keys and scores of a chunk."""
    from coffea.processor import ProcessorABC

    class Scores(ProcessorABC):
        def process(self, events):
            tagger, meta = _dense.tagger_of(tagger_name), events.metadata
            columns = _dense.flat({name: events[name] for name in _dense.branches(tagger)})
            model = _dense.kept_session(tagger.model.path)
            keys, scores = _dense.by_chunks(columns, tagger, model, _dense.step_of(tagger))
            key = _dense.number(files.index(meta["filename"]), int(meta["entrystart"]), keys)
            return {"parts": [(np.asarray(key), scores)]}

        def postprocess(self, accumulator):
            return accumulator

    return Scores()


def run_with(executor, task, threads):
    from coffea.nanoevents import BaseSchema
    from coffea.processor import Runner

    entries = sum(_dense.opened(path).num_entries for path in task["files"])
    runner = Runner(
        executor=executor, schema=BaseSchema, chunksize=max(1, entries // (4 * threads)), savemetrics=False
    )
    fileset = {"sample": {"files": dict.fromkeys(task["files"], "Events")}}
    out = runner(fileset, processor(task["tagger"], task["files"]))
    return _dense.join(out["parts"])


def start(threads):
    from coffea.processor import FuturesExecutor

    pool = concurrent.futures.ProcessPoolExecutor(threads, multiprocessing.get_context("spawn"))
    executor = FuturesExecutor(pool=pool, workers=threads, status=False, compression=None)
    _executor.append((executor, pool, threads))


def run(task):
    executor, _, threads = _executor[-1]
    return run_with(executor, task, threads)


def stop():
    _executor.pop()[1].shutdown()
