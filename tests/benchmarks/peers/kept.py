"""As `paper`, but one session serves all events."""

from . import _spread, paper

LABEL, NEEDS, SMALL = "session kept, event by event", (), True
start, stop = _spread.start, _spread.stop


def run(task):
    return _spread.run(entries, task)


def entries(file, path, start, stop, name):
    return paper.entries(file, path, start, stop, name, new_session=False)
