"""The careful script in processes: multiprocessing, one session each."""

from . import _dense, _spread

LABEL, NEEDS, SMALL = "multiprocessing, a session each", (), False
start, stop = _spread.start, _spread.stop


def run(task):
    return _spread.run(entries, task)


def entries(file, path, start, stop, name):
    """Return keys and scores of a range of entries."""
    tagger = _dense.tagger_of(name)
    model = _dense.kept_session(tagger.model.path)
    keys, scores = _dense.by_chunks(
        _dense.read(path, tagger, start, stop), tagger, model, _dense.step_of(tagger)
    )
    return _dense.number(file, start, keys), scores
