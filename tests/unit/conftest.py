"""Fixtures that several test modules here share."""

import pytest
from models import write_model, write_tagger
from small_campaign import small, three  # noqa: F401 fixtures
from terminal import Terminal
from thread_workers import drive  # noqa: F401 a fixture

from e2edist.config.tagger import load_tagger


@pytest.fixture
def build(tmp_path):
    """Return a function that writes a model and its tagger and loads the tagger."""

    def build(changes=None, **model):
        write_model(tmp_path / "m.onnx", **model)
        write_tagger(tmp_path / "t.toml", "m.onnx", **(changes or {}))
        return load_tagger(str(tmp_path / "t.toml"))

    return build


@pytest.fixture
def terminal():
    started = []

    def start(*arguments, **options):
        started.append(Terminal(*arguments, **options))
        return started[-1]

    yield start
    for one in started:
        one.close()
