"""A campaign on an inference server: the engine of docs/examples, installed and told its options in TOML."""

import os
import subprocess

import numpy as np
import pytest
from inference_server import install_example, serve
from models import write_model, write_tagger
from runs import COMMAND, ROOT, TIMEOUT_S, table

from e2edist.config.tagger import load_tagger
from e2edist.engines import EngineOptions, check_stability, make_engine
from e2edist.errors import ConfigError, E2EError, UnknownNameError

SITE = "name = 'x'\n[pools.cpu]\nworkers = 1\nthreads = 2\n"


@pytest.fixture
def tagger(tmp_path):
    model = write_model(tmp_path / "m.onnx")
    changes = {"model": {"input": "modelInput"}, "outputs": [{"name": "modelOutput", "columns": ["good"]}]}
    changes["model"]["options"] = {"remote": {"name": "photons", "version": "3"}}
    return write_tagger(tmp_path / "t.toml", model.name, **changes)


@pytest.fixture
def campaign(tmp_path, tagger, events):
    """Return a function that runs a campaign with more lines for its pool."""
    install_example(tmp_path / "plugins")

    def run(pool, output):
        (tmp_path / "site.toml").write_text(SITE + pool, encoding="utf-8")
        words = ("--tagger", tagger, "--site", "site.toml", "--input", events, "--output", output)
        path = os.pathsep.join([str(tmp_path / "plugins"), str(ROOT)])
        return subprocess.run(
            [*COMMAND, *map(str, words)],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": path, "COLUMNS": "200"},
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )

    return run


@pytest.mark.slow
def test_a_server_gives_the_scores_that_onnx_runtime_gives_here(tmp_path, tagger, campaign):
    with serve(tmp_path / "m.onnx") as (url, paths):
        ended = campaign(f"engine = 'remote'\nengine_options = {{ url = '{url}' }}\n", "remote")
    assert ended.returncode == 0, ended.stderr
    assert set(paths) == {"/v2/models/photons/versions/3/infer"}
    assert campaign("", "here").returncode == 0
    remote, here = (table(tmp_path / folder)["good"].to_numpy() for folder in ("remote", "here"))
    assert len(remote) > 100
    np.testing.assert_array_equal(remote, here)


def test_a_wrong_option_is_refused_with_the_nearest_name_before_there_is_a_plan(tmp_path, campaign):
    ended = campaign("engine = 'remote'\nengine_options = { url = 'http://x', timeouts = 3.0 }\n", "out")
    assert ended.returncode == 2
    assert "timeouts: unknown key, did you mean 'timeout_s'?" in ended.stderr
    assert not (tmp_path / "out" / "plan.json").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timeout_s": 3.0}, "url: missing"),
        ({"url": "http://x", "timeout_s": "long"}, "timeout_s: "),
        ({"url": "http://127.0.0.1:9"}, "the server does not answer"),
    ],
)
def test_other_wrong_options_are_refused_too(tagger, tmp_path, monkeypatch, options, message):
    install_example(tmp_path / "plugins")
    monkeypatch.syspath_prepend(tmp_path / "plugins")
    with pytest.raises(E2EError, match=message):
        check_stability(load_tagger(str(tagger)), EngineOptions("remote", plugin_options=options))


def test_options_for_an_engine_without_any_or_that_there_is_not_are_refused(tagger):
    spec = load_tagger(str(tagger))  # the engine remote is not installed here
    with pytest.raises(UnknownNameError, match="there is no engine 'remote'"):
        check_stability(spec, EngineOptions())
    message = "engine_options of a pool with engine onnx: the engine has no such options: url"
    with pytest.raises(ConfigError, match=message):
        make_engine(spec, EngineOptions(plugin_options={"url": "http://x"}))


def test_a_model_named_to_the_engine_is_part_of_the_fingerprint(tmp_path, tagger):
    prints = {load_tagger(str(tagger)).fingerprint()}
    for version in ("3", "4"):
        text = tagger.read_text().replace('version = "3"', f'version = "{version}"')
        (tmp_path / "u.toml").write_text(text, encoding="utf-8")
        prints.add(load_tagger(str(tmp_path / "u.toml")).fingerprint())
    assert len(prints) == 2
