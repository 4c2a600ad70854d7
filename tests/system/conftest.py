"""Events, models and campaigns that the runs share; all made here, in some seconds."""

import json
import subprocess
import sys
from contextlib import contextmanager

import pytest
from batch import htcondor, jobs, slurm, system  # noqa: F401 fixtures
from lab import FAULTS, chunky, clean, clean_folder, lab, source, tiny_model  # noqa: F401 fixtures
from models import write_model
from runs import environment, run

import e2edist.demo.writer
from e2edist.demo import make_events


@contextmanager
def _small_clusters(size):
    """Let files of a few hundred events have many chunks, while they are made and no longer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(e2edist.demo.writer, "CLUSTER", size)
        yield


@pytest.fixture(scope="session")
def make_small_clusters():
    """Return `make_events` with clusters of 50 events, or of another `size`."""

    def make(*arguments, size=50, **named):
        with _small_clusters(size):
            return make_events(*arguments, **named)

    return make


@pytest.fixture(scope="session")
def events(tmp_path_factory, make_small_clusters):
    """Folder of 600 e/gamma events: 2 files of 6 clusters."""
    folder = tmp_path_factory.mktemp("events")
    make_small_clusters(folder, "eg", 600, seed=1)
    return folder


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A model that fits the packaged tagger eg."""
    return write_model(tmp_path_factory.mktemp("model") / "eg.onnx")


@pytest.fixture
def submit(tmp_path):
    """Run ``python -m e2edist.submit`` with some arguments in `tmp_path`."""

    def call(*arguments):
        return run(arguments, tmp_path)

    return call


@pytest.fixture(scope="session")
def campaign(tmp_path_factory, events, model):
    """Folder of a finished campaign over `events`, one worker with one thread; don't write into it."""
    cwd = tmp_path_factory.mktemp("campaign")
    options = ("--workers", 1, "--threads", 1, "--chunk-events", 100)
    done = run(("--input", events, "--model", model, "--output", "out", *options), cwd)
    assert (done.returncode, done.stderr) == (0, "")
    return cwd / "out"


@pytest.fixture
def verb(tmp_path):
    """Run ``python -m e2edist.VERB`` in `tmp_path`, with a user's cache of its own."""

    def call(name, *arguments, python=sys.executable):
        words = [python, "-m", f"e2edist.{name}", *map(str, arguments)]
        cache = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "COLUMNS": "200"}
        return subprocess.run(
            words,
            cwd=tmp_path,
            env=environment() | cache,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )

    return call


@pytest.fixture
def slow_chunks(monkeypatch):
    """Return a function after which each chunk of the runs that begin takes so many seconds more; 0: none."""

    def slow(seconds):
        fault = {"at": "read", "do": "sleep", "seconds": seconds}
        monkeypatch.setenv("PYTHONPATH", str(FAULTS))
        monkeypatch.setenv("E2E_FAULTS", json.dumps([fault] if seconds else []))

    return slow


@pytest.fixture(scope="session")
def endless(tmp_path_factory, make_small_clusters):
    """More chunks than are done while a test looks on and cancels them, with `slow_chunks`: 200."""
    folder = tmp_path_factory.mktemp("endless")
    make_small_clusters(folder, "eg", 400, seed=4, size=2)
    return folder
