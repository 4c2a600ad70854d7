"""What no way can do without: the baskets decompressed, and the session run on batches that lie ready."""

import itertools
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from peers import _dense

LABEL, NEEDS, SMALL = "the limit: decompression + inference", (), False
#: Different images that lie ready; more would only measure the memory.
_READY = 256
_threads = [1]


def start(threads):
    _threads[0] = threads


def stop():
    pass


def run(task):
    """Return the scores of the first images, and as ``cpu`` what was measured."""
    tagger = _dense.tagger_of(task["tagger"])
    decompressed = sum(decompress(path, _dense.branches(tagger)) for path in task["files"])
    model = _dense.kept_session(tagger.model.path)
    found, dense = first_images(task["files"][0], tagger)
    count = task["objects"] if "objects" in task else len(dense)
    batches = [dense[i : i + tagger.batch] for i in range(0, len(dense), tagger.batch)]
    batches = [batch for batch in batches if len(batch) == tagger.batch] or [
        np.resize(dense, (tagger.batch, *dense.shape[1:]))
    ]
    calls = -(-count // tagger.batch)
    with ThreadPoolExecutor(_threads[0]) as pool:
        shares = [range(i, calls, _threads[0]) for i in range(_threads[0])]
        inference = sum(pool.map(lambda share: infer(model, batches, share), shares))
    keys = _dense.number(0, 0, found)
    return (
        keys,
        _dense.infer(model, dense, tagger.batch),
        {"decompress": decompressed, "inference": inference, "cpu": decompressed + inference},
    )


def decompress(path, branches):
    """Return the CPU seconds for all baskets of `branches` and of the event numbers."""
    tree = _dense.opened(path)
    before = time.process_time()
    for name in (*branches, "run", "luminosityBlock", "event"):
        branch = tree[name]
        for i in range(branch.num_baskets):
            branch.basket(i).data  # noqa: B018 - decompresses
    return time.process_time() - before


def first_images(path, tagger):
    step = _dense.step_of(tagger)
    entries = _dense.opened(path).num_entries
    found, dense = [], []
    for start in range(0, entries, step):
        keys, images = _dense.images(_dense.read(path, tagger, start, min(start + step, entries)), tagger)
        found.append(keys + np.array([start, 0, 0]))
        dense.append(images)
        if sum(map(len, dense)) >= _READY:
            break
    return np.concatenate(found)[:_READY], np.concatenate(dense)[:_READY]


def infer(model, batches, share):
    name = model.get_inputs()[0].name
    before = time.thread_time()
    for _, batch in zip(share, itertools.cycle(batches), strict=False):
        model.run(None, {name: batch})
    return time.thread_time() - before
