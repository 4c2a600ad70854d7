"""One ONNX model, any that fits its tagger; one that does not is refused with what to set."""

import gc
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest
from models import write_tagger

from e2edist.config.tagger import load_tagger
from e2edist.engines import EngineOptions, make_engine, open_engine
from e2edist.engines._io_buffers import BufferedStream, ImageLoader, ListLoader
from e2edist.errors import ModelError, UnknownNameError
from e2edist.imaging.crops import Crops

OUTPUT = {"name": "modelOutput", "columns": ["score"]}


def images(count, channels=1, size=32, seed=1):
    return np.random.default_rng(seed).exponential(1, (count, channels, size, size)).astype("f4")


def engine_of(tagger, **options):
    return make_engine(tagger, EngineOptions(**options))


def scores_of(tagger, all_images, batch):
    """Return the scores of any number of images, the tail padded with zeros."""
    engine = engine_of(tagger, batch=batch)
    rows = []
    for start in range(0, len(all_images), engine.batch):
        part = all_images[start : start + engine.batch]
        padded = np.zeros((engine.batch, *part.shape[1:]), np.float32)
        padded[: len(part)] = part
        rows.append(engine.predict(padded)["score"][: len(part)])
    return np.concatenate(rows)


# ---- models that do not fit


@pytest.mark.parametrize(
    ("model", "changes", "what"),
    [
        ({"twist": "rank2"}, {}, r"shape \['batch', 1024\], the tagger makes \[batch, 1, 32, 32\].*channels"),
        ({"channels": 2}, {}, r"the tagger makes \[batch, 1, 32, 32\].*Check channels, crop.size and model"),
        ({"size": 31}, {}, r"31, 31\], the tagger makes \[batch, 1, 32, 32\].*crop.size"),
        ({"channels": 3, "layout": "NHWC"}, {"channels": [{"layer": "EB_energy"}] * 3}, r"model\.layout"),
        (
            {},
            {"model": {"input": "image"}},
            r"has no input 'image'; its inputs: modelInput .*Set model\.input",
        ),
        ({}, {"outputs": [OUTPUT | {"name": "out"}]}, r"no output 'out'; its outputs: modelOutput.*outputs"),
        ({"outputs": {"a": 1, "b": 1}}, {"outputs": [{"columns": ["x"]}]}, r"several outputs; .*: a, b"),
        ({"twist": "two_inputs"}, {}, r"2 inputs.*modelInput .*, extra .*exactly one"),
        ({"twist": "two_inputs"}, {"model": {"input": "modelInput"}}, r"2 inputs.*, extra .*exactly one"),
        ({"dtype": "uint8"}, {}, r"modelInput takes tensor\(uint8\), not a tensor of floats.*Export"),
        ({"outputs": {"a": 2}}, {"outputs": [{"columns": ["x"]}]}, r"a gives 2 numbers per image.*names 1"),
        ({"outputs": {"a": 1}}, {"outputs": [{"columns": ["x", "y"]}]}, r"gives 1 numbers.*outputs.columns"),
        ({"twist": "meaned"}, {}, r"modelOutput has shape \[1, 1\] for a batch of 8: no row per image"),
        ({"twist": "doubled"}, {}, r"modelOutput has shape \[16, 1\] for a batch of 8: no row per image"),
        ({"outputs": {"a.b": 1, "a/b": 1}}, {}, r"two outputs give the same column.*\[\[outputs\]\]"),
        ({"outputs": {"label": 1}}, {}, r"output label .*column.*\[\[outputs\]\]"),
    ],
)
def test_a_model_that_does_not_fit_is_refused_with_its_file_and_what_to_set(build, model, changes, what):
    with pytest.raises(ModelError) as caught:
        engine_of(build(changes, **model))
    assert caught.value.where.endswith("/m.onnx")
    assert re.search(what, str(caught.value)), str(caught.value)


def test_a_file_that_is_no_onnx_or_is_cut_or_empty_is_a_model_error(build, tmp_path):
    tagger = build()
    whole = (tmp_path / "m.onnx").read_bytes()
    for content in (b"", b"hello, this is not a model", whole[: len(whole) // 2], whole[:-7]):
        (tmp_path / "m.onnx").write_bytes(content)
        with pytest.raises(ModelError, match=r"m\.onnx: "):
            engine_of(tagger)
    (tmp_path / "m.onnx").unlink()
    with pytest.raises(ModelError, match=r"m\.onnx: does not load"):
        engine_of(tagger)


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_provider_that_is_not_there_is_an_error_and_never_the_cpu(build, provider):
    import onnxruntime

    have = {name.lower() for name in onnxruntime.get_available_providers()}
    if f"{provider}executionprovider" in have:
        # A GPU build on a machine without a GPU: the session must not end up on the CPU.
        with suppress(ModelError):
            assert "CPU" not in engine_of(build(), provider=provider).facts["provider"]
        return
    refused = r"this onnxruntime has no (CUDA|Tensorrt)Exec.*pip install .*\[gpu\]"
    with pytest.raises(ModelError, match=refused):
        engine_of(build(), provider=provider)


def test_a_mistyped_engine_is_answered_with_the_nearest(build):
    with pytest.raises(UnknownNameError, match=r"no engine 'onxx'.*Did you mean 'onnx'"):
        engine_of(build(), name="onxx")


# ---- shapes


def test_a_fixed_batch_is_the_models_own_whatever_is_asked_for(build):
    tagger = build({"outputs": [OUTPUT]}, batch=4)
    engine = engine_of(tagger, batch=16)
    assert engine.batch == 4
    assert engine.predict(images(4))["score"].shape == (4,)


def test_a_dynamic_batch_is_that_of_the_options_or_of_the_tagger(build):
    tagger = build({"batch": 5})
    assert engine_of(tagger).batch == 5
    assert engine_of(tagger, batch=3).batch == 3


def test_scores_are_the_same_with_a_fixed_and_a_dynamic_batch_and_a_padded_tail(build):
    everything = images(11)
    free = scores_of(build({"outputs": [OUTPUT]}), everything, 11)
    fixed = scores_of(build({"outputs": [OUTPUT]}, batch=4), everything, 0)
    assert len(np.unique(free)) == 11
    np.testing.assert_array_equal(fixed, free)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [32, 33])
@pytest.mark.parametrize("width", [1, 3])
def test_scores_do_not_depend_on_the_batch_bit_for_bit(build, channels, size, width):
    columns = ["score", *"xyz"][:width]
    changes = {
        "channels": [{"layer": "EB_energy"}] * channels,
        "crop": {"size": size},
        "outputs": [{"columns": columns}],
    }
    tagger = build(changes, channels=channels, size=size, outputs={"o": width})
    everything = images(64, channels, size)
    alone = scores_of(tagger, everything, 1)
    for batch in (2, 8, 32):
        np.testing.assert_array_equal(scores_of(tagger, everything, batch), alone)


def test_channels_last_models_see_the_same_images(build):
    three = {"channels": [{"layer": "EB_energy"}] * 3}
    first = engine_of(build(three, channels=3)).predict(images(8, 3))
    tagger = build(three | {"model": {"layout": "NHWC"}}, channels=3, layout="NHWC")
    last = engine_of(tagger).predict(np.ascontiguousarray(images(8, 3).transpose(0, 2, 3, 1)))
    np.testing.assert_allclose(last["modelOutput"], first["modelOutput"], rtol=1e-6)


@pytest.mark.parametrize(("dtype", "rtol"), [("float16", 2e-3), ("float64", 1e-6)])
def test_models_of_other_float_types_are_fed_what_they_take_and_give_float32(build, dtype, rtol):
    expected = engine_of(build()).predict(images(8))["modelOutput"]
    engine = engine_of(build(dtype=dtype))
    found = engine.predict(images(8))["modelOutput"]
    assert engine.columns == {"modelOutput": "float32"}
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=rtol)


# ---- columns


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ({"modelOutput": 1}, ["modelOutput"]),
        ({"modelOutput": 0}, ["modelOutput"]),
        ({"probs": 3}, ["probs_0", "probs_1", "probs_2"]),
        ({"StatefulPartitionedCall:0": 1, "mass": 0}, ["StatefulPartitionedCall_0", "mass"]),
        ({"/head/out": 2, "::": 1}, ["head_out_0", "head_out_1", "score"]),
    ],
)
def test_without_outputs_in_the_tagger_all_are_columns_named_after_the_model(build, outputs, expected):
    engine = engine_of(build(outputs=outputs))
    assert list(engine.columns) == expected
    scores = engine.predict(images(8))
    assert list(scores) == expected
    assert all(column.shape == (8,) for column in scores.values())


def test_outputs_of_the_tagger_are_taken_in_its_order_and_by_its_names(build):
    model = {"a": 2, "b": 0, "c": 1}
    everything = engine_of(build(outputs=model)).predict(images(8))
    chosen = [{"name": "c", "columns": ["mass"]}, {"name": "a", "columns": ["quark", "gluon"]}]
    named = engine_of(build({"outputs": chosen}, outputs=model)).predict(images(8))
    assert list(named) == ["mass", "quark", "gluon"]
    for name, origin in {"mass": "c", "quark": "a_0", "gluon": "a_1"}.items():
        np.testing.assert_array_equal(named[name], everything[origin])


def test_the_only_output_needs_no_name(build):
    engine = engine_of(build({"outputs": [{"columns": ["electron"]}]}, outputs={"whatever": 1}))
    assert engine.columns == {"electron": "float32"}


@pytest.mark.parametrize(("twist", "dtype"), [("int", "int64"), ("bool", "bool")])
def test_whole_numbers_and_truth_values_stay_what_they_are(build, twist, dtype):
    engine = engine_of(build(outputs={"o": 2}, twist=twist))
    assert set(engine.columns.values()) == {dtype}
    scores = engine.predict(images(8))
    assert all(column.dtype == dtype for column in scores.values())
    assert np.ptp([column.astype("f4") for column in scores.values()]) > 0


# ---- activations


def exact(logits, activation):
    x = logits.astype("f8")
    if activation == "sigmoid":
        return 1 / (1 + np.exp(-x))
    raised = np.exp(x - x.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
@pytest.mark.parametrize("twist", ["logits", "int", "bool"])
@pytest.mark.parametrize("factor", [1, 1e4])
def test_activations_agree_with_numpy_in_double_precision(build, activation, twist, factor):
    model = {"outputs": {"o": 3}, "twist": twist}
    inputs = images(8) * np.float32(factor)
    raw = engine_of(build(**model)).predict(inputs)
    logits = np.stack(list(raw.values()), axis=1)
    changes = {"outputs": [{"columns": list("xyz"), "activation": activation}]}
    engine = engine_of(build(changes, **model))
    assert set(engine.columns.values()) == {"float32"}
    found = np.stack(list(engine.predict(inputs).values()), axis=1)
    np.testing.assert_allclose(found, exact(logits, activation), rtol=3e-6, atol=1e-37)
    if activation == "softmax":
        np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-6)


# ---- one engine a process


def test_an_engine_is_opened_once_for_a_tagger_and_options(build):
    tagger = build()
    options = EngineOptions(batch=6)
    with ThreadPoolExecutor(8) as pool:
        engines = set(pool.map(lambda _: open_engine(tagger, options), range(32)))
    assert len(engines) == 1
    assert open_engine(tagger, EngineOptions(batch=7)) not in engines
    other = build(seed=5)
    assert open_engine(other, options) not in engines


def test_an_engine_that_failed_to_open_is_tried_again(build, tmp_path):
    tagger = build(seed=77)
    whole = (tmp_path / "m.onnx").read_bytes()
    (tmp_path / "m.onnx").write_bytes(b"")
    with pytest.raises(ModelError):
        open_engine(tagger, EngineOptions())
    (tmp_path / "m.onnx").write_bytes(whole)
    assert open_engine(tagger, EngineOptions()).columns == {"modelOutput": "float32"}


def test_threads_that_share_an_engine_get_the_scores_of_one_thread(build):
    engine = engine_of(build())
    batches = [images(8, seed=seed) for seed in range(40)]
    alone = [engine.predict(batch)["modelOutput"] for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        shared = list(pool.map(lambda batch: engine.predict(batch)["modelOutput"], batches))
    np.testing.assert_array_equal(shared, alone)
    assert len(np.unique(alone)) == 320


def os_threads():
    return len(list(Path("/proc/self/task").iterdir()))


def test_a_session_runs_on_as_many_threads_as_it_is_told_to(build):
    tagger, engines, counts = build(), [], []
    gc.collect()  # sessions of earlier tests take theirs along
    counts.append(os_threads())
    for threads in (1, 4, 2):
        engines.append(engine_of(tagger, threads=threads))
        counts.append(os_threads())
    # Whoever calls is one of them.
    assert np.diff(counts).tolist() == [0, 3, 1]


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_batches_of_a_thread_use_the_same_buffers_one_after_the_other(build, kind):
    tagger = build()
    engine = engine_of(tagger, batch=4, images=kind)
    crops = Crops(np.zeros(41, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32), 1, 32)
    for _ in range(3):
        loader = loader_of(kind, crops, tagger)
        with closing(BufferedStream(engine._buffers, loader, engine._scores_of, 1)) as stream:
            for start in range(0, 40, 4):
                stream.load(start, start + 4)
                assert stream.result()["modelOutput"].shape == (4,)
    assert engine._buffers._made == 1


def loader_of(kind, crops, tagger):
    if kind == "sparse":
        return ListLoader(crops, tagger.normalisation)
    return ImageLoader(crops, tagger.normalisation, "modelInput", (4, 1, 32, 32))


def test_an_engine_says_what_it_is(build):
    facts = engine_of(build()).facts
    assert facts["engine"].startswith("onnxruntime 1.")
    assert facts["provider"] == "CPUExecutionProvider"
    assert facts["device"]


# ---- no model at all


def test_the_null_engine_gives_zeros_in_the_columns_of_the_tagger_and_reads_no_model(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"never read")
    file = write_tagger(tmp_path / "t.toml", "m.onnx", outputs=[{"columns": ["x", "y"]}])
    engine = engine_of(load_tagger(str(file)), name="null", provider="cuda", batch=3)
    assert engine.batch == 3
    assert engine.columns == {"x": "float32", "y": "float32"}
    scores = engine.predict(images(3))
    assert [column.tolist() for column in scores.values()] == [[0, 0, 0]] * 2
    unnamed = load_tagger(str(write_tagger(tmp_path / "u.toml", "m.onnx")))
    assert engine_of(unnamed, name="null").columns == {"score": "float32"}
