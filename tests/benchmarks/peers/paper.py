"""What arXiv:2309.14254 does inside CMSSW: a session for every event, dense frames, one event at a time."""

import numpy as np

from . import _dense, _spread

LABEL, NEEDS, SMALL = "the paper's way: a session per event", (), True
start, stop = _spread.start, _spread.stop


def run(task):
    return _spread.run(entries, task)


def entries(file, path, start, stop, name, *, new_session=True):
    """Return keys and scores of a range, event by event."""
    tagger = _dense.tagger_of(name)
    columns = _dense.read(path, tagger, start, stop)
    keys, scores = [], []
    for event in range(stop - start):
        model = _dense.session(tagger.model.path) if new_session else _dense.kept_session(tagger.model.path)
        found, dense = _dense.images(_dense.window(columns, event, event + 1), tagger)
        keys.append(_dense.number(file, start + event, found))
        scores.append(_dense.infer(model, dense, 1))
    return np.concatenate(keys), np.concatenate(scores)
