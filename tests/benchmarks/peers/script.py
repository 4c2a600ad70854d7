"""A careful user's script: uproot.iterate, numpy histograms, batches through one session of all threads."""

import uproot

from . import _dense

LABEL, NEEDS, SMALL = "a careful user's script", (), False
_threads = [1]


def start(threads):
    _threads[0] = threads


def run(task):
    tagger = _dense.tagger_of(task["tagger"])
    model, parts = _dense.kept_session(tagger.model.path, _threads[0]), []
    for i, path in enumerate(task["files"]):
        chunks = uproot.iterate(
            {path: "Events"}, _dense.branches(tagger), step_size="20 MB", how=dict, report=True
        )
        for arrays, report in chunks:
            keys, scores = _dense.by_chunks(_dense.flat(arrays), tagger, model, _dense.step_of(tagger))
            parts.append((_dense.number(i, report.tree_entry_start, keys), scores))
    return _dense.join(parts)


def stop():
    pass
