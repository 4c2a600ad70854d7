"""As `kept`, but images of several events are gathered into batches."""

import numpy as np

from . import _dense, _spread

LABEL, NEEDS, SMALL = "session kept, batches over events", (), True
start, stop = _spread.start, _spread.stop


def run(task):
    return _spread.run(entries, task)


def entries(file, path, start, stop, name):
    tagger = _dense.tagger_of(name)
    columns, model = _dense.read(path, tagger, start, stop), _dense.kept_session(tagger.model.path)
    keys, waiting, scores = [], [], []
    for event in range(stop - start):
        found, dense = _dense.images(_dense.window(columns, event, event + 1), tagger)
        keys.append(_dense.number(file, start + event, found))
        waiting += list(dense)
        if len(waiting) >= tagger.batch:
            scores.append(_dense.infer(model, np.array(waiting[: tagger.batch]), tagger.batch))
            del waiting[: tagger.batch]
    if waiting:
        scores.append(_dense.infer(model, np.array(waiting), tagger.batch))
    return np.concatenate(keys), np.concatenate([np.empty(0, np.float32), *scores])
