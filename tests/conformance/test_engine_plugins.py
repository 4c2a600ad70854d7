"""What every engine must do, whoever wrote it: each that is installed is tested, with no edit here.

One of another package that needs options gets them from the variable E2EDIST_ENGINE_OPTIONS, a JSON object of
engine -> options. The engine of docs/examples is one of them, beside ours.
"""

import json
import os
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from handmade import random_crops
from inference_server import install_example, serve
from models import write_model, write_tagger

from e2edist.config.tagger import load_tagger
from e2edist.engines import EngineOptions, make_engine, score
from e2edist.errors import ConfigError, E2EError
from e2edist.imaging.crops import take
from e2edist.plugins import find, load

EXAMPLE = "remote"
#: Where scores of other batch sizes, or with other neighbours, may differ: kernels add in another order.
ROUNDING = 1e-5
CHANNELS = [
    {"layer": "EB_energy", "threshold": 0.2, "scale": 0.02, "offset": -0.3},
    {"layer": "EB_time", "scale": -1.7},
]


@pytest.fixture(params=sorted({*find("engines"), EXAMPLE}))
def name(request):
    return request.param


@pytest.fixture
def tagger(tmp_path):
    """A tagger of two channels with two score columns, which every engine can be opened with."""
    model = write_model(tmp_path / "m.onnx", channels=2, outputs={"a": 1, "b": 1})
    changes = {
        "channels": CHANNELS,
        "model": {"input": "modelInput", "options": {EXAMPLE: {"name": "photons", "version": "3"}}},
        "outputs": [{"name": "a", "columns": ["first"]}, {"name": "b", "columns": ["second"]}],
    }
    return load_tagger(str(write_tagger(tmp_path / "t.toml", model.name, **changes)))


@pytest.fixture
def given(name, tagger, tmp_path, monkeypatch):
    """The engine's own options; the example's server runs."""
    if name != EXAMPLE:
        yield json.loads(os.environ.get("E2EDIST_ENGINE_OPTIONS", "{}")).get(name, {})
        return
    install_example(tmp_path / "plugins")
    monkeypatch.syspath_prepend(tmp_path / "plugins")
    with serve(tagger.model.path) as (url, _):
        yield {"url": url}


@pytest.fixture
def open_engine(name, tagger, given):
    """Return a function that opens the engine with some options."""
    return lambda **options: make_engine(tagger, EngineOptions(name=name, plugin_options=given, **options))


def scores_of(engine, tagger, objects=19, seed=1):
    return score(engine, random_crops(objects, 2, seed=seed), tagger.normalisation).columns


def test_it_gives_the_columns_that_it_declares_each_with_a_number_an_image(open_engine, tagger):
    engine = open_engine(batch=4)
    assert list(engine.columns) == ["first", "second"]
    found = engine.predict(np.zeros((engine.batch, 2, 32, 32), np.float32))
    assert {column: values.shape for column, values in found.items()} == dict.fromkeys(
        engine.columns, (engine.batch,)
    )
    assert {column: values.dtype for column, values in found.items()} == engine.columns


def test_dense_and_sparse_images_get_the_same_scores_bit_by_bit(open_engine, tagger):
    dense, sparse = (scores_of(open_engine(batch=4, images=kind), tagger) for kind in ("dense", "sparse"))
    for column, values in dense.items():
        np.testing.assert_array_equal(sparse[column], values)


@pytest.mark.parametrize("images", ["dense", "sparse"])
def test_the_size_of_the_batch_and_a_tail_change_no_score(open_engine, tagger, images):
    one = scores_of(open_engine(batch=1, images=images), tagger)
    for batch in (4, 19, 32):
        for column, values in scores_of(open_engine(batch=batch, images=images), tagger).items():
            assert values.shape == (19,)
            np.testing.assert_allclose(values, one[column], rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("images", ["dense", "sparse"])
def test_scores_are_in_the_order_of_the_images(open_engine, tagger, images):
    engine, crops = open_engine(batch=4, images=images), random_crops(19, 2, seed=1)
    together = score(engine, crops, tagger.normalisation).table
    single = open_engine(batch=1, images=images)
    for i in (0, 3, 4, 18):
        alone = score(single, take(crops, [i]), tagger.normalisation).table
        np.testing.assert_allclose(together[i], alone[0], rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("images", ["dense", "sparse"])
def test_no_images_get_no_scores(open_engine, tagger, images):
    engine = open_engine(images=images)
    found = scores_of(engine, tagger, objects=0)
    assert {column: values.shape for column, values in found.items()} == dict.fromkeys(engine.columns, (0,))


@pytest.mark.parametrize("images", ["dense", "sparse"])
def test_threads_share_it(open_engine, tagger, images):
    engine = open_engine(batch=4, images=images)
    alone = [scores_of(engine, tagger, seed=seed)["first"] for seed in range(6)]
    with ThreadPoolExecutor(3) as pool:
        shared = list(pool.map(lambda seed: scores_of(engine, tagger, seed=seed)["first"], range(6)))
    np.testing.assert_array_equal(shared, alone)


def test_its_facts_are_words_that_fit_into_a_receipt(open_engine):
    facts = dict(open_engine().facts)
    assert facts
    assert all(isinstance(word, str) for item in facts.items() for word in item)
    assert json.loads(json.dumps(facts)) == pickle.loads(pickle.dumps(facts)) == facts


def test_options_that_it_does_not_know_are_refused_with_the_nearest_name(name, tagger, given):
    known = list(getattr(load("engines", name), "Options", None).model_fields) if given else []
    wrong = f"{known[0]}l" if known else "colour"
    with pytest.raises(ConfigError, match=wrong) as refused:
        make_engine(tagger, EngineOptions(name=name, plugin_options={**given, wrong: 1}))
    if known:
        assert f"did you mean '{known[0]}'" in str(refused.value)
    assert_travels(refused.value)


def test_what_it_raises_on_images_of_another_shape_survives_the_way_to_the_driver(open_engine):
    try:
        open_engine(batch=2).predict(np.zeros((2, 1, 3, 3), np.float32))
    except E2EError as error:
        assert_travels(error)


def assert_travels(error):
    # As run_bundle does: where Dask was imported before, errors pickle their causes, too.
    error.__traceback__ = error.__cause__ = error.__context__ = None
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), str(error))
